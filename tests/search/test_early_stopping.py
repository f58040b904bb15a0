"""Rungs, who goes on, what a budget pays for, and the median rule."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.early_stopping import RUNGS, affordable, median_curve, promoted, rung_sizes, rungs

factors = st.integers(2, 6)


@pytest.mark.parametrize(
    ("epochs", "factor", "expected"),
    [
        (5, 3, (1, 2, 5)),
        (9, 3, (1, 3, 9)),
        (27, 3, (3, 9, 27)),
        (8, 2, (2, 4, 8)),
        (2, 3, (1, 2)),
        (1, 3, (1,)),
    ],
)
def test_each_rung_is_a_factor_longer_than_the_one_before(epochs: int, factor: int, expected: tuple[int, ...]) -> None:
    assert rungs(epochs, factor) == expected


@given(epochs=st.integers(1, 1000), factor=factors)
def test_rungs_rise_from_one_epoch_or_more_to_the_full_training(epochs: int, factor: int) -> None:
    found = rungs(epochs, factor)
    assert found[-1] == epochs
    assert found[0] >= 1
    assert list(found) == sorted(set(found))
    assert len(found) <= RUNGS


@pytest.mark.parametrize(("count", "factor", "expected"), [(9, 3, 3), (10, 3, 4), (8, 3, 3), (1, 3, 1), (0, 3, 0)])
def test_one_in_so_many_goes_on_rounded_up(count: int, factor: int, expected: int) -> None:
    assert promoted(count, factor) == expected


@given(count=st.integers(1, 100), epochs=st.integers(1, 100), factor=factors)
def test_every_rung_has_networks_and_fewer_than_the_one_before(count: int, epochs: int, factor: int) -> None:
    sizes = rung_sizes(count, epochs, factor)
    assert [length for _, length in sizes] == list(rungs(epochs, factor))
    assert sizes[0][0] == count
    for (before, _), (after, _) in pairwise(sizes):
        assert 1 <= after <= before
        assert after == promoted(before, factor)


def cost(count: int, epochs: int, factor: int) -> int:
    return sum(size * length for size, length in rung_sizes(count, epochs, factor))


@given(most=st.integers(0, 40), left=st.integers(0, 500), epochs=st.integers(1, 30), factor=factors)
def test_as_many_networks_are_affordable_as_the_epochs_left_pay_for(
    most: int, left: int, epochs: int, factor: int
) -> None:
    count = affordable(most, left, epochs, factor)
    assert 0 <= count <= most
    assert count == 0 or cost(count, epochs, factor) <= left
    assert count == most or cost(count + 1, epochs, factor) > left


def test_the_median_at_an_epoch_is_of_those_that_reached_it() -> None:
    curves = [(0.1, 0.4, 0.9), (0.3,), (0.2, 0.6), (0.8,)]
    assert median_curve(curves) == (0.25, 0.5, 0.9)
    assert median_curve([]) == ()


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), min_size=1, max_size=8))
def test_a_median_curve_is_as_long_as_the_longest_training(curves: list[list[float]]) -> None:
    found = median_curve(curves)
    assert len(found) == max(len(curve) for curve in curves)
    for epoch, value in enumerate(found):
        assert value == statistics.median(curve[epoch] for curve in curves if len(curve) > epoch)
