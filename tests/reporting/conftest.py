"""Runs that several tests of reporting read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from records import RunState
from tests.faults.small_run import birth
from tests.run.test_loop import evolve


@pytest.fixture(scope="session")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunState]:
    """Two generations with elites, rungs of 1, 3 and 9 epochs, forecasts, and two objectives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        folder: Path = tmp_path_factory.mktemp("halved")
        yield evolve(folder, birth(0, "rich")).state
