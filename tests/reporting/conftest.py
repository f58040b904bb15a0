"""Runs that several tests of reporting read, each made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from records import RunState
from storage.checkpoint import load_state
from tests.faults.small_run import birth
from tests.small_runs import evolve


@pytest.fixture(scope="session")
def halved(tmp_path_factory: pytest.TempPathFactory) -> RunState:
    """Two generations with elites, rungs of 1, 3 and 9 epochs, forecasts, and two objectives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return evolve(tmp_path_factory.mktemp("halved"), birth(0, "rich")).state


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run like `halved` of four generations; nothing was handed over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return evolve(tmp_path_factory.mktemp("finished"), birth(0, "rich", generations=4)).folder


@pytest.fixture(scope="session")
def state(finished: Path) -> RunState:
    """The state of the run in `finished`."""
    return load_state(finished)[1]
