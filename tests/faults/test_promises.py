"""A few cases of every promise; `make faults` runs the full counts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.promises import PROMISES, Promise, one_run_per_folder, runs_for_ever, steps_of_a_run


def seeds(promise: Promise) -> list[int]:
    """Evenly spread if every seed is a different place, otherwise random, but the same in every session."""
    if promise.case.__name__ in ("no_bad_instant", "full_disk"):
        return [round(index * steps_of_a_run(promise.variant) / promise.quick) for index in range(promise.quick)]
    if promise.in_order:
        return list(range(promise.quick))
    rng = random.Random(promise.number)
    return [rng.randrange(10**6) for _ in range(promise.quick)]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_a_promise_is_held(promise: Promise, tmp_path: Path) -> None:
    if promise.case is runs_for_ever:
        runs_for_ever(0, tmp_path, jobs=1000)
        return
    if promise.case is one_run_per_folder:
        one_run_per_folder(0, tmp_path, starts=10)
        return
    for seed in seeds(promise):
        (tmp_path / str(seed)).mkdir()  # of its own, as some cases put files beside the run
        promise.hold(seed, tmp_path / str(seed) / "run")
