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

import evolution
from records import Individual, InputError, RunState
from records.errors import SaveError
from records.runs import DataFacts
from records.texts import JobKey
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

from optuna.distributions import CategoricalDistribution  # noqa: E402
from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

from reporting.watchers.optuna_study import STUDY, OptunaStudy, distributions_of  # noqa: E402


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
