"""The Pareto front with its letters."""

from __future__ import annotations

from records import RunState
from records.individuals import all_individuals
from reporting.figures.pareto_front import draw_front, letters
from search.ranking import pareto_front
from tests.reporting.figures.drawn import texts


def test_the_front_is_lettered_and_equal_points_share_their_place(state: RunState) -> None:
    individuals = all_individuals(state.generations)
    front = pareto_front(individuals, state.search.objectives)
    figure = draw_front(individuals, [*front, front[0]], "parameters")
    marks = texts(figure)
    assert marks[0] == f"A, {letters(len(front) + 1)[-1]}"
    assert marks[1:] == letters(len(front))[1:]
    assert figure.axes[0].get_xlabel() == "parameters"


def test_letters_go_on_after_z() -> None:
    assert letters(28)[25:] == ["Z", "A1", "B1"]
