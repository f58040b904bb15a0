"""The scores of classes as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reporting.evaluation.class_scores_figure import draw_classes, worst_classes
from reporting.figures.theme import save_figure
from tests.pictures import check_files


def rows(classes: int, **figures: float) -> list[dict[str, Any]]:
    values = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "images": 7, **figures}
    return [{"class": f"class {number}", **values} for number in range(classes)]


def test_few_classes_are_drawn_in_their_order_and_of_many_the_worst() -> None:
    few = rows(20)
    few[3]["f1"] = 0.1
    assert worst_classes(few) == few
    many = rows(300)
    for number in range(300):
        many[number]["f1"] = 1 - number / 300
    assert [row["class"] for row in worst_classes(many)] == [f"class {number}" for number in range(299, 279, -1)]
    few[4]["images"] = 0
    assert few[4] not in worst_classes(few)  # nothing is known of a class without images


@pytest.mark.parametrize("classes", [1, 2, 20])
def test_every_class_has_three_bars_and_its_number_of_images(classes: int, tmp_path: Path) -> None:
    figure = draw_classes(rows(classes))
    axes = figure.axes[0]
    assert sorted({round(bar.get_width(), 3) for bar in axes.patches}) == [0.25, 0.333, 0.5]  # type: ignore[attr-defined]
    assert len(axes.patches) == 3 * classes
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"class {number} (7)" for number in range(classes)]
    check_files(save_figure(figure, tmp_path, "classes"), tmp_path, "classes")
