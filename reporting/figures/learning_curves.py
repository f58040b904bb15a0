"""The learning curves of all individuals, generation by generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from records import Generation, Individual, TrainingResult
from records.individuals import best_measured
from records.texts import JobKey
from reporting.analysis.accuracies import longest_epochs
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import BLUE, GREY, ORANGE, empty_figure, new_figure, theme, validation_label
from reporting.run_view import RunView

Curve = tuple[Individual, list[float]]  # an individual, and its accuracy after each epoch


def figures(view: RunView) -> Iterator[ReportFigure]:
    if longest_epochs(view.individuals) > 1:
        yield ReportFigure(
            draw_learning_curves(view.state.generations, view.state.results, view.metric_name),
            "curves",
            "learning curves",
            "The longest training of each individual, generation by generation. Curves that are still rising at their "
            "end call for more epochs.",
        )


def draw_learning_curves(
    generations: Sequence[Generation], results: Mapping[JobKey, TrainingResult], metric_name: str = "accuracy"
) -> Figure:
    """The accuracy over epochs in each individual's longest training, generations side by side."""
    curves = {generation.number: _curves(generation, results) for generation in generations}
    longest = max((len(curve) for found in curves.values() for _, curve in found), default=0)
    with theme({"axes.grid": False}):
        if longest == 0:
            return empty_figure("no training has succeeded yet")
        figure = new_figure(min(16.0, max(5.6, 0.75 * len(curves))), 3.2)
        axes = figure.subplots()
        for number, found in curves.items():
            _draw_generation(axes, number, found, longest)
        axes.plot([], [], color=ORANGE, label="best of the generation")
        axes.plot([], [], color=BLUE, alpha=0.5, label="others")
        axes.legend(loc="lower right", ncols=2)
        for number in list(curves)[1:]:
            axes.axvline(number - 0.5, color=GREY, linewidth=0.5, alpha=0.5)
        axes.set_xlim(min(curves) - 0.5, max(curves) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(f"generation; within it, epochs 1 to {longest}")
        axes.set_ylabel(validation_label(metric_name))
    return figure


def _curves(generation: Generation, results: Mapping[JobKey, TrainingResult]) -> list[Curve]:
    return [
        (each, [epoch.score for epoch in results[each.jobs[-1]].epochs if epoch.score is not None])
        for each in generation.individuals
        if each.fitness is not None
    ]


def _draw_generation(axes: Axes, number: int, curves: Sequence[Curve], longest: int) -> None:
    """Draws the curves of a generation in a column one unit wide, from the first epoch to the longest."""
    best = best_measured(each for each, _ in curves)
    for each, curve in curves:
        x = number - 0.4 + 0.8 * np.arange(len(curve)) / max(1, longest - 1) if longest > 1 else [number]
        is_best = each is best
        style: Any = {"color": ORANGE if is_best else BLUE, "alpha": 1.0 if is_best else 0.35, "markersize": 3}
        axes.plot(x, curve, linewidth=1.6 if is_best else 0.9, marker="o" if len(curve) == 1 else "", **style)
