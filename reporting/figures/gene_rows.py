"""Genes and their values as rows of a figure, which is how effects and means of values are drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reporting.analysis.gene_effects import GeneEffect, GeneEffects, ValueEffect
from reporting.analysis.gene_regression import Interval
from reporting.figures.theme import BLUE, label, new_figure
from search_space.genes import value_in_words

WIDTH = 5.6  # inches
ROW, GAP = 0.2, 0.5  # height of a row in inches; rows between genes
LONGEST = 46  # rows of one column; more rows are set in two columns
LETTERS = 20  # of a value or gene, at most
SIDE = 62  # points to the left of the axes, where the names of genes begin
LINE = 62  # letters of a line below the axes
STYLE = {
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "figure.labelsize": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.grid.axis": "x",
}


def words(value: object) -> str:
    """A value, or the name of a gene, as a figure shows it."""
    return label(value_in_words(value).replace("_", " "), LETTERS)


@dataclass(frozen=True, slots=True)
class GeneRows:
    """A gene in a column: the positions of its name and of its values, from the top."""

    gene: GeneEffect
    head: float
    values: tuple[tuple[float, ValueEffect], ...]

    @property
    def end(self) -> float:
        return self.head + len(self.values) + 1 + GAP


def in_columns(genes: Sequence[tuple[GeneEffect, Sequence[ValueEffect]]]) -> list[list[GeneRows]]:
    """The genes below each other, in two columns where one would be too long."""
    total = sum(len(values) + 1 + GAP for _, values in genes)
    columns: list[list[GeneRows]] = [[]]
    for gene, values in genes:
        head = columns[-1][-1].end if columns[-1] else 0.0
        if total > LONGEST and len(columns) == 1 and head >= total / 2:
            columns, head = [*columns, []], 0.0
        rows = tuple((head + place, value) for place, value in enumerate(values, 1))
        columns[-1].append(GeneRows(gene, head, rows))
    return columns


def rows_figure(columns: Sequence[Sequence[GeneRows]]) -> tuple[Figure, list[Axes]]:
    """A figure with axes for each column, labelled with the values."""
    longest = max(column[-1].end for column in columns)
    figure = new_figure(WIDTH, ROW * longest + 1.0)
    every_axes = list(figure.subplots(1, len(columns), squeeze=False)[0])
    for axes, column in zip(every_axes, columns, strict=True):
        named = [(place, words(value.value)) for rows in column for place, value in rows.values]
        axes.set_yticks([place for place, _ in named], [name for _, name in named])
        axes.set_ylim(longest - GAP, -0.7)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5 if len(columns) == 1 else 3))
    return figure, every_axes


def draw_head(axes: Axes, rows: GeneRows, text: str) -> None:
    """Writes the name of a gene at the left, and a remark on it at the right."""
    where = axes.get_yaxis_transform()
    axes.annotate(
        words(rows.gene.name), (0, rows.head), (-SIDE, 0), where, "offset points", va="center", fontweight="bold"
    )
    axes.text(1, rows.head, text, transform=where, va="center", ha="right", fontsize=9.5)


def draw_dot(axes: Axes, place: float, centre: float, interval: Interval | None, filled: bool) -> None:
    """Draws a value with its interval; an arrow where the interval extends beyond the axes."""
    if interval is not None:
        axes.plot(interval, [place, place], color=BLUE, linewidth=1.6, solid_capstyle="butt")
        low, high = axes.get_xlim()
        beyond = [(low, "<")] * int(interval[0] < low) + [(high, ">")] * int(interval[1] > high)
        for limit, arrow in beyond:
            axes.plot(limit, place, arrow, color=BLUE, markersize=5, clip_on=False)
    axes.plot(centre, place, "o", color=BLUE, markersize=5.5, markerfacecolor=BLUE if filled else "none", zorder=3)


def limits_around(centres: Sequence[float], within: Interval = (0.0, 1.0)) -> Interval:
    """Limits of an axis that show all dots, and only as much of their intervals as keeps the dots apart."""
    low, high = min(centres), max(centres)
    margin = max(0.35 * (high - low), 0.005)
    return max(within[0] - 0.01, low - margin), min(within[1] + 0.01, high + margin)


def never_varied(effects: GeneEffects) -> list[str]:
    """The genes that never varied, as lines below the axes."""
    names = ", ".join(words(gene.name) for gene in effects.never_varied)
    return textwrap.wrap(f"never varied: {names}", LINE) if names else []
