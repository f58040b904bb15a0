"""The progress of any run can be drawn, and nothing of it is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import Generation, RunState
from records.individuals import all_individuals
from reporting.figures.progress import draw_progress
from reporting.figures.theme import save_figure
from tests.pictures import check_files
from tests.reporting.examples import generation, generation_rows
from tests.reporting.figures.drawn import points


def test_with_early_stopping_each_axis_compares_trainings_of_one_length(state: RunState) -> None:
    figure = draw_progress(state.generations)
    assert len(figure.axes) == 2
    in_full = {
        (each.generation, round(each.fitness.value, 9))
        for each in all_individuals(state.generations)
        if each.fitness and each.fitness.epochs == 9
    }
    assert points(figure, 0, "after 9 epochs") == in_full
    assert figure.axes[1].get_title(loc="left") == "all, after 1 epoch"
    count = sum(len(np.asarray(line.get_xydata())) for line in figure.axes[1].lines if line.get_marker() == "o")
    assert count == len(all_individuals(state.generations))


RUNS: dict[str, list[Generation]] = {
    "no generation": [],
    "one individual": [generation(1, [0.5])],
    "one generation": [generation(1, [0.1, 0.5, 0.9])],
    "failures only": [generation(1, [None, None]), generation(2, [None])],
    "some failures": [generation(1, [None, 0.2]), generation(2, [None, None]), generation(3, [0.1, 0.3])],
    "many generations": [generation(number, [0.2, 0.2 + number / 200]) for number in range(1, 101)],
    "extremes": [generation(1, [0.0, 1.0]), generation(2, [1.0, 1.0])],
}


@pytest.mark.parametrize("name", RUNS)
def test_the_fitness_of_any_run_can_be_drawn(name: str, tmp_path: Path) -> None:
    check_files(save_figure(draw_progress(RUNS[name]), tmp_path, "fitness"), tmp_path, "fitness")
    assert {path.name for path in tmp_path.iterdir()} == {"fitness.svg", "fitness.png"}


@given(values=st.lists(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None)
def test_every_fitness_is_a_dot_and_the_best_so_far_never_falls(values: list[list[float | None]]) -> None:
    figure = draw_progress(generation_rows(values))
    (axes,) = figure.axes
    lines = {str(line.get_label()): line for line in axes.lines}
    dots = [
        (float(x), float(y))
        for label, line in lines.items()
        if label == "after 1 epoch"
        for x, y in np.asarray(line.get_xydata(), dtype=float)
    ]
    found = [(float(number), value) for number, row in enumerate(values, 1) for value in row if value is not None]
    assert sorted(dots) == sorted(found)
    if not found:
        assert [text.get_text() for text in axes.texts] == ["no training has succeeded yet"]
        return
    for number, best in np.asarray(lines["best so far"].get_xydata(), dtype=float):
        assert best == max(value for other, value in found if other <= number)


def test_equal_data_are_equal_pictures(tmp_path: Path) -> None:
    one, two, other = (
        save_figure(draw_progress(RUNS[name]), tmp_path / folder, "fitness")[1].read_bytes()
        for folder, name in (("a", "some failures"), ("b", "some failures"), ("c", "one generation"))
    )
    assert one == two != other


def test_equal_generations_are_equal_files(tmp_path: Path) -> None:
    one, two = (save_figure(draw_progress(RUNS["some failures"]), tmp_path / name, "fitness") for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    other = save_figure(draw_progress(RUNS["one generation"]), tmp_path / "c", "fitness")
    assert other[0].read_bytes() != one[0].read_bytes()
    assert other[1].read_bytes() != one[1].read_bytes()
