"""The diversity of the population over generations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reporting.analysis.population import Diversity, diversity
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import BLUE, ORANGE, new_figure, theme
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    yield ReportFigure(
        draw_diversity(diversity(view.state.generations, view.table)),
        "diversity",
        "diversity over generations",
        "Where both are close to zero, the population has converged, and only mutation creates new networks.",
    )


def draw_diversity(found: Sequence[Diversity]) -> Figure:
    """How much the individuals of each generation differ."""
    with theme():
        figure = new_figure(5.6, 3)
        axes = figure.subplots()
        numbers = [each.generation for each in found]
        for values, colour, marker, words in (
            ([each.entropy for each in found], BLUE, "s", "mean entropy (bits)"),
            ([each.distance for each in found], ORANGE, "^", "share of coding bits in which two individuals differ"),
        ):
            axes.plot(numbers, values, color=colour, marker=marker, markersize=4.5, label=words)
        axes.set_ylim(bottom=0)
        axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("generation")
        axes.set_ylabel("diversity")
        axes.legend(loc="best")
    return figure
