from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from run.measurement import SAMPLE, sample
from run.planning import all_sizes, count_networks, disk_bytes, makespan, run_seconds, taken_over
from run.training_time import TrainingTime
from search_space.space import NetworkSpace
from storage.directory import RunDirectory
from tests.faults.small_run import birth, inline

STATE = birth(0)
PLAIN = replace(STATE, search=replace(STATE.search, early_stopping="none", finalists=0))


@pytest.mark.parametrize(("devices", "expected"), [(1, 10.0), (2, 5.0), (3, 4.0), (8, 4.0)])
def test_the_longest_training_goes_first(devices: int, expected: float) -> None:
    assert makespan([1.0, 2.0, 3.0, 4.0], devices) == expected


def test_later_generations_train_no_elites() -> None:
    search = PLAIN.search
    assert all_sizes(PLAIN) == [[(4, 1)], *[[(4 - search.elitism, 1)]] * (search.generations - 1)]


def test_a_sample_is_the_same_for_a_seed_and_goes_by_cost() -> None:
    networks = sample(NetworkSpace.of(STATE), 1)
    assert networks == sample(NetworkSpace.of(STATE), 1)
    assert len(networks) == SAMPLE
    flops = [each.cost.flops for each in networks]
    assert flops == sorted(flops)


def test_the_networks_of_the_standard_space_are_counted_exactly() -> None:
    space = NetworkSpace.of(STATE)
    assert "of 32,768 settings of 15 coding bits" in count_networks(space, sample(space, 0))


def test_more_generations_take_longer_and_more_disk_and_more_devices_less_time() -> None:
    networks, time = sample(NetworkSpace.of(PLAIN), 0), TrainingTime()
    longer = replace(PLAIN, search=replace(PLAIN.search, generations=20))
    assert run_seconds(longer, networks, time, 1) > run_seconds(PLAIN, networks, time, 1)
    assert run_seconds(longer, networks, time, 4) < run_seconds(longer, networks, time, 1)
    assert disk_bytes(longer, networks, 3) > disk_bytes(PLAIN, networks, 3)


def test_a_steady_state_trains_no_elites_and_waits_for_no_generation() -> None:
    networks, time = sample(NetworkSpace.of(PLAIN), 0), TrainingTime()
    generations = replace(PLAIN, search=replace(PLAIN.search, generations=10, elitism=0))
    steady = replace(generations, search=replace(generations.search, scheme="steady_state", elitism=1))
    assert all_sizes(steady) == all_sizes(generations) == [[(4, 1)]] * 10
    assert run_seconds(steady, networks, time, 4) < run_seconds(generations, networks, time, 4)


def test_what_earlier_runs_have_trained_takes_no_time_at_the_beginning(tmp_path: Path) -> None:
    inline(tmp_path / "earlier")
    earlier = [RunDirectory(tmp_path / "earlier")]
    assert taken_over(STATE, earlier) == {each.name for each in STATE.population}
    assert taken_over(birth(1), earlier) == frozenset()
    networks, time = sample(NetworkSpace.of(PLAIN), 0), TrainingTime()
    known = taken_over(PLAIN, earlier)
    for scheme in ("generations", "steady_state"):
        state = replace(PLAIN, search=replace(PLAIN.search, scheme=scheme))
        assert run_seconds(state, networks, time, 1, known) < run_seconds(state, networks, time, 1)


def test_a_damaged_result_of_an_earlier_run_counts_as_none(tmp_path: Path) -> None:
    inline(tmp_path / "earlier")
    run = RunDirectory(tmp_path / "earlier")
    for path in run.jobs.iterdir():
        path.write_bytes(b"{")
    assert taken_over(STATE, [run]) == frozenset()
