"""Energy is counted once, however many trainings share a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import TrainingResult
from records.costs import Energy
from reporting.analysis.energy import covered, energy_used
from tests.reporting.examples import result


# Energy
def trained(
    started: float, before: float, after: float, device: str = "gpu 0", gpu: str = "A", seconds: float = 10.0
) -> TrainingResult:
    found = result(f"{gpu} {started}", started, seconds, device)
    return replace(found, cost=replace(found.cost, energy=Energy(gpu=gpu, before=before, after=after)))


def joules(*results: TrainingResult) -> dict[str, float]:
    found = energy_used(results)
    return {} if found is None else dict(found.joules)


def test_energy_is_what_the_counters_ran_through_while_something_trained() -> None:
    one, other = trained(1, 500, 900), trained(20, 1000, 1300)
    assert joules(one, other) == joules(other, one) == {"gpu 0": 700}
    assert joules(one, other, trained(1, 9000, 9001, "gpu 1", "B")) == {"gpu 0": 700, "gpu 1": 1}


def test_trainings_side_by_side_on_one_gpu_are_counted_once() -> None:
    both = trained(1, 500, 900, "gpu 0.1"), trained(2, 540, 950, "gpu 0.2")
    assert joules(*both) == {"gpu 0": 450}
    assert joules(trained(1, 500, 900, "a.example.org gpu 0.1")) == {"a.example.org gpu 0": 400}
    assert joules(trained(1, 500, 900, "10.0.0.7 gpu 12")) == {"10.0.0.7 gpu 12": 400}


def test_a_driver_that_was_loaded_anew_begins_at_zero() -> None:
    before, after = trained(1, 500, 900), trained(1000, 10, 600)
    assert joules(before, after) == {"gpu 0": 990}
    assert joules(before, after, trained(1020, 650, 700), trained(1021, 640, 710)) == {"gpu 0": 1060}


def test_trainings_whose_clocks_and_counters_disagree_a_little_are_no_new_driver() -> None:
    assert joules(trained(1.00, 505, 900), trained(1.01, 500, 890)) == {"gpu 0": 400}


def test_one_gpu_under_two_names_and_two_under_one() -> None:
    assert joules(trained(1, 0, 5, "gpu 3"), trained(20, 7, 8, "gpu 0")) == {"gpu 3": 6}
    assert joules(trained(1, 0, 5), trained(20, 7, 8, gpu="B")) == {"gpu 0": 6}


def test_where_nothing_is_known_nothing_is_said_and_what_is_missing_is() -> None:
    assert energy_used([]) is None
    assert energy_used([result("a", 1.0, 1.0)]) is None
    found = energy_used([result("a", 1.0, 1.0), trained(2, 0, 3.6e6)])
    assert found is not None
    assert found.words == "1.00 kWh (gpu 0 1.00; 1 of 2 trainings)"


def test_what_an_earlier_run_paid_for_is_not_counted() -> None:
    paid = trained(1, 0, 100)
    assert energy_used([replace(paid, cost=replace(paid.cost, reused="/earlier"))]) is None


def test_energy_in_words_names_each_gpu_in_order() -> None:
    found = energy_used(
        [trained(1, 0, 3.6e6, "gpu 10", "A"), trained(1, 0, 9e5, "gpu 2", "B"), trained(1, 0, 7.2e9, "gpu 1", "C")]
    )
    assert found is not None
    assert found.words == "2,001.25 kWh (gpu 1 2,000.00, gpu 2 0.25, gpu 10 1.00)"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=8))
def test_what_intervals_cover_is_counted_once(pairs: list[list[int]]) -> None:
    units = {unit for start, end in pairs for unit in range(start, end)}
    assert covered((float(start), float(end)) for start, end in pairs) == len(units)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=8),
    st.integers(0, 10**6),
    st.floats(1, 1000),
)
def test_on_a_gpu_of_one_power_energy_is_power_times_the_time_in_which_something_trained(
    trainings: list[tuple[int, int]], offset: int, power: float
) -> None:
    results = [
        trained(1 + start, power * (offset + start), power * (offset + start + length), seconds=length)
        for start, length in trainings
    ]
    busy = {second for start, length in trainings for second in range(start, start + length)}
    assert joules(*results) == pytest.approx({"gpu 0": power * len(busy)})
