"""The confusion matrix can be drawn for any number of classes and whatever they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from reporting.evaluation.confusion_figure import block_size, blocks, draw_confusion
from reporting.figures.theme import GREY, INK, PAPER, save_figure
from tests.pictures import check_files


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
    (image,) = draw_confusion(matrix.tolist(), ["name"] * 1000).axes[0].collections
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
