"""What TensorBoard reads of a run: every curve once, hyperparameters once, and all of it again where it is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evolution
from records import InputError, RunState
from records.errors import SaveError
from reporting.watcher import Watchers
from reporting.watchers.tensorboard_log import METRICS, TensorBoardLog
from run.trainings import Means
from run.work import Work
from search.early_stopping import rungs_of, training_name
from search_space.genes import STANDARD
from search_space.space import NetworkSpace
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from tests.faults.small_run import InlineWorkers, NoSignals, Told, birth, evolved
from tests.small_runs import ALL

pytest.importorskip("tensorboard", reason="needs tensorboard (pip install -r requirements-extras.txt)")


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def evolve(folder: Path, state: RunState | None = None) -> Work:
    """Begins a run, or goes on with that of the folder, and shows it in TensorBoard."""
    run = RunDirectory(folder)
    state = state or load_state(folder)[1]
    save_state(run, state)
    log = TensorBoardLog(run, NetworkSpace.of(state).encoding.table)
    means = Means(workers=InlineWorkers(run), stop=NoSignals(), limits=ALL)
    return evolved(run, state, means, Watchers([Told(lambda line: None), log]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """Generations with elites, and rungs of 1, 3 and 9 epochs."""
    return evolve(tmp_path_factory.mktemp("run"), birth(0, "rich", generations=2))


def events(folder: Path) -> Iterator[Any]:
    """The events of all files of a folder, as TensorBoard's own reader finds them."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for path in sorted(folder.glob("events.out.tfevents.*")):
        yield from EventFileLoader(str(path)).Load()


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [
        (event.step, value.tensor.float_val[0])
        for event in events(folder)
        for value in event.summary.value
        if value.tag == tag
    ]


def hyperparameters(folder: Path) -> list[dict[str, Any]]:
    """The hyperparameters of each session that a folder starts."""
    from tensorboard.plugins.hparams import metadata

    found = []
    for event in events(folder):
        for value in event.summary.value:
            if value.tag == metadata.SESSION_START_INFO_TAG:
                start = metadata.parse_session_start_info_plugin_data(value.metadata.plugin_data.content)
                found.append({name: getattr(each, each.WhichOneof("kind")) for name, each in start.hparams.items()})
    return found


def test_every_training_has_its_curve_epoch_by_epoch(finished: Work) -> None:
    count, rungs = 0, rungs_of(finished.state)
    for each in finished.individuals():
        if each.origin == "elite":
            continue
        for epochs, key in zip(rungs, each.jobs, strict=False):
            folder = finished.run.tensorboard / training_name(each, epochs, rungs)
            result = finished.trainings.results[key]
            accuracies = [epoch.score or 0.0 for epoch in result.epochs]
            found = scalars(folder, "curve/accuracy")
            assert [step for step, _ in found] == list(range(1, len(accuracies) + 1))
            assert [value for _, value in found] == pytest.approx(accuracies, rel=1e-6)
            assert [step for step, _ in scalars(folder, "curve/training loss")] == list(range(1, len(accuracies) + 1))
            count += 1
    assert count == len(finished.trainings.results)


def test_curves_are_called_by_what_they_measure(finished: Work, tmp_path: Path) -> None:
    result = next(iter(finished.trainings.results.values()))
    run = RunDirectory(tmp_path)
    TensorBoardLog(run, STANDARD, "balanced accuracy").training("gen1/ind1", result)
    folder = run.tensorboard / "gen1/ind1"
    assert len(scalars(folder, "curve/balanced accuracy")) == len(result.epochs)
    assert not scalars(folder, "curve/accuracy")


def test_genes_and_fitness_stand_once_for_each_trained_individual(finished: Work) -> None:
    for each in finished.individuals():
        folder = finished.run.tensorboard / each.name
        if each.origin == "elite":
            assert not folder.exists()
            continue
        (found,) = hyperparameters(folder)
        assert found["generation"] == each.generation
        assert found["origin"] == each.origin
        assert {name: found[name] for name in ("kernel", "activation")} == {
            gene.name: gene.value(each.chromosome) for gene in STANDARD.genes if gene.name in ("kernel", "activation")
        }
        assert each.fitness is not None
        for tag in ("accuracy", *METRICS):
            ((step, value),) = scalars(folder, f"fitness/{tag}")
            assert step == each.fitness.epochs
            assert value == pytest.approx(each.fitness.value if tag == "accuracy" else getattr(each.fitness, tag))


def test_progress_has_a_step_for_each_generation(finished: Work) -> None:
    folder = finished.run.tensorboard / "progress"
    assert [step for step, _ in scalars(folder, "progress/best accuracy")] == [1, 2]
    spent = [value for _, value in scalars(folder, "progress/trainings")]
    epochs = sum(len(result.epochs) for result in finished.trainings.results.values())
    assert spent[-1] == pytest.approx(epochs / finished.state.training.epochs)


def files(run: RunDirectory) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(run.tensorboard.rglob("*")) if path.is_file()}


def test_a_run_that_goes_on_writes_nothing_twice(tmp_path: Path) -> None:
    first = evolve(tmp_path, birth(0, "rich", generations=3))
    before = files(first.run)
    shutil.rmtree(first.run.state(3).parent)
    evolve(tmp_path)
    assert files(first.run) == before


def test_a_folder_that_is_missing_is_filled_again(tmp_path: Path) -> None:
    first = evolve(tmp_path, birth(0, "rich", generations=2))
    before = files(first.run)
    shutil.rmtree(first.run.tensorboard)
    evolve(tmp_path)
    assert files(first.run) == before


def test_overwriting_a_run_removes_it(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "plain", generations=1)).run
    run.clear()
    assert not run.tensorboard.exists()


def test_a_full_disk_stops_it_like_any_other_file(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.results.mkdir()
    run.tensorboard.write_text("in the way")
    with pytest.raises(SaveError, match="tensorboard"):
        TensorBoardLog(run, STANDARD)


def test_where_it_is_not_installed_one_line_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        evolution.main(["--dataset", "digits", "--tensorboard", "--output_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()
