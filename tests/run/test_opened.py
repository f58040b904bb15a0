"""A run on disk, as Python code sees it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from records import InputError
from run import open_run
from run.history import COLUMNS
from run.opened import NUMBERS
from tests.faults.small_run import birth
from tests.small_runs import Run, evolve


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return evolve(tmp_path_factory.mktemp("run"), birth(0, "plain"))


def test_it_has_the_individuals_and_the_best_of_the_run(finished: Run) -> None:
    run = open_run(finished.folder)
    assert list(run.individuals) == finished.individuals()
    assert run.best == finished.work.engine.best
    assert (run.info, run.ablation) == (None, None)
    assert "3 generations" in repr(run)


def test_a_run_can_be_opened_as_of_one_of_its_states(finished: Run) -> None:
    run = open_run(finished.work.run.state(1))
    assert {each.generation for each in run.individuals} == {1}


def test_its_history_has_numbers_where_there_are_numbers(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    rows = open_run(finished.folder).history()
    assert set(NUMBERS) <= set(COLUMNS) == set(rows[0])
    for row, individual in zip(rows, finished.individuals(), strict=True):
        assert (row["generation"], row["individual"]) == (individual.generation, individual.index)
        assert row["chromosome"] == individual.chromosome
        assert individual.fitness is not None
        assert row["validation_accuracy"] == individual.fitness.value
        assert row["latency_ms"] is None


def test_its_history_is_a_frame_where_pandas_is_installed(finished: Run) -> None:
    pandas = pytest.importorskip("pandas")
    frame = open_run(finished.folder).history()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["chromosome"]) == [each.chromosome for each in finished.individuals()]


def test_figures_go_by_the_names_of_the_report(finished: Run) -> None:
    run = open_run(finished.folder)
    assert run.figure("progress").axes
    with pytest.raises(InputError, match=r"there is no figure 'nonsense' of this run; there are .*progress"):
        run.figure("nonsense")


def test_a_network_that_was_not_handed_over_is_refused(finished: Run) -> None:
    with pytest.raises(InputError, match="has no best model yet; resume the run to its end"):
        open_run(finished.folder).model()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        open_run(tmp_path)
