"""The confusions of a network."""

from __future__ import annotations

from reporting.evaluation.errors import common_confusions


def test_the_most_frequent_confusions_are_those_of_most_images() -> None:
    matrix = [[5, 3, 1], [3, 0, 0], [0, 7, 50]]
    found = [(each.truth, each.predicted, each.count) for each in common_confusions(matrix, ["a", "b", "c"])]
    assert found == [("c", "b", 7), ("b", "a", 3), ("a", "b", 3), ("a", "c", 1)]
    assert [round(each.share, 3) for each in common_confusions(matrix, "abc", 2)] == [0.123, 1]
    assert matrix[0] == [5, 3, 1]
    assert common_confusions([[4, 0], [0, 4]], "ab") == []
