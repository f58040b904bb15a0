"""Fixtures of the tests of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.faults.small_run import birth
from tests.small_runs import Run, evolve


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What a loss of power leaves is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two generations of 8 with one elite, 9 epochs in rungs of 1, 3 and 9."""
    return evolve(tmp_path_factory.mktemp("halved"), birth(0, "rich"))
