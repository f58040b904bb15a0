"""The summary of an evaluation for a terminal."""

from __future__ import annotations

from reporting.evaluation.summary import class_lines


def test_the_columns_of_the_classes_are_aligned_whatever_their_names() -> None:
    row = {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "images": 1234}
    lines = class_lines([{**row, "class": name} for name in ("ox", "a long name", "猫", "Ka\u0308fer")])
    assert lines[0].split() == ["class", "precision", "recall", "F1", "images"]
    assert all(line.endswith("     0.5000  1.0000  0.6667   1,234") for line in lines[1:])
    assert [len(line) for line in lines] == [len(lines[0])] * 3 + [len(lines[0]) - 1, len(lines[0]) + 1]
