"""Runs as Optuna reads them, each individual once whatever happened; and the engine's operators in Optuna's studies."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evolution
from records import Individual, InputError, RunState
from records.errors import SaveError
from records.runs import DataFacts
from records.texts import Chromosome, JobKey
from reporting.watcher import Watchers
from run.request import Request
from run.trainings import Means
from run.work import Work
from search_space.genes import EXTENDED, STANDARD, GeneTable
from search_space.tables import gene_table_text
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from tests.faults.small_run import FACTS, InlineWorkers, NoSignals, Told, birth, evolved
from tests.small_runs import ALL
from tests.test_evolution import finish, start

optuna = pytest.importorskip("optuna", reason="needs optuna (pip install -r requirements-extras.txt)")

from optuna.distributions import CategoricalDistribution, IntDistribution  # noqa: E402
from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

from reporting.watchers.optuna_study import STUDY, OptunaStudy, distributions_of  # noqa: E402
from run.genetic_sampler import ChoiceSpace, GeneticSampler, from_gray  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def quick_and_quiet() -> Iterator[None]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield
    optuna.logging.set_verbosity(verbosity)


def evolve(folder: Path, state: RunState | None = None, journal: Path | None = None, bad: Any = None) -> Work:
    """Begins a run, or goes on with that of the folder, and adds it to its study."""
    run = RunDirectory(folder)
    state = state or load_state(folder)[1]
    save_state(run, state)
    study = OptunaStudy(journal or folder / "study.journal", state)
    means = Means(workers=InlineWorkers(run), stop=NoSignals(), limits=ALL)
    return evolved(run, state, means, Watchers([Told(lambda line: None), study]))


def load(journal: Path) -> Any:
    """The study as anybody loads it."""
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(journal))))


def trained(search: Work) -> list[Individual]:
    """The individuals of a run whose last training is their own."""
    first: dict[str, Individual] = {}
    for each in search.individuals():
        first.setdefault(each.jobs[-1], each)
    return list(first.values())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Generations with elites, rungs of 1, 3 and 9 epochs, accuracy and parameters as objectives."""
    return evolve(tmp_path_factory.mktemp("run"), birth(0, "rich", generations=2))


def test_every_trained_individual_is_one_trial(finished: Work) -> None:
    trials, expected = load(finished.run.root / "study.journal").trials, trained(finished)
    assert any(each.origin == "elite" for each in finished.individuals())
    assert [trial.user_attrs["individual"] for trial in trials] == [each.name for each in expected]
    for trial, each in zip(trials, expected, strict=True):
        assert trial.params == {gene.name: gene.value(each.chromosome) for gene in STANDARD.genes}
        found = {name: trial.user_attrs[name] for name in ("generation", "chromosome", "origin")}
        assert found == {name: getattr(each, name) for name in found}
        assert trial.user_attrs["parents"] == list(each.parents)
        assert trial.user_attrs["job"] == each.jobs[-1]
        curve = [epoch.score for epoch in finished.trainings.results[each.jobs[-1]].epochs]
        assert trial.intermediate_values == dict(enumerate(curve, 1))
        assert trial.user_attrs["epochs"] == len(curve)


def test_objectives_are_values_in_their_directions(finished: Work) -> None:
    study = load(finished.run.root / "study.journal")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "parameters"]
    for trial, each in zip(study.trials, trained(finished), strict=True):
        assert each.fitness is not None
        assert trial.values == [each.fitness.value, each.fitness.parameters]


def test_the_best_trials_are_the_pareto_front(finished: Work) -> None:
    best = load(finished.run.root / "study.journal").best_trials
    assert {trial.user_attrs["individual"] for trial in best} == {each.name for each in finished.front()}


def test_only_what_trained_to_the_end_is_complete(finished: Work) -> None:
    for trial in load(finished.run.root / "study.journal").trials:
        full = trial.user_attrs["epochs"] == finished.state.training.epochs
        assert trial.state == (TrialState.COMPLETE if full else TrialState.PRUNED)


def test_the_best_trial_is_the_best_individual(tmp_path: Path) -> None:
    search = evolve(tmp_path, birth(1, "plain"))
    study = load(tmp_path / "study.journal")
    assert search.engine.best is not None
    assert search.engine.best.fitness is not None
    assert study.best_trial.user_attrs["job"] == search.engine.best.jobs[-1]
    assert study.best_value == search.engine.best.fitness.value


def test_networks_over_a_limit_are_never_the_best_trial(tmp_path: Path) -> None:
    search = evolve(tmp_path, birth(1, "plain", max_parameters=400_000))
    fitnesses = [each.fitness for each in search.individuals() if each.fitness is not None]
    assert any(fitness.violation > 0 for fitness in fitnesses)
    assert search.engine.best is not None
    assert load(tmp_path / "study.journal").best_trial.user_attrs["job"] == search.engine.best.jobs[-1]


def test_a_failure_is_a_failed_trial_that_says_why(tmp_path: Path) -> None:
    search = evolve(tmp_path, birth(0, "plain", generations=1))
    each = search.individuals()[0]
    failed = replace(each, jobs=(JobKey("other"),), fitness=None, failure="crashed: by signal 9")
    result = replace(
        search.trainings.results[each.jobs[-1]], key=JobKey("other"), status="crashed", reason="by signal 9", epochs=()
    )
    OptunaStudy(tmp_path / "study.journal", search.state).add([failed], {JobKey("other"): result})
    trial = load(tmp_path / "study.journal").trials[-1]
    assert (trial.state, trial.values, trial.intermediate_values) == (TrialState.FAIL, None, {})
    assert trial.user_attrs["failure"] == "crashed: by signal 9"
    assert trial.params["kernel"] == next(g for g in STANDARD.genes if g.name == "kernel").value(each.chromosome)


def test_a_run_that_goes_on_adds_nothing_twice(tmp_path: Path) -> None:
    first = evolve(tmp_path, birth(0, "rich", generations=3))
    before = (tmp_path / "study.journal").read_bytes()
    shutil.rmtree(first.run.state(3).parent)
    evolve(tmp_path)
    assert (tmp_path / "study.journal").read_bytes() == before


def test_what_a_run_did_before_it_had_a_study_is_added(tmp_path: Path) -> None:
    search = evolve(tmp_path, birth(0, "plain"))
    evolve(tmp_path, journal=tmp_path / "deep" / "other.journal")
    assert len(load(tmp_path / "deep" / "other.journal").trials) == len(trained(search))


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.3, 0.5, 0.9])
def test_a_file_that_was_cut_anywhere_is_completed(tmp_path: Path, share: float) -> None:
    search = evolve(tmp_path, birth(0, "plain"))
    journal = tmp_path / "study.journal"
    names = [trial.user_attrs["individual"] for trial in load(journal).trials]
    os.truncate(journal, int(share * journal.stat().st_size))
    evolve(tmp_path)
    study = load(journal)
    assert [trial.user_attrs["individual"] for trial in study.trials] == names
    assert [trial.value for trial in study.trials] == [each.fitness and each.fitness.value for each in trained(search)]


def refusal(journal: Path, state: RunState) -> str:
    before = journal.read_bytes()
    with pytest.raises(InputError) as caught:
        OptunaStudy(journal, state)
    assert "\n" not in str(caught.value)
    assert journal.read_bytes() == before
    return str(caught.value)


OTHER_FACTS: DataFacts = replace(FACTS, fingerprint="another")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"facts": OTHER_FACTS}, "data fingerprint"),
        ({"gene_table": gene_table_text(EXTENDED)}, "gene table"),
        ({"training": replace(birth(0).training, epochs=2)}, "protocol"),
        ({"search": replace(birth(0).search, objectives=("accuracy", "flops"))}, "objectives"),
    ],
)
def test_the_study_of_another_run_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    state = birth(0, "plain", generations=1)
    evolve(tmp_path, state)
    assert named in refusal(tmp_path / "study.journal", replace(state, **change))


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("a line\nhalf of another")
    assert "not a journal" in refusal(other, birth(0))
    other.write_text('{"op_code"\nnothing\n')
    assert "damaged" in refusal(other, birth(0))


def test_a_study_of_a_persons_own_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "own.journal"
    optuna.create_study(study_name="mine", storage=JournalStorage(JournalFileBackend(str(journal))))
    assert "another study (mine)" in refusal(journal, birth(0))
    journal.unlink()
    own = optuna.create_study(study_name=STUDY, storage=JournalStorage(JournalFileBackend(str(journal))))
    own.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert "the study of another run" in refusal(journal, birth(0))


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        OptunaStudy(tmp_path, birth(0))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot use"):
        OptunaStudy(tmp_path / "file" / "study.journal", birth(0))


def test_a_full_disk_stops_it_like_any_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = evolve(tmp_path, birth(0, "plain", generations=1))
    study = OptunaStudy(tmp_path / "other.journal", search.state)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    with pytest.raises(SaveError, match=r"other\.journal: No space left"):
        study.add(search.individuals(), search.trainings.results)


def test_where_it_is_not_installed_one_line_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--optuna_study needs the package optuna; .* pip install optuna"):
        evolution.main(["--dataset", "digits", "--optuna_study", "a", "--output_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_the_resume_command_keeps_the_study(tmp_path: Path) -> None:
    evolve(tmp_path, birth(0, "plain", generations=1))
    request = Request.of(resume=tmp_path, optuna_study="a study.journal")
    assert "--optuna_study 'a study.journal'" in evolution.resume_command(request)


@pytest.mark.parametrize("table", [STANDARD, EXTENDED], ids=["standard", "extended"])
def test_every_value_of_every_gene_is_a_choice(table: GeneTable) -> None:
    for gene in table.genes:
        parameter = distributions_of(table)[gene.name]
        assert isinstance(parameter, CategoricalDistribution)
        assert {parameter.to_external_repr(parameter.to_internal_repr(value)) for value in gene.values} == {
            *gene.values
        }


SMALL = ["--dataset", "digits", "--train_limit", "300", "--epochs", "1", "--batch_size", "32"]
SEARCH = ["--population", "4", "--generations", "3", "--elitism", "1", "--cpu_workers", "1"]


def test_a_study_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a line\n")
    folder = tmp_path / "run"
    ended = finish(start(*SMALL, *SEARCH, "--output_dir", str(folder), "--optuna_study", str(tmp_path / "notes")), 2)
    assert ended == f"error: --optuna_study {tmp_path / 'notes'} is not a journal of Optuna; name another file\n"
    assert not folder.exists()


@pytest.mark.slow
def test_a_killed_run_that_goes_on_has_a_whole_study(tmp_path: Path) -> None:
    folder, journal = tmp_path / "run", tmp_path / "study.journal"
    process = start(*SMALL, *SEARCH, "--output_dir", str(folder), "--optuna_study", str(journal))
    deadline = time.monotonic() + 60
    while not (journal.exists() and b"gen1/ind1" in journal.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    text = finish(start("--resume", str(folder), "--cpu_workers", "1", "--optuna_study", str(journal)))
    assert f"optuna study         {journal}" in text
    names: dict[str, str] = {}
    for generation in load_state(folder)[1].generations:
        for each in generation.individuals:
            names.setdefault(each.jobs[-1], each.name)
    assert [trial.user_attrs["individual"] for trial in load(journal).trials] == list(names.values())


# The sampler

LETTERS = ("a", "b", "c", "d")


def matches(trial: Any) -> int:
    """OneMax over letters: how many of thirty are the right ones."""
    return sum(trial.suggest_categorical(f"x{n}", LETTERS) == LETTERS[n % 4] for n in range(30))


def optimized(sampler: Any, objective: Any = matches, trials: int = 150, **settings: Any) -> Any:
    study = optuna.create_study(sampler=sampler, **(settings or {"direction": "maximize"}))
    study.optimize(objective, n_trials=trials)
    return study


@pytest.mark.parametrize("seed", range(5))
def test_it_is_far_better_than_chance(seed: int) -> None:
    bred = optimized(GeneticSampler(seed=seed)).best_value
    drawn = optimized(optuna.samplers.RandomSampler(seed=seed)).best_value
    assert bred >= drawn + 4


def test_it_minimizes_too() -> None:
    assert optimized(GeneticSampler(seed=0), lambda trial: -matches(trial), direction="minimize").best_value <= -20


def mixed(trial: Any) -> float:
    """Categories, whole numbers with and without steps, and a fraction, some only at times."""
    x = trial.suggest_int("x", -5, 6)
    y = trial.suggest_int("y", 0, 100, step=5)
    trial.suggest_categorical("only", ["one"])
    if trial.suggest_categorical("how", [None, True, 2.5]) is True:
        x += trial.suggest_int("more", 1, 64, log=True)
    return float(abs(x - 3) + abs(y - 35) / 5 + trial.suggest_float("z", 0, 1))


def test_parameters_of_all_kinds_are_sampled() -> None:
    study = optimized(GeneticSampler(seed=1, population=10), mixed, 120, direction="minimize")
    assert len(study.trials) == 120
    assert study.best_value < 1.5


def parameters(study: Any) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def test_a_seed_gives_the_same_trials_and_another_seed_others() -> None:
    first = parameters(optimized(GeneticSampler(seed=3), mixed, 40))
    assert parameters(optimized(GeneticSampler(seed=3), mixed, 40)) == first
    assert parameters(optimized(GeneticSampler(seed=4), mixed, 40)) != first
    assert parameters(optimized(GeneticSampler(), mixed, 5)) != parameters(optimized(GeneticSampler(), mixed, 5))


def test_a_study_that_is_loaded_again_goes_on_as_one_that_never_stopped(tmp_path: Path) -> None:
    whole = parameters(optimized(GeneticSampler(seed=3), trials=60))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    for _ in range(3):
        study = optuna.create_study(
            storage=storage,
            study_name="a",
            load_if_exists=True,
            direction="maximize",
            sampler=GeneticSampler(seed=3),
        )
        study.optimize(matches, n_trials=20)
    assert parameters(study) == whole


def test_no_trial_is_bred_twice_while_there_are_others() -> None:
    def objective(trial: Any) -> int:
        return int(trial.suggest_int("a", 0, 4) + trial.suggest_categorical("b", [0, 1, 2]))

    study = optimized(GeneticSampler(seed=0, population=2, tournament_size=1), objective, 40)
    bred: list[dict[str, Any]] = []
    for params in parameters(study):
        if params not in bred:
            bred.append(params)
    assert len(bred) == 15  # all there are, and it goes on


def test_several_objectives_are_ranked_by_dominance() -> None:
    def objective(trial: Any) -> tuple[int, int]:
        bits = [trial.suggest_int(f"x{n}", 0, 1) for n in range(24)]
        return sum(bits[:16]), sum(bits[8:])

    study = optimized(GeneticSampler(seed=0), objective, 200, directions=["maximize", "minimize"])
    assert max(first - second for first, second in (trial.values for trial in study.best_trials)) >= 6


def test_failed_and_infinite_trials_do_no_harm() -> None:
    def objective(trial: Any) -> float:
        value = matches(trial)
        if trial.number % 3 == 0:
            raise optuna.TrialPruned
        return float("inf") if trial.number == 7 else float("nan") if trial.number % 5 == 0 else float(value)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optimized(GeneticSampler(seed=0, population=5), objective, 60)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert len(study.trials) == 60


def test_trials_side_by_side_are_sampled() -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=0, population=5))
    study.optimize(matches, n_trials=40, n_jobs=2)
    assert len(study.trials) == 40


def test_values_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="crossover_prob"):
        GeneticSampler(crossover_prob=2)


def test_it_goes_on_with_the_study_of_a_run(finished: Work, tmp_path: Path) -> None:
    shutil.copy(finished.run.root / "study.journal", tmp_path / "copy")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "copy")))
    study = optuna.load_study(
        study_name=STUDY, storage=storage, sampler=GeneticSampler(population=2, tournament_size=1)
    )
    trial = study.ask()
    space = {gene.name: CategoricalDistribution(tuple(dict.fromkeys(gene.values))) for gene in STANDARD.genes}
    found = {name: trial._suggest(name, each) for name, each in space.items()}
    assert set(found) == set(trial.relative_params)


def spaces() -> st.SearchStrategy[ChoiceSpace]:
    whole = st.builds(
        lambda low, count, step: IntDistribution(low, low + (count - 1) * step, step=step),
        st.integers(-99, 99),
        st.integers(2, 70),
        st.integers(1, 9),
    )
    named = st.integers(2, 9).map(lambda count: CategoricalDistribution([f"value {n}" for n in range(count)]))
    parameters = st.lists(st.one_of(whole, named), min_size=1, max_size=5)
    return parameters.map(lambda found: ChoiceSpace.of({f"p{n}": each for n, each in enumerate(found)}))


@given(space=spaces(), data=st.data())
def test_a_chromosome_stands_for_values_and_values_for_a_chromosome(space: ChoiceSpace, data: st.DataObject) -> None:
    text = data.draw(st.text("01", min_size=space.length, max_size=space.length).map(Chromosome))
    values = space.values(text)
    for name, value in values.items():
        assert space.parameters[name]._contains(space.parameters[name].to_internal_repr(value))
    again = space.chromosome(values)
    assert again is not None
    assert space.values(again) == values
    assert space.phenotype(again) == space.phenotype(text)


@given(space=spaces())
def test_every_choice_has_a_chromosome(space: ChoiceSpace) -> None:
    for name, each in space.parameters.items():
        single = ChoiceSpace.of({name: each})
        found = {single.phenotype(Chromosome(f"{code:0{single.length}b}")) for code in range(2**single.length)}
        count = (
            len(each.choices)
            if isinstance(each, CategoricalDistribution)
            else len(range(each.low, each.high + 1, each.step))
        )
        assert found == {str(number) for number in range(count)}


def test_values_that_are_no_choice_have_no_chromosome() -> None:
    space = ChoiceSpace.of({"a": IntDistribution(0, 8, step=2), "b": CategoricalDistribution([None, "x"])})
    assert space.chromosome({"a": 8, "b": None}) is not None
    for values in ({"a": 8}, {"a": 7, "b": "x"}, {"a": 10, "b": "x"}, {"a": -2, "b": "x"}, {"a": 0, "b": "y"}, {}):
        assert space.chromosome(values) is None


def test_gray_codes_are_undone() -> None:
    assert [from_gray(number ^ (number >> 1)) for number in range(300)] == list(range(300))
