"""Files that follow from a run's state: what is pruned, and what can be read again."""

from __future__ import annotations

import json
import random
from pathlib import Path

from records import Limits
from storage.results import read_info
from tests.faults.small_run import (
    birth,
)
from tests.small_runs import Run, evolve


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


def test_what_was_written_can_be_read_again(halved: Run) -> None:
    rng = random.Random(0)
    for each in rng.sample(halved.individuals(), 5):
        info = read_info(halved.work.run.individual(each.name) / "info.json")
        assert info.individual == each
        assert info.result == halved.state.results[each.jobs[-1]]
    state = json.loads(halved.work.run.state(2).read_text())["content"]
    assert len(state["results"]) == 23
