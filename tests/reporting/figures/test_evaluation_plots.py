"""Figures of an evaluation: readable for few and for many classes, whatever the classes are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from reporting.figures.evaluation_plots import (
    block_size,
    blocks,
    draw_classes,
    draw_confusion,
    draw_reliability,
    worst_classes,
)
from reporting.figures.theme import GREY, INK, PAPER, save_figure
from tests.pictures import check_files
from training.statistics import calibration


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_confusion_matrix_can_be_drawn_for_few_and_for_many_classes(classes: int, tmp_path: Path) -> None:
    matrix = [[9 if row == column else row % 2 for column in range(classes)] for row in range(classes)]
    matrix[1] = [0] * classes  # a class without test images
    figure = draw_confusion(matrix, [f"class {number}" for number in range(classes)])
    check_files(save_figure(figure, tmp_path, "confusion"), tmp_path, "confusion")


def test_counts_and_names_are_written_where_they_are_readable() -> None:
    few = draw_confusion([[5, 1], [2, 1234]], ["oak", "ash"]).axes[0]
    assert [text.get_text() for text in few.texts] == ["5", "1", "2", "1234"]
    assert [label.get_text() for label in few.get_xticklabels()] == ["oak", "ash"]
    assert [label.get_text() for label in few.get_yticklabels()] == ["oak", "ash"]
    many = draw_confusion([[1] * 100] * 100, [str(number) for number in range(100)]).axes[0]
    assert not many.texts


@pytest.mark.parametrize("name", ["$x^$", "a$b$c", "100 %", '<tree> & "leaf"', "snake_case_1", "\\alpha{", "{}"])
def test_any_name_of_a_class_can_be_drawn(name: str, tmp_path: Path) -> None:
    figure = draw_confusion([[5, 1], [2, 7]], [name, "other"])
    check_files(save_figure(figure, tmp_path, "confusion"), tmp_path, "confusion")


@pytest.mark.parametrize("name", ["日本", "🐕", "a" * 60])
def test_names_of_classes_that_are_foreign_or_long_are_drawn_without_a_warning(name: str, tmp_path: Path) -> None:
    figure = draw_confusion([[5, 1], [2, 7]], [name, "other"])
    check_files(save_figure(figure, tmp_path, "confusion"), tmp_path, "confusion")


def test_equal_confusion_matrices_are_equal_files(tmp_path: Path) -> None:
    one, two = (
        save_figure(draw_confusion([[5, 1], [2, 7]], ["a", "b"]), tmp_path / name, "confusion") for name in "ab"
    )
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_count_stands_out_from_its_cell() -> None:
    texts = draw_confusion([[9, 1, 0], [0, 10, 0], [3, 3, 4]], ["a", "b", "c"]).axes[0].texts
    colours = {text.get_text(): to_hex(str(text.get_color())).upper() for text in texts}
    assert (colours["10"], colours["9"], colours["1"], colours["0"]) == (PAPER, PAPER, INK, GREY)


def test_names_are_written_up_to_a_hundred_classes_and_numbers_beyond() -> None:
    hundred = draw_confusion(np.eye(100, dtype=int).tolist(), [f"class {number}" for number in range(100)]).axes[0]
    assert [text.get_text() for text in hundred.get_yticklabels()][99] == "class 99"
    more = draw_confusion(np.eye(101, dtype=int).tolist(), [f"class {number}" for number in range(101)]).axes[0]
    assert more.get_ylabel() == "true class, by number"
    assert not any("class" in text.get_text() for text in more.get_yticklabels())


def test_a_thousand_classes_are_drawn_in_blocks_that_hide_no_mistake() -> None:
    matrix = 10 * np.eye(1000, dtype=int)
    matrix[3, 998] = 10
    (image,) = draw_confusion(matrix.tolist(), ["name"] * 1000).axes[0].images
    cells: Any = np.ma.filled(np.ma.asarray(image.get_array()), 0)
    assert cells.shape == (200, 200)
    assert [place.tolist() for place in np.nonzero(cells)] == [[0], [199]]
    assert cells[0, 199] == 0.5


@given(st.integers(1, 60), st.integers(1, 9))
@settings(deadline=None, max_examples=30)
def test_a_block_is_as_large_as_its_largest_cell(classes: int, size: int) -> None:
    shares = np.random.default_rng(classes).random((classes, classes))
    found = blocks(shares, size)
    assert found.shape == (-(-classes // size),) * 2
    for row, column in np.ndindex(found.shape):
        block = shares[row * size : (row + 1) * size, column * size : (column + 1) * size]
        assert found[row, column] == block.max()


@pytest.mark.parametrize(("classes", "size"), [(2, 1), (200, 1), (201, 2), (1000, 5)])
def test_there_are_at_most_200_rows_of_cells(classes: int, size: int) -> None:
    assert block_size(classes) == size


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


def test_a_bar_of_a_reliability_diagram_ends_at_the_accuracy_of_its_bin(tmp_path: Path) -> None:
    confidence, correct = np.array([0.55, 0.55, 0.99, 0.95]), np.array([True, False, True, True])
    found = calibration(confidence, correct)
    report = {
        "bins": [
            {"count": each.count, "confidence": each.confidence, "accuracy": each.accuracy} for each in found.bins
        ],
        "mean_confidence": found.mean_confidence,
    }
    figure = draw_reliability(report)
    heights = [bar.get_height() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert heights == [0.5, 1.0]
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 1  # type: ignore[attr-defined]
    check_files(save_figure(figure, tmp_path, "reliability"), tmp_path, "reliability")
