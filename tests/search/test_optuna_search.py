"""Samplers of Optuna behind `ask` and `tell`: pure, never asking twice, refused where they cannot learn."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evolution
from records import EvolutionConfig, Fitness, Individual, InputError, RunState
from records.canonical import to_json
from records.texts import Chromosome
from run.algorithms import new_search
from run.trainings import Means
from search.base import BitStrings, SearchAlgorithm, SearchSpace
from search.ranking import pareto_front
from search_space.encoding import Encoding
from search_space.genes import EXTENDED
from search_space.space import NetworkSpace
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from tests.builders import rugged
from tests.faults.small_run import InlineWorkers, NoSignals, Told, birth, evolved
from tests.search.test_baselines import NETWORKS, SPACES, step
from tests.small_runs import ALL
from tests.test_evolution import SMALL, finish, outcome, start

optuna = pytest.importorskip("optuna", reason="needs optuna (pip install -r requirements-extras.txt)")

from optuna.trial import TrialState  # noqa: E402

from search.optuna_search import REPEATS, OptunaSearch, check_sampler, new_sampler, samplers  # noqa: E402

QUICK = ["TPESampler", "RandomSampler", "NSGAIISampler", "NSGAIIISampler", "QMCSampler", "BruteForceSampler"]
EVERY = [*QUICK, "GPSampler"]
newer = pytest.mark.skipif(
    int(optuna.__version__.partition(".")[0]) < 5, reason="some of these samplers are newer than 4.3"
)
EXTENDED_NETWORKS = NetworkSpace(Encoding((1, 8, 8), 10, EXTENDED))


def configured(name: str, **settings: Any) -> EvolutionConfig:
    return EvolutionConfig(algorithm=f"optuna:{name}", **{"population": 4, "elitism": 0, **settings})


def told(engine: SearchAlgorithm, generations: int) -> list[list[Individual]]:
    return [step(engine) for _ in range(generations)]


def shortened(individual: Individual) -> Individual:
    """What halving makes of a generation: all train for 1 epoch, every third for 3 more."""
    value = individual.chromosome.count("1") / 100
    first = Fitness(value=value, epochs=1)
    if individual.index % 3:
        return replace(individual, fitness=first)
    return replace(individual, fitness=Fitness(value=2 * value, epochs=3), earlier=(first,))


@given(
    name=st.sampled_from(QUICK),
    space=st.sampled_from(SPACES),
    stop=st.integers(0, 5),
    population=st.integers(2, 8),
    objectives=st.sampled_from([("accuracy",), ("accuracy", "parameters")]),
    seed=st.integers(0, 2**40),
)
@settings(deadline=None, max_examples=30)
def test_a_search_rebuilt_from_its_generations_goes_on_as_one_that_never_stopped(
    name: str, space: SearchSpace, stop: int, population: int, objectives: tuple[str, ...], seed: int
) -> None:
    config = configured(name, population=population, tournament_size=1, objectives=objectives, seed=seed)
    whole = new_search(config, space)
    asked = told(whole, 6)
    rebuilt = new_search(config, space, whole.generations[:stop])
    assert rebuilt.ask() == rebuilt.ask()
    assert told(rebuilt, 6 - stop) == asked[stop:]


@pytest.mark.slow
def test_that_holds_of_the_gaussian_process_too() -> None:
    config = configured("GPSampler", seed=3)
    whole = new_search(config, NETWORKS)
    asked = told(whole, 5)
    assert told(new_search(config, NETWORKS, whole.generations[:4]), 1) == asked[4:]


@pytest.mark.parametrize("name", QUICK)
def test_another_seed_is_another_search(name: str) -> None:
    asked = [new_search(configured(name, seed=seed), BitStrings(40)).ask() for seed in (0, 1)]
    assert asked[0] != asked[1]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("bits", [4, 40])
def test_no_network_is_asked_for_twice_while_there_are_new_ones(name: str, bits: int) -> None:
    engine, seen = new_search(configured(name), BitStrings(bits)), set[str]()
    for _ in range(8):
        for each in step(engine):
            assert (each.origin == "known") == (len(seen) == 2**bits)
            assert each.origin == "known" or each.chromosome not in seen
            seen.add(each.chromosome)
    engine.ask()
    assert engine.is_exhausted == (bits == 4)


def test_chromosomes_of_one_network_are_one_proposal() -> None:
    engine, seen = new_search(configured("RandomSampler", population=10, tournament_size=1), NETWORKS), set[str]()
    for _ in range(40):
        for each in step(engine):
            network = NETWORKS.phenotype(each.chromosome)
            assert network not in seen
            seen.add(network)


class Stubborn(optuna.samplers.RandomSampler):  # type: ignore[misc, name-defined]
    """Always proposes the same."""

    asked = 0

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        type(self).asked += param_name.endswith("0000")
        return param_distribution.choices[0]


def test_after_so_many_repeats_the_engine_mutates_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.samplers, "RandomSampler", Stubborn)
    Stubborn.asked = 0
    asked = new_search(configured("RandomSampler"), BitStrings(20)).ask()
    assert Stubborn.asked == REPEATS + 4
    assert [each.origin for each in asked] == ["RandomSampler", *["RandomSampler+mutation"] * 3]
    assert len({each.chromosome for each in asked}) == 4


# What the sampler is told


def study_after(engine: SearchAlgorithm) -> Any:
    """The study of which the next generation is asked, with one trial open for each proposal."""
    assert isinstance(engine, OptunaSearch)
    engine.ask()
    return engine._study


def test_failures_are_failed_trials_and_proposals_stay_open() -> None:
    engine = new_search(configured("TPESampler", population=8), NETWORKS)
    told(engine, 3)
    evaluated = [each for each in engine.individuals() if each.fitness is not None]
    assert 0 < len(evaluated) < 24
    trials = study_after(engine).trials
    states = [trial.state for trial in trials]
    assert states[:24].count(TrialState.COMPLETE) == len(evaluated)
    assert states[:24].count(TrialState.FAIL) == 24 - len(evaluated)
    assert set(states[24:]) == {TrialState.RUNNING}
    for trial, each in zip(trials, engine.individuals(), strict=False):
        assert tuple(trial.params.values()) == NETWORKS.traits(each.chromosome)


def test_objectives_have_their_directions() -> None:
    engine = new_search(configured("NSGAIISampler", objectives=("accuracy", "parameters")), NETWORKS)
    told(engine, 1)
    study = study_after(engine)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for trial, each in zip(study.trials, engine.individuals(), strict=False):
        assert trial.values == (each.fitness and [each.fitness.value, each.fitness.parameters])


def test_networks_that_trained_for_less_are_compared_on_one_scale() -> None:
    engine = new_search(configured("TPESampler", population=9), BitStrings(40))
    for _ in range(3):
        engine.tell([shortened(each) for each in engine.ask()])
    values = [trial.value for trial in study_after(engine).trials[:27]]
    assert values == pytest.approx([each.chromosome.count("1") / 100 for each in engine.individuals()])


def test_what_passes_a_limit_is_told_by_how_much() -> None:
    engine = new_search(configured("TPESampler", max_latency=2), BitStrings(20))
    engine.tell(
        [
            replace(each, fitness=Fitness(value=1).with_limits({"latency": 0.002}, latency=0.001 * each.index))
            for each in engine.ask()
        ]
    )
    found = [trial.system_attrs["constraints"] for trial in study_after(engine).trials[:4]]
    assert [constraint for (constraint,) in found] == pytest.approx([-0.5, 0, 0.5, 1])


@pytest.mark.parametrize("name", QUICK)
def test_limits_that_are_known_before_training_are_kept(name: str) -> None:
    engine = new_search(configured(name, max_parameters=60_000, population=8), NETWORKS)
    for asked in told(engine, 4):
        assert all(NETWORKS.size(each.chromosome).parameters <= 60_000 for each in asked)


def test_a_limit_that_half_of_all_networks_keep_needs_no_mutation() -> None:
    engine = new_search(configured("RandomSampler", max_parameters=700_000, population=8), NETWORKS)
    assert {each.origin for asked in told(engine, 4) for each in asked} == {"RandomSampler"}


@newer
def test_no_generation_of_a_sequence_begins_it_anew() -> None:
    engine = new_search(configured("QMCSampler", population=20), BitStrings(40))
    assert {each.origin for asked in told(engine, 6) for each in asked} == {"QMCSampler"}


def test_networks_that_are_proposed_together_are_kept_apart() -> None:
    assert vars(new_sampler(configured("TPESampler"), 0))["_constant_liar"] is True


@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler"])
@pytest.mark.parametrize("seed", range(3))
def test_a_sampler_that_learns_is_better_than_chance(name: str, seed: int) -> None:
    def best(sampler: str) -> float:
        engine = new_search(configured(sampler, population=10, seed=seed), BitStrings(30))
        for _ in range(15):
            engine.tell([each.evaluated(each.chromosome.count("1")) for each in engine.ask()])
        assert engine.best is not None
        assert engine.best.fitness is not None
        return engine.best.fitness.value

    assert best(name) >= best("RandomSampler") + 2


def test_a_front_of_several_objectives_is_found() -> None:
    objectives = ("accuracy", "parameters")
    engine = new_search(configured("NSGAIISampler", objectives=objectives, population=10), BitStrings(24))
    for _ in range(20):
        engine.tell(
            [
                each.evaluated(each.chromosome[:16].count("1"), 0.0, each.chromosome[8:].count("1"))
                for each in engine.ask()
            ]
        )
    apart = [
        each.fitness.value - each.fitness.parameters
        for each in pareto_front(engine.individuals(), objectives)
        if each.fitness
    ]
    assert max(apart) >= 4


def test_a_long_search_does_not_look_back_by_recursion() -> None:
    engine = new_search(configured("NSGAIISampler", population=2, tournament_size=1), BitStrings(40))
    told(engine, 3)
    for _ in range(600):
        engine.tell(
            [
                rugged(
                    engine.space,
                    replace(each, chromosome=Chromosome(f"{len(engine.generations):039b}{each.index % 2}")),
                )
                for each in unasked(engine)
            ]
        )
    assert len(engine.ask()) == 2


def unasked(engine: SearchAlgorithm) -> list[Individual]:
    number = len(engine.generations) + 1
    return [Individual(generation=number, index=index, chromosome=Chromosome(""), origin="random") for index in (1, 2)]


def test_genes_of_every_kind_are_proposed() -> None:
    engine = new_search(configured("TPESampler", population=8), EXTENDED_NETWORKS)
    asked = [each for generation in told(engine, 3) for each in generation]
    for number, values in enumerate(EXTENDED_NETWORKS.alleles):
        assert {EXTENDED_NETWORKS.traits(each.chromosome)[number] for each in asked} <= set(values)
    assert len({EXTENDED_NETWORKS.traits(each.chromosome)[-1] for each in asked}) > 1


# Refusals


def refused(name: str, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        check_sampler(configured(name, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@newer
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "latency", "flops")])
def test_every_sampler_that_can_propose_networks_is_taken(name: str, objectives: tuple[str, ...]) -> None:
    check_sampler(configured(name, objectives=objectives, max_parameters=1000))


@newer
def test_a_name_that_does_not_exist_is_answered_with_the_closest() -> None:
    message = refused("TPESample")
    assert message.startswith(f"--algorithm optuna:TPESample: Optuna {optuna.__version__} has no such sampler")
    assert "did you mean TPESampler" in message
    assert "did you mean TPESampler" in refused("TPESampelr")
    assert "choose among " + ", ".join(name for name in samplers() if name in EVERY) in message
    assert refused("tpe").endswith("did you mean TPESampler?")
    assert "did you mean NSGAIISampler" in refused("NSGA2Sampler")
    assert "did you mean" not in refused("Nothing")
    for name in ("BaseSampler", "BaseGASampler", "nsgaii"):
        assert "no such sampler" in refused(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("GridSampler", "needs arguments that a flag cannot give (search_space)"),
        ("PartialFixedSampler", "needs arguments that a flag cannot give (fixed_params, base_sampler)"),
        ("CmaEsSampler", "leaves categories, as genes are, to chance"),
    ],
)
def test_a_sampler_that_cannot_learn_of_genes_is_refused(name: str, reason: str) -> None:
    message = refused(name)
    assert reason in message
    assert name not in message.partition("choose among")[2]


class OfOneObjective(optuna.samplers.RandomSampler):  # type: ignore[misc, name-defined]
    def sample_independent(self, study: Any, *arguments: Any) -> Any:
        if len(study.directions) > 1:
            raise ValueError("one objective only")
        return super().sample_independent(study, *arguments)


def test_what_a_sampler_does_not_do_is_found_out_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.samplers, "RandomSampler", OfOneObjective)
    check_sampler(configured("RandomSampler"))
    message = refused("RandomSampler", objectives=("accuracy", "flops"))
    assert "RandomSampler" not in message.partition("choose among")[2]
    assert "does not work with this search (ValueError: one objective only)" in message


def test_a_refusal_leaves_the_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    arguments = ["--dataset", "digits", "--output_dir", str(folder), "--algorithm"]
    with pytest.raises(InputError, match="did you mean TPESampler"):
        evolution.main([*arguments, "optuna:TPE"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"--algorithm optuna:TPESampler needs the package optuna; .* pip install optuna"
    ):
        evolution.main([*arguments, "optuna:TPESampler"])
    assert not folder.exists()


def test_a_run_that_goes_on_without_optuna_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(RunDirectory(tmp_path), birth(0, algorithm="optuna:TPESampler"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install optuna"):
        evolution.main(["--resume", str(tmp_path)])


# Whole runs


def run(folder: Path, state: RunState) -> RunState:
    directory = RunDirectory(folder)
    save_state(directory, state)
    workers, signals = InlineWorkers(directory), NoSignals()
    means = Means(workers=workers, stop=signals, limits=ALL)
    return evolved(directory, state, means, Told(lambda line: None)).state


@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "QMCSampler"])
@pytest.mark.parametrize("variant", ["plain", "rich"])
def test_a_run_that_goes_on_from_any_state_ends_as_one_that_never_stopped(
    name: str, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    whole = run(tmp_path / "whole", birth(0, variant, algorithm=f"optuna:{name}", generations=4))
    for number in range(4):
        state = load_state(tmp_path / f"whole/checkpoints/generation_{number}/ga_state.json")[1]
        again = run(tmp_path / str(number), state)
        assert again.generations == whole.generations
        assert again.population == whole.population


def test_the_plan_counts_no_elites(monkeypatch: pytest.MonkeyPatch) -> None:
    from run.planning import all_sizes

    state = birth(0, algorithm="optuna:TPESampler", generations=2, elitism=2, early_stopping="none")
    assert all_sizes(state) == [[(4, 1)], [(4, 1)]]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_end(tmp_path: Path) -> None:
    arguments = [*SMALL, "--population", "4", "--generations", "3", "--algorithm", "optuna:TPESampler"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    text = finish(start(*arguments, "--cpu_workers", "1", "--output_dir", str(whole)))
    assert "12 networks for 12 individuals" in text
    process = start(*arguments, "--cpu_workers", "1", "--output_dir", str(killed))
    assert process.stdout is not None
    for line in process.stdout:
        if "generation 2/3 in" in line:
            break
    process.kill()
    process.communicate()
    finish(start("--resume", str(killed), "--cpu_workers", "2"))
    assert outcome(killed) == outcome(whole)
    assert "optuna:TPESampler" in (killed / "best_model/MODEL_CARD.md").read_text()
    again = ["--config", str(whole / "run.toml"), "--generations", "1", "--output_dir", str(tmp_path / "again")]
    finish(start(*again, "--cpu_workers", "2"))
    first = load_state(tmp_path / "again")[1].generations[0]
    assert to_json(first) == to_json(load_state(whole)[1].generations[0])
