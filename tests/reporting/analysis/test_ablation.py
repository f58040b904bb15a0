"""Differences of means and their intervals."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from reporting.analysis.ablation import difference

accuracies = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(accuracies, accuracies)
@example([0.0, 0.0], [0.0, 7e-124])
@settings(max_examples=200, deadline=None)
def test_the_interval_is_that_of_welch(values: list[float], reference: list[float]) -> None:
    found = difference(values, reference)
    assert found is not None
    assert found.half is not None
    if max(values) - min(values) > 1e-6 and max(reference) - min(reference) > 1e-6:
        expected = ttest_ind(values, reference, equal_var=False).confidence_interval(0.95)
        assert found.mean - found.half == pytest.approx(expected.low, abs=1e-9)
        assert found.mean + found.half == pytest.approx(expected.high, abs=1e-9)


def test_a_difference_of_single_values_has_no_interval_and_of_none_there_is_none() -> None:
    found = difference([0.9], [0.8, 0.7])
    assert found is not None
    assert found.mean == pytest.approx(0.15)
    assert found.half is None
    assert difference([], [0.5]) is None
