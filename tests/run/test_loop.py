"""One run at work, without worker processes: rungs, the median rule, budgets, limits, reuse, what is said."""

from __future__ import annotations

import json
import math
import os
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tests.faults.small_run as small_run
from records import Individual, InputError, Limits, RunState, TrainingJob, TrainingResult
from records.costs import Cost
from reporting.closing_lines import trainings_in_words
from reporting.run_view import read_run_view
from run.trainings import Means
from run.work import Work
from search.early_stopping import epochs_spent, median_curve, rung_sizes
from search.ranking import front_numbers
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from storage.results import find_result, read_info, sound_weights
from tests.faults.small_run import (
    InlineWorkers,
    NoSignals,
    Told,
    birth,
    evolved,
    fingerprint,
    go_on,
)

ALL = Limits(min_free_disk=0.0, keep_models="all")


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What a loss of power leaves is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@dataclass
class Run:
    """A run that went to its end: its parts, what was trained in this session, what was said."""

    work: Work
    started: list[TrainingJob]
    lines: list[str] = field(default_factory=list)

    @property
    def state(self) -> RunState:
        return self.work.state

    @property
    def summary(self) -> str:
        """What the closing lines say of its trainings."""
        return trainings_in_words(read_run_view(self.work.run, self.state), self.work.trainings.ended)

    @property
    def folder(self) -> Path:
        return self.work.run.root

    def individuals(self) -> list[Individual]:
        return self.work.individuals()


def evolve(
    folder: Path,
    state: RunState | None = None,
    *,
    reused: Sequence[Path] = (),
    latency: Callable[[str], float] | None = None,
    limits: Limits = ALL,
) -> Run:
    """Begins a run, or goes on with that of the folder, to its end."""
    run, lines = RunDirectory(folder), list[str]()
    if state is None:
        state = load_state(folder)[1]
    save_state(run, state)
    workers = InlineWorkers(run)
    sources = [RunDirectory(each) for each in reused]
    means = Means(workers=workers, stop=NoSignals(), limits=limits, reused=sources, latency=latency)
    return Run(evolved(run, state, means, Told(lines.append)), workers.started, lines)


def epochs_of(jobs: Sequence[TrainingJob]) -> list[tuple[int, int]]:
    """How many jobs there are of each length, the shortest first."""
    return sorted(Counter(job.protocol.epochs for job in jobs).items())


def value(individual: Individual) -> float:
    assert individual.fitness is not None
    return individual.fitness.value


# Halving


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two generations of 8 with one elite, 9 epochs in rungs of 1, 3 and 9."""
    return evolve(tmp_path_factory.mktemp("halved"), birth(0, "rich"))


def test_each_rung_trains_a_third_of_the_one_before(halved: Run) -> None:
    lengths = [job.protocol.epochs for job in halved.started]
    assert lengths == [1] * 8 + [3] * 3 + [9] * 1 + [1] * 7 + [3] * 3 + [9] * 1
    for count, generation in zip((8, 7), halved.state.generations, strict=True):
        new = [each for each in generation.individuals if each.origin != "elite"]
        for number, (size, epochs) in enumerate(rung_sizes(count, 9, 3)):
            assert len([each for each in new if len(each.jobs) > number]) == size
            for each in new:
                if len(each.jobs) > number:
                    assert len(halved.state.results[each.jobs[number]].epochs) == epochs


def rungs_of(run: Run) -> Iterator[tuple[list[TrainingResult], list[TrainingResult]]]:
    """For each rung but the last: the results of those that went on, and of the others."""
    for generation in run.state.generations:
        new = [each for each in generation.individuals if each.origin != "elite"]
        for rung in (0, 1):
            there = [(each, run.state.results[each.jobs[rung]]) for each in new if len(each.jobs) > rung]
            went_on = [result for each, result in there if len(each.jobs) > rung + 1]
            yield went_on, [result for each, result in there if len(each.jobs) == rung + 1]


def test_only_the_most_accurate_of_a_rung_go_on(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "rich", objectives=("accuracy",), surrogate="off"))
    for went_on, others in rungs_of(run):
        worst = min(result.epochs[-1].score or 0.0 for result in went_on)
        assert all((result.epochs[-1].score or 0.0) < worst for result in others)


def test_with_two_objectives_no_one_goes_on_before_those_that_dominate_it(halved: Run) -> None:
    for went_on, others in rungs_of(halved):
        results = [*went_on, *others]
        points = np.array([(-(result.epochs[-1].score or 0.0), result.parameters) for result in results])
        fronts = front_numbers(points.astype(float))
        assert max(fronts[: len(went_on)]) <= min(fronts[len(went_on) :], default=math.inf)


def test_a_fitness_is_that_of_the_last_rung_and_the_earlier_ones_are_kept(halved: Run) -> None:
    for each in halved.individuals():
        results = [halved.state.results[key] for key in each.jobs]
        assert each.fitness is not None
        assert (each.fitness.value, each.fitness.epochs) == (results[-1].epochs[-1].score, len(results[-1].epochs))
        assert [(one.value, one.epochs) for one in each.earlier] == [
            (result.epochs[-1].score, len(result.epochs)) for result in results[:-1]
        ]


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "parameters")])
def test_elites_come_from_the_last_rung(objectives: tuple[str, ...], tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(1, "rich", generations=4, objectives=objectives, surrogate="off"))
    elites = [each for each in run.individuals() if each.origin == "elite"]
    assert len(elites) == 3
    assert all(each.fitness is not None and each.fitness.epochs == 9 for each in elites)
    assert run.work.engine.best is not None
    assert len(run.work.engine.best.jobs) == 3


def test_results_and_weights_of_all_rungs_are_kept_apart(halved: Run) -> None:
    keys = {key for each in halved.individuals() for key in each.jobs}
    assert set(halved.state.results) == keys == {job.key for job in halved.started}
    names = {3: ["epochs_1/", "epochs_3/", ""], 2: ["epochs_1/", "epochs_3/"], 1: ["epochs_1/"]}
    for each in halved.individuals():
        if each.origin != "elite":
            expected = [f"results/{each.name}/{rung}best_model.pt" for rung in names[len(each.jobs)]]
            assert [halved.state.results[key].weights for key in each.jobs] == expected
            assert all((halved.folder / path).is_file() for path in expected)


def test_the_job_of_an_individual_is_that_of_its_last_rung(halved: Run) -> None:
    for each in halved.individuals():
        assert halved.work.last_job(each).key == each.jobs[-1]


def test_pruning_leaves_the_weights_of_the_best_and_of_the_front_alone(tmp_path: Path) -> None:
    state = birth(0, objectives=("accuracy", "parameters"), population=6)
    run = evolve(tmp_path, state, limits=Limits(min_free_disk=0.0, keep_models="none"))
    best = run.work.engine.best
    assert len(run.work.front()) > 1
    assert best is not None
    kept = {best.jobs[-1], *(each.jobs[-1] for each in run.work.front())}
    there = {key for key, result in run.state.results.items() if (tmp_path / str(result.weights)).is_file()}
    assert there == kept
    assert read_info(tmp_path / "results" / best.name / "info.json").weights is not None


def test_a_failed_network_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = small_run.train
    failed: list[str] = []

    def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
        result = original(root, task)
        if len(failed) < 6:
            failed.append(result.key)
            return TrainingResult(key=result.key, status="diverged", reason="planted")
        return result

    monkeypatch.setattr(small_run, "train", train)
    run = evolve(tmp_path, birth(0, "rich", generations=1))
    assert epochs_of(run.started) == [(1, 8), (3, 2), (9, 1)]
    losers = [each for each in run.individuals() if each.jobs[0] in failed]
    assert len(losers) == 6
    assert all(each.fitness is None and each.failure == "diverged: planted" for each in losers)
    assert epochs_spent(run.state) == 6 * 9 + 2 * 1 + 2 * 3 + 1 * 9  # a failed one counts as a whole


# The median rule


@pytest.fixture(scope="module")
def by_median(tmp_path_factory: pytest.TempPathFactory) -> Run:
    state = birth(0, early_stopping="median", epochs=4, population=6, generations=4)
    return evolve(tmp_path_factory.mktemp("median"), state)


def test_the_median_of_earlier_generations_is_what_a_training_must_reach(by_median: Run) -> None:
    jobs = {job.key: job for job in by_median.started}
    curves: dict[str, list[float]] = {}
    for generation in by_median.state.generations:
        expected = median_curve(list(curves.values()))
        for each in generation.individuals:
            if each.origin != "elite":
                assert jobs[each.jobs[-1]].stop_below == expected
        for each in generation.individuals:
            epochs = by_median.state.results[each.jobs[-1]].epochs
            curves[each.jobs[-1]] = [epoch.score or 0.0 for epoch in epochs]
    first = [jobs[each.jobs[-1]] for each in by_median.state.generations[0].individuals]
    assert all(job.stop_below == () for job in first)


def test_a_training_ends_with_the_first_epoch_under_the_median(by_median: Run) -> None:
    lengths = []
    for job in by_median.started:
        accuracies = [epoch.score or 0.0 for epoch in by_median.state.results[job.key].epochs]
        under = [n for n, (a, b) in enumerate(zip(accuracies, job.stop_below, strict=False), 1) if a < b]
        assert len(accuracies) == (under[0] if under else 4)
        lengths.append(len(accuracies))
    assert 1 in lengths
    assert lengths.count(4) > 6
    assert epochs_spent(by_median.state) == sum(lengths)
    assert f"{sum(lengths)} of {4 * len(lengths)} epochs (early stopping)" in by_median.summary


def test_the_curve_of_a_training_is_kept_for_the_predictor(by_median: Run) -> None:
    for each in by_median.individuals():
        epochs = by_median.state.results[each.jobs[-1]].epochs
        assert each.fitness is not None
        assert [fitness.value for fitness in (*each.earlier, each.fitness)] == [epoch.score for epoch in epochs]
        assert [fitness.epochs for fitness in (*each.earlier, each.fitness)] == list(range(1, len(epochs) + 1))


def test_thresholds_are_a_part_of_a_jobs_key(by_median: Run) -> None:
    job = next(job for job in by_median.started if job.stop_below)
    assert replace(job, stop_below=()).key != job.key
    for each in by_median.individuals():
        assert by_median.work.last_job(each).key == each.jobs[-1]


def test_a_run_with_the_median_rule_resumes_to_the_same_end(by_median: Run, tmp_path: Path) -> None:
    state = load_state(by_median.folder / "checkpoints/generation_2/ga_state.json")[1]
    again = evolve(tmp_path, state)
    assert again.state.generations == by_median.state.generations
    assert {job.key for job in again.started} == set(by_median.state.results) - set(state.results)


# Budgets


def trainings(run: Run) -> int:
    return len(run.state.results)


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 5, 7, 10, 12])
@pytest.mark.parametrize("surrogate", ["off", "auto"])
def test_a_budget_is_spent_to_the_last_training_and_never_passed(budget: int, surrogate: str, tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, budget=budget, generations=1, surrogate=surrogate))
    assert trainings(run) == len(run.started) == budget
    sizes = [sum(each.origin != "elite" for each in one.individuals) for one in run.state.generations]
    assert sizes[0] == min(4, budget)
    assert all(size == 3 for size in sizes[1:-1])
    assert load_state(tmp_path)[1].generations == run.state.generations


@pytest.mark.parametrize("budget", [2, 3, 4, 8, 12])
def test_with_halving_a_budget_counts_epochs(budget: int, tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "rich", budget=budget, surrogate="off"))
    spent = sum(job.protocol.epochs for job in run.started)
    assert spent == epochs_spent(run.state) <= 9 * budget
    # One network more through all rungs would have been too much.
    assert 9 * budget - spent < sum(length for _, length in rung_sizes(1, 9, 3))


def test_a_budget_under_one_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--budget 1 does not pay for one network through all rungs"):
        evolve(tmp_path, birth(0, "rich", budget=1))


def test_finalists_are_paid_for_by_the_budget(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, budget=16, finalists=2, final_seeds=3))
    assert trainings(run) == 10


@pytest.mark.parametrize("variant", ["plain", "rich"])
def test_a_larger_budget_goes_on_as_if_it_had_been_so_large_from_the_start(variant: str, tmp_path: Path) -> None:
    """Where the smaller one ended with a whole generation, as those that are asked next are then asked anew."""
    small = {"plain": 7, "rich": 5}[variant]
    whole = evolve(tmp_path / "whole", birth(0, variant, budget=3 * small))
    cut = evolve(tmp_path / "cut", birth(0, variant, budget=small))
    done = len(cut.state.generations)
    if variant == "plain":
        assert cut.state.generations == whole.state.generations[:done]
    else:
        # 45 epochs are 26 of generation 1 and a part of generation 2, which is dropped to go on.
        done = 1
        assert cut.state.generations[:done] == whole.state.generations[:done]
    state = load_state(cut.folder / f"checkpoints/generation_{done}/ga_state.json")[1]
    longer = replace(state, search=replace(state.search, budget=3 * small))
    again = evolve(tmp_path / "again", longer)
    assert again.state.generations == whole.state.generations
    assert again.state.population == whole.state.population
    assert set(again.state.results) == set(whole.state.results)


def test_a_smaller_budget_ends_a_run_at_once(tmp_path: Path) -> None:
    run = evolve(tmp_path / "run", birth(0, budget=12))
    state = load_state(tmp_path / "run/checkpoints/generation_2/ga_state.json")[1]
    assert len(state.results) == 7
    again = evolve(tmp_path / "again", replace(state, search=replace(state.search, budget=8)))
    assert trainings(again) == 8
    assert trainings(run) == 12


# Limits


def test_a_network_over_a_limit_loses_to_all_within(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, max_parameters=500_000, population=8))
    for each in run.individuals():
        result = run.state.results[each.jobs[-1]]
        assert each.fitness is not None
        assert each.fitness.violation == pytest.approx(max(0.0, result.parameters / 500_000 - 1))
    assert any(value(each) and each.fitness and each.fitness.violation > 0 for each in run.individuals())
    best = run.work.engine.best
    assert best is not None
    within = [each for each in run.individuals() if each.fitness and each.fitness.violation == 0]
    assert value(best) == max(value(each) for each in within)
    assert not [line for line in run.lines if "keeps the limits" in line]


@pytest.mark.parametrize("surrogate", ["off", "auto"])
def test_where_no_network_keeps_the_limits_the_closest_is_named(surrogate: str, tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, max_parameters=10, max_flops=7, population=9, surrogate=surrogate))
    for generation in run.state.generations:
        closest = min(generation.individuals, key=lambda each: each.fitness.violation if each.fitness else math.inf)
        assert closest.fitness is not None
        assert (
            f"no network of generation {generation.number} keeps the limits; {closest.name} comes closest with "
            f"{closest.fitness.parameters:,} parameters (limit 10 parameters), "
            f"{closest.fitness.flops / 1e6:,.2f} MFLOPs (limit 0.00 MFLOPs)"
        ) in run.lines


def test_latency_is_measured_once_for_each_network_where_it_counts(tmp_path: Path) -> None:
    measured: list[str] = []

    def latency(network: str) -> float:
        measured.append(network)
        return 0.001 * (1 + len(measured))

    state = birth(0, "rich", objectives=("accuracy", "latency"), max_latency=5.0)
    run = evolve(tmp_path / "run", state, latency=latency)
    distinct = {run.work.space.phenotype(each.chromosome) for each in run.individuals()}
    assert len(measured) == len(set(measured)) == len(distinct) == 15
    for each in run.individuals():
        assert each.fitness is not None
        assert each.fitness.latency == pytest.approx(
            0.001 * (2 + measured.index(run.work.space.network(each.chromosome)))
        )
        assert each.fitness.violation == pytest.approx(max(0.0, (each.fitness.latency or 0.0) / 0.005 - 1))
    again = evolve(tmp_path / "run", latency=latency)
    assert again.state.generations == run.state.generations
    assert len(measured) == 15  # what was measured is in the state


def test_latency_is_not_measured_where_nobody_asks(tmp_path: Path) -> None:
    def latency(network: str) -> float:
        raise AssertionError

    run = evolve(tmp_path, birth(0), latency=latency)
    assert all(each.fitness and each.fitness.latency is None for each in run.individuals())


# Reuse


def without_costs(folder: Path) -> str:
    """`fingerprint`, which leaves costs out, of a run with its best model in place."""
    run = RunDirectory(folder)
    go_on(run, InlineWorkers(run), NoSignals(), limits=ALL)
    return fingerprint(folder)


@pytest.mark.parametrize("variant", ["plain", "rich"])
def test_a_run_like_an_earlier_one_trains_nothing_and_ends_the_same(variant: str, tmp_path: Path) -> None:
    first = evolve(tmp_path / "first", birth(0, variant))
    second = evolve(tmp_path / "second", birth(0, variant), reused=[tmp_path / "first"])
    assert second.started == []
    assert without_costs(tmp_path / "second") == without_costs(tmp_path / "first")
    count = len(first.state.results)
    assert f"; {count} from earlier runs; 0 in this session" in second.summary
    for key, result in second.state.results.items():
        assert result.cost.reused == str((tmp_path / "first").resolve())
        found = find_result(second.work.run, key)
        assert found == result
    assert "earlier runs" not in first.summary


def test_only_what_the_earlier_run_did_not_train_is_trained(tmp_path: Path) -> None:
    first = evolve(tmp_path / "first", birth(0))
    longer = birth(0, generations=5)
    second = evolve(tmp_path / "second", longer, reused=[tmp_path / "first"])
    alone = evolve(tmp_path / "alone", longer)
    assert {job.key for job in second.started} == set(alone.state.results) - set(first.state.results)
    assert second.state.generations == alone.state.generations
    assert without_costs(tmp_path / "second") == without_costs(tmp_path / "alone")


def test_results_are_looked_for_in_all_the_earlier_runs(tmp_path: Path) -> None:
    for seed in (0, 1):
        evolve(tmp_path / str(seed), birth(seed))
    folders = [tmp_path / "0", tmp_path / "1"]
    assert evolve(tmp_path / "again", birth(1), reused=folders).started == []


def test_weights_that_the_earlier_run_removed_are_trained_only_if_they_are_needed(tmp_path: Path) -> None:
    few = Limits(min_free_disk=0.0, keep_models="none")
    first = evolve(tmp_path / "first", birth(0), limits=few)
    second = evolve(tmp_path / "second", birth(0), reused=[tmp_path / "first"])
    assert second.started == []
    best = first.work.engine.best
    assert best is not None
    assert [key for key, result in second.state.results.items() if result.weights] == [best.jobs[-1]]
    # The best network's own are gone as well: they are trained anew, once.
    (first.folder / str(first.state.results[best.jobs[-1]].weights)).unlink()
    third = evolve(tmp_path / "third", birth(0), reused=[tmp_path / "first"])
    assert third.started == []
    result = third.work.trainings.trained(third.work.last_job(best), best.name)
    assert [job.key for job in third.work.means.workers.started] == [best.jobs[-1]]  # type: ignore[attr-defined]
    assert f"the weights of {best.name} are missing; it is trained again" in third.lines
    assert result.cost.reused == ""
    assert sound_weights(third.work.run, result) is not None


def test_damaged_weights_of_an_earlier_run_are_not_taken_over(tmp_path: Path) -> None:
    first = evolve(tmp_path / "first", birth(0))
    key, result = next(iter(first.state.results.items()))
    (first.folder / str(result.weights)).write_bytes(b"damaged")
    second = evolve(tmp_path / "second", birth(0), reused=[tmp_path / "first"])
    assert second.started == []
    assert [other for other, each in second.state.results.items() if each.weights is None] == [key]


def test_a_damaged_result_of_an_earlier_run_is_warned_of_and_trained(tmp_path: Path) -> None:
    first = evolve(tmp_path / "first", birth(0))
    key = next(iter(first.state.results))
    path = first.work.run.job(key)
    damaged = path.read_bytes().replace(b'"accuracy": 0.', b'"accuracy": 1.', 1)
    path.write_bytes(damaged)
    second = evolve(tmp_path / "second", birth(0), reused=[tmp_path / "first"])
    assert [job.key for job in second.started] == [key]
    warnings = [line for line in second.lines if line.startswith("warning")]
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert warnings[0].endswith("it is not reused")
    assert path.read_bytes() == damaged  # the other run's folder is not touched
    assert second.state.results[key].cost.reused == ""
    assert f"{len(first.state.results) - 1} from earlier runs; 1 in this session" in second.summary


def test_failures_of_an_earlier_run_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = small_run.train
    victim = evolve(tmp_path / "sound", birth(0)).started[0].key

    def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
        result = original(root, task)
        return TrainingResult(key=victim, status="crashed", reason="planted") if result.key == victim else result

    monkeypatch.setattr(small_run, "train", train)
    evolve(tmp_path / "first", birth(0, generations=1))
    monkeypatch.setattr(small_run, "train", original)
    second = evolve(tmp_path / "second", birth(0, generations=1), reused=[tmp_path / "first"])
    assert [job.key for job in second.started] == [victim]


def test_reused_trainings_are_paid_for_by_the_budget_as_well(tmp_path: Path) -> None:
    """Else a run would not be the same with and without what came before."""
    evolve(tmp_path / "first", birth(0, budget=9))
    second = evolve(tmp_path / "second", birth(0, budget=12), reused=[tmp_path / "first"])
    alone = evolve(tmp_path / "alone", birth(0, budget=12))
    assert trainings(second) == trainings(alone) == 12
    assert len(second.started) <= 12 - 7  # generations 1 and 2 at least were known


# The time that is left


@pytest.mark.parametrize("variant", ["plain", "rich"])
def test_the_time_that_is_left_falls_to_nothing(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, clock = small_run.train, [0.0]

    def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
        result = original(root, task)
        clock[0] += len(result.epochs)  # one second for each epoch of any network
        cost = Cost(seconds=len(result.epochs), hardware="a clock", started=clock[0])
        return replace(result, cost=cost)

    monkeypatch.setattr(small_run, "train", train)
    foreseen: list[tuple[float, float]] = []
    monkeypatch.setattr(Told, "time_left", lambda console, left: foreseen.append((clock[0], left)))
    run = evolve(tmp_path, birth(0, variant))
    total = clock[0]
    assert len(foreseen) == len(run.started)
    assert foreseen[-1][1] == 0
    assert all(left > 0 for now, left in foreseen[:-1])
    errors = [abs(left - (total - now)) / total for now, left in foreseen]
    assert statistics.median(errors) < 0.25
    assert max(errors[len(errors) // 2 :]) < 0.5


def test_what_was_written_can_be_read_again(halved: Run) -> None:
    rng = random.Random(0)
    for each in rng.sample(halved.individuals(), 5):
        info = read_info(halved.work.run.individual(each.name) / "info.json")
        assert info.individual == each
        assert info.result == halved.state.results[each.jobs[-1]]
    state = json.loads(halved.work.run.state(2).read_text())["content"]
    assert len(state["results"]) == 23
