"""Numbers in words."""

from __future__ import annotations

import pytest

from records.words import counted, percentage_points


@pytest.mark.parametrize(("number", "words"), [(0, "0 bits"), (1, "1 bit"), (2000, "2,000 bits")])
def test_one_is_one_and_many_are_many(number: int, words: str) -> None:
    assert counted(number, "bit") == words


def test_differences_have_their_sign() -> None:
    assert (percentage_points(0.01234), percentage_points(-0.5)) == ("+1.23 points", "−50.00 points")
