"""The ancestors of the best network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from records.words import counted
from reporting.analysis.accuracies import comparable
from reporting.analysis.lineage import LineageStep, ancestry
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import BLUE, GREY, ORANGE, empty_figure, new_figure, theme
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    if view.best is not None:
        found = ancestry(view.individuals, view.best.name, view.table)
        yield ReportFigure(
            draw_lineage(found.steps, found.line, comparable(view.individuals), view.metric_name),
            "lineage",
            "ancestors of the best",
            "Each accuracy is that of a single training: small gains and losses may be noise.",
        )


def draw_lineage(
    steps: Sequence[LineageStep],
    line: Sequence[LineageStep],
    values: Mapping[str, float],
    metric_name: str = "accuracy",
) -> Figure:
    """The ancestors of the best by generation and accuracy; its main line in bold, with the number of bits changed.

    `values` are accuracies on one scale, by name; ancestors that failed are left out.
    """
    trunk = {(step.parent.name, step.child.name) for step in line}
    with theme():
        if not steps:
            return empty_figure("the best network belongs to the first generation and has no ancestors")
        figure = new_figure(8.4, 3.8)
        axes = figure.subplots()
        drawn = [step for step in steps if step.parent.name in values and step.child.name in values]
        for step in drawn:
            _draw_step(axes, step, values, is_main=(step.parent.name, step.child.name) in trunk)
        members = {each.name: each for step in drawn for each in (step.parent, step.child)}
        main = {name for pair in trunk for name in pair}
        for name, each in members.items():
            style: Any = {"color": ORANGE, "markersize": 7} if name in main else {"color": BLUE, "markersize": 4}
            axes.plot(each.generation, values[name], "o", zorder=4, **style)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.15)
        axes.set_xlabel("generation")
        axes.set_ylabel(f"validation {metric_name},\nas if trained in full")
    return figure


def _draw_step(axes: Axes, step: LineageStep, values: Mapping[str, float], is_main: bool) -> None:
    x = [step.parent.generation, step.child.generation]
    y = [values[step.parent.name], values[step.child.name]]
    if not is_main:
        axes.plot(x, y, color=GREY, linewidth=0.7, alpha=0.7, zorder=1)
        return
    axes.plot(x, y, color=ORANGE, linewidth=2, zorder=3)
    place: Any = {"textcoords": "offset points", "xytext": (0, -12), "ha": "center", "fontsize": 8}
    axes.annotate(counted(len(step.loci), "bit"), (sum(x) / 2, sum(y) / 2), **place)
