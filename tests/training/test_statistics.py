"""Calibration against cases computed by hand, and bounds that hold for any confidences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.statistics import (
    Bin,
    Flags,
    Reals,
    balanced_interval,
    calibration,
    is_uneven,
    surest_mistakes,
    top_confidence,
    wilson_interval,
)

CONFIDENCES = st.floats(1e-6, 1)
CASES = st.lists(st.tuples(CONFIDENCES, st.booleans()), min_size=1, max_size=60)


def arrays(cases: list[tuple[float, bool]]) -> tuple[Reals, Flags]:
    return np.array([sure for sure, _ in cases]), np.array([right for _, right in cases])


def test_the_error_is_that_of_a_case_computed_by_hand() -> None:
    """Two bins: 0.2 and 0.4 with one of two right, 0.8, 0.9 and 1.0 with one of three right."""
    found = calibration(np.array([0.2, 0.8, 0.4, 0.9, 1.0]), np.array([True, True, False, False, False]), bins=2)
    lower, upper = found.bins
    assert (lower.count, upper.count) == (2, 3)
    assert [lower.confidence, lower.accuracy] == pytest.approx([0.3, 0.5])
    assert [upper.confidence, upper.accuracy] == pytest.approx([0.9, 1 / 3])
    assert found.ece == pytest.approx(2 / 5 * abs(0.5 - 0.3) + 3 / 5 * abs(1 / 3 - 0.9))
    assert found.mean_confidence == pytest.approx(0.66)
    assert found.max_confidence == 1


def test_a_bin_holds_its_upper_edge_and_not_its_lower() -> None:
    found = calibration(np.array([0.25, 0.5, 0.75, 1.0, 0.2500001]), np.ones(5, dtype=bool), bins=4)
    assert [each.count for each in found.bins] == [1, 2, 1, 1]


def test_a_bin_without_images_has_no_accuracy() -> None:
    found = calibration(np.array([0.99]), np.array([True]))
    assert len(found.bins) == 15
    assert found.bins[0] == Bin(count=0, confidence=None, accuracy=None)


@given(CASES, st.integers(1, 20))
@settings(deadline=None)
def test_the_error_lies_between_0_and_1_and_every_image_in_one_bin(cases: list[tuple[float, bool]], bins: int) -> None:
    found = calibration(*arrays(cases), bins=bins)
    assert 0 <= found.ece <= 1 + 1e-12
    assert len(found.bins) == bins
    assert sum(each.count for each in found.bins) == len(cases)
    for number, each in enumerate(found.bins):
        if each.confidence is not None and each.accuracy is not None:
            assert number / bins - 1e-9 <= each.confidence <= (number + 1) / bins + 1e-9
            assert 0 <= each.accuracy <= 1


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=10))
@settings(deadline=None)
def test_a_network_that_is_right_as_often_as_it_is_sure_has_no_error(groups: list[tuple[int, int]]) -> None:
    """Groups of images with one confidence, which is the share of them that is right."""
    cases = [
        (min(right, count) / count, place < min(right, count)) for right, count in groups for place in range(count)
    ]
    assert calibration(*arrays(cases)).ece == pytest.approx(0, abs=1e-12)


@given(CASES)
@settings(deadline=None)
def test_the_gap_of_the_means_is_at_most_the_error(cases: list[tuple[float, bool]]) -> None:
    confidence, correct = arrays(cases)
    assert abs(confidence.mean() - correct.mean()) <= calibration(confidence, correct).ece + 1e-12


@given(st.lists(st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3), min_size=1, max_size=10))
@settings(deadline=None)
def test_the_confidence_is_the_largest_probability_of_a_softmax(rows: list[list[float]]) -> None:
    logits = np.array(rows)
    odds = np.exp(logits)
    assert top_confidence(logits) == pytest.approx((odds / odds.sum(axis=1, keepdims=True)).max(axis=1))


def test_large_logits_do_not_overflow() -> None:
    assert top_confidence(np.array([[1e4, -1e4], [3e38, 3e38]], dtype=np.float32)).tolist() == [1, 0.5]


def test_the_surest_mistakes_come_first_and_ties_as_the_images_do() -> None:
    confidence = np.array([0.9, 0.5, 0.99, 0.7, 0.7, 0.3])
    correct = np.array([True, False, False, False, False, False])
    assert surest_mistakes(confidence, correct, 4).tolist() == [2, 3, 4, 1]
    assert surest_mistakes(confidence, correct, 99).tolist() == [2, 3, 4, 1, 5]
    assert surest_mistakes(confidence, np.ones(6, dtype=bool), 4).tolist() == []


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (0, 0, 0, 1), (9000, 10000, 0.8940, 0.9057)],
)
def test_the_interval_is_that_of_wilson(right: int, count: int, low: float, high: float) -> None:
    assert wilson_interval(right, count) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10_000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
@settings(deadline=None)
def test_the_interval_holds_the_share(case: tuple[int, int]) -> None:
    right, count = case
    low, high = wilson_interval(right, count)
    assert 0 <= low <= right / count <= high <= 1


def test_the_interval_of_a_balanced_accuracy_of_one_class_is_that_of_its_share() -> None:
    assert balanced_interval([7], [10]) == pytest.approx(wilson_interval(7, 10))
    assert balanced_interval([7, 0], [10, 0]) == pytest.approx(wilson_interval(7, 10))


def test_the_interval_of_a_balanced_accuracy_holds_it_about_as_often_as_it_says() -> None:
    """5,000 draws of three classes with 15, 40 and 200 images."""
    rng, counts, shares = np.random.default_rng(0), [15, 40, 200], [0.6, 0.8, 0.95]
    truth, inside = sum(shares) / 3, 0
    for right in rng.binomial(counts, shares, (5000, 3)).tolist():
        low, high = balanced_interval(right, counts)
        inside += low <= truth <= high
    assert 0.94 < inside / 5000 < 0.97


@pytest.mark.parametrize(
    ("counts", "expected"), [([], False), ([3], False), ([2, 3], False), ([20, 31], True), ([0, 5], True)]
)
def test_classes_are_uneven_from_half_as_many_images_more_on(counts: list[int], expected: bool) -> None:
    assert is_uneven(counts) == expected
