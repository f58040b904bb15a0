"""Accuracy over generations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from records import Generation, Individual
from records.individuals import all_individuals
from records.words import counted
from reporting.analysis.accuracies import accuracies_by_epochs, best_so_far, common_epochs, longest_epochs
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import BLUE, DOT, GREEN, ORANGE, empty_figure, new_figure, theme, validation_label
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    common, longest = common_epochs(view.individuals), longest_epochs(view.individuals)
    caption = "Each dot is an individual; the band holds the middle half of each generation."
    if common and common != longest:
        caption += f" With early stopping, all individuals can only be compared after {counted(common, 'epoch')}."
    figure = draw_progress(view.state.generations, view.metric_name)
    yield ReportFigure(figure, "progress", f"{view.metric_name} over generations", caption)


def draw_progress(generations: Sequence[Generation], metric_name: str = "accuracy") -> Figure:
    """Accuracy over generations: every individual as a dot, the best so far, the level of each generation.

    With early stopping, the level is shown in a second panel, after the longest training that all individuals
    completed: means over trainings of different lengths would be meaningless.
    """
    individuals = all_individuals(generations)
    common, longest = common_epochs(individuals), longest_epochs(individuals)
    with theme():
        if longest == 0:
            return empty_figure("no training has succeeded yet")
        figure = new_figure(5.6, 3.5 if common == longest else 5.6)
        panels = figure.subplots(1 if common == longest else 2, 1, sharex=True, squeeze=False)[:, 0]
        _draw_individuals(panels[0], individuals, longest, label=f"after {counted(longest, 'epoch')}")
        best = dict(zip([each.generation for each in individuals], best_so_far(individuals), strict=True))
        known = {number: value for number, value in best.items() if value is not None}
        panels[0].plot(list(known), list(known.values()), color=ORANGE, marker="^", markersize=5, label="best so far")
        if common != longest:
            panels[1].set_title(f"all, after {counted(common, 'epoch')}")
            _draw_individuals(panels[1], individuals, common)
        _draw_level(panels[-1], individuals, common)
        for axes in panels:
            axes.set_ylabel(validation_label(metric_name))
            axes.legend(loc="lower right")
        panels[-1].set_xlabel("generation")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[-1].set_xlim(0.5, generations[-1].number + 0.5)
    return figure


def _after(individuals: Sequence[Individual], epochs: int) -> tuple[list[int], list[float]]:
    """The generation and the accuracy of every individual that trained for this number of epochs."""
    reached = [(each.generation, accuracies_by_epochs(each).get(epochs)) for each in individuals]
    found = [(number, value) for number, value in reached if value is not None]
    return [number for number, _ in found], [value for _, value in found]


def _draw_individuals(axes: Axes, individuals: Sequence[Individual], epochs: int, label: str = "") -> None:
    axes.plot(*_after(individuals, epochs), label=label, **DOT)


def _draw_level(axes: Axes, individuals: Sequence[Individual], epochs: int) -> None:
    """The median with quartiles and the mean of each generation."""
    import seaborn

    numbers, values = _after(individuals, epochs)
    band: Any = {"errorbar": ("pi", 50), "err_kws": {"alpha": 0.18, "linewidth": 0}}
    square: Any = {"marker": "s", "markersize": 4, "markeredgewidth": 0}
    level = partial(seaborn.lineplot, x=numbers, y=values, ax=axes)
    level(estimator="median", color=BLUE, label="median and quartiles", **band, **square)
    level(estimator="mean", errorbar=None, color=GREEN, linestyle="--", label="mean")
