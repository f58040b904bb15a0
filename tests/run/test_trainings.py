"""Trainings of a run: what is known, reused from earlier runs, or trained again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import tests.faults.small_run as small_run
from records import Limits, TrainingResult
from storage.directory import RunDirectory
from storage.results import find_result, sound_weights
from tests.faults.small_run import (
    InlineWorkers,
    NoSignals,
    birth,
    fingerprint,
    go_on,
)
from tests.small_runs import ALL, evolve, trainings


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
