"""Numbers in words."""

from __future__ import annotations

import pytest

from records.words import counted, mean_with_error, percentage_points


@pytest.mark.parametrize(("number", "words"), [(0, "0 bits"), (1, "1 bit"), (2000, "2,000 bits")])
def test_one_is_one_and_many_are_many(number: int, words: str) -> None:
    assert counted(number, "bit") == words


def test_differences_have_their_sign() -> None:
    assert (percentage_points(0.01234), percentage_points(-0.5)) == ("+1.23 points", "−50.00 points")


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [(0.91666, 0.00404, "0.9167 ± 0.0040"), (0.91666, None, "0.9167"), (0.0, 0.0, "0.0000 ± 0.0000")],
)
def test_a_mean_is_written_with_its_error_where_there_is_one(mean: float, error: float | None, text: str) -> None:
    assert mean_with_error(mean, error) == text


def test_a_difference_is_written_in_points_with_its_sign_and_error() -> None:
    assert percentage_points(0.0123) == "+1.23 points"
    assert percentage_points(-0.0123, 0.004) == "−1.23 points ± 0.40"
