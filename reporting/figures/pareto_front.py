"""The Pareto front of accuracy and another objective."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from records import Individual
from records.objectives import OBJECTIVES
from reporting.analysis.accuracies import longest_epochs
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import DOT, ORANGE, new_figure, theme, validation_label
from reporting.run_view import RunView
from search.ranking import pareto_front

FRONT: Any = {"linestyle": "--", "linewidth": 1, "marker": "D", "markersize": 6, "color": ORANGE}
Point = tuple[float, float]


def figures(view: RunView) -> Iterator[ReportFigure]:
    objectives = view.state.search.objectives
    front = pareto_front(view.individuals, objectives)
    for name in objectives[1:] if front else ():
        figure = draw_front(view.individuals, front, name, view.metric_name)
        yield ReportFigure(figure, f"front-{name}", f"{view.metric_name} against {name}")


def draw_front(
    individuals: Sequence[Individual], front: Sequence[Individual], objective: str, metric_name: str = "accuracy"
) -> Figure:
    """Accuracy against another objective: all fully trained networks, and the front with its letters."""
    longest = longest_epochs(individuals)

    def points(some: Sequence[Individual]) -> list[Point]:
        fitnesses = [each.fitness for each in some if each.fitness and each.fitness.epochs == longest]
        return [(OBJECTIVES[objective].scale * fitness.objective(objective), fitness.value) for fitness in fitnesses]

    with theme():
        figure = new_figure(5.6, 3.8)
        axes = figure.subplots()
        others, on_front = points([each for each in individuals if each not in front]), points(front)
        axes.plot([x for x, _ in others], [y for _, y in others], **DOT)
        axes.plot([x for x, _ in on_front], [y for _, y in on_front], **FRONT)
        _write_letters(axes, on_front)
        axes.set_xscale("log")
        axes.set_xlabel(OBJECTIVES[objective].axis)
        axes.set_ylabel(validation_label(metric_name))
    return figure


def _write_letters(axes: Axes, points: Sequence[Point]) -> None:
    """Writes the letters of the front; equal points share their place."""
    marks = letters(len(points))
    for point in dict.fromkeys(points):
        words = ", ".join(mark for mark, other in zip(marks, points, strict=True) if other == point)
        axes.annotate(words, point, textcoords="offset points", xytext=(6, -10), fontweight="bold")


def letters(count: int) -> list[str]:
    """A, B, … Z, A1, B1, …"""
    return [f"{string.ascii_uppercase[n % 26]}{n // 26 or ''}" for n in range(count)]
