"""Figures of which gene matters: what its values reached, what they do all else equal, what two genes do together."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reporting.analysis.gene_effects import GeneEffect, GeneEffects, Interaction, ValueEffect
from reporting.analysis.gene_regression import Interval
from reporting.figures.theme import BLUE, GREY, SEQUENTIAL, empty_figure, label, new_figure, theme
from search_space.encoding import value_in_words

POINTS = 100  # accuracy points, of which there are a hundred to an accuracy of 1
WIDTH = 5.6  # inches
ROW, GAP = 0.2, 0.5  # inches of a row; rows between genes
LONGEST = 46  # rows of one column: more are set in two
LETTERS = 20  # at most, of a value or gene
SIDE = 62  # printer's points to the left of the axes, where the names of genes begin
LETTERS_OF_LINE = 62
LEAST_SCALE = 0.5  # accuracy points at the end of the map's scale
NAMED = 4  # clear interactions that are told in words
LOOK = {
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "figure.labelsize": 10.5,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "axes.grid.axis": "x",
}
ON_DARK, ON_LIGHT = "#fafafa", "#0a0a0a"  # on a cell, which has its colour on any page


def draw_gene_values(effects: GeneEffects, measure: str = "accuracy") -> Figure:
    """The mean accuracy of the networks with each value of each gene, its 95% interval, and how many they are.

    As they were found: networks with one value may be better for other reasons than this value.
    """
    genes = (*effects.ranked, *effects.never_varied)
    with theme(LOOK):
        if not effects.networks:
            return empty_figure("no training has succeeded yet")
        columns = _columns([(gene, [value for value in gene.values if gene.varied or value.count]) for gene in genes])
        figure, every_axes = _rows(columns)
        limits = _limits([value.mean for gene in genes for value in gene.values if value.mean is not None])
        for axes, column in zip(every_axes, columns, strict=True):
            axes.set_xlim(*limits)
            axes.text(1.03, 1.0, "n", transform=axes.transAxes, va="bottom", fontstyle="italic")
            for row in column:
                _head(axes, row, "" if row.gene.varied else "never varied")
                for place, value in row.values:
                    axes.text(1.03, place, str(value.count), transform=axes.get_yaxis_transform(), va="center")
                    if value.mean is not None:
                        _dot(axes, place, value.mean, value.interval, filled=True)
        figure.supxlabel(f"mean validation {measure}, 95% interval; n networks")
    return figure


def draw_main_effects(effects: GeneEffects) -> Figure:
    """The effect of each value of each gene that varied, all else equal, the most important gene first.

    The band behind a gene is its importance to both sides, which is also written beside its name
    with its 95% interval. A dot is filled where the interval leaves out zero.
    """
    with theme(LOOK):
        if not effects.ranked:
            return empty_figure("no gene varied among trained networks")
        columns = _columns([(gene, gene.values) for gene in effects.ranked])
        figure, every_axes = _rows(columns)
        found = [value.effect for gene in effects.ranked for value in gene.values if value.effect is not None]
        low, high = _limits([*found, 0.0], within=(-1.0, 1.0))
        for axes, column in zip(every_axes, columns, strict=True):
            axes.set_xlim(POINTS * low, POINTS * high)
            axes.axvline(0, color=GREY, linewidth=1)
            for row in column:
                _head(axes, row, _importance(row.gene, brief=len(columns) > 1))
                band = POINTS * (row.gene.importance or 0.0)
                last = row.values[-1][0]
                axes.fill_betweenx([row.head + 0.5, last + 0.5], -band, band, color=GREY, alpha=0.25, linewidth=0)
                for place, value in row.values:
                    if value.effect is None or value.effect_interval is None:
                        axes.text(0, place, " not tried", va="center", color=GREY, fontsize=9)
                        continue
                    start, end = (POINTS * end for end in value.effect_interval)
                    _dot(axes, place, POINTS * value.effect, (start, end), filled=start > 0 or end < 0)
        unit = "effect (accuracy points), 95% interval"
        note = [unit, "beside each name, and as a band: importance", *_never_varied(effects)]
        figure.supxlabel("\n".join(note))
    return figure


def draw_interactions(effects: GeneEffects) -> Figure:
    """A map of how strongly each two genes depend on each other; a ring marks what is clearer than chance."""
    names = [gene.name for gene in effects.genes if gene.varied]
    with theme({**LOOK, "axes.grid": False}):
        if len(names) < 2:
            return empty_figure("fewer than two genes varied")
        strengths = np.full((len(names), len(names)), np.nan)  # accuracy points
        clear = sorted((pair for pair in effects.interactions if pair.clear), key=lambda pair: -pair.strength)
        for pair in effects.interactions:
            strengths[names.index(pair.second), names.index(pair.first)] = POINTS * pair.strength
        most = max(LEAST_SCALE, float(np.nanmax(strengths)))
        figure = new_figure(WIDTH, 4.6 + 0.17 * len(clear[:NAMED]) + 0.17 * len(_never_varied(effects)))
        axes = figure.subplots()
        shown = axes.imshow(strengths[1:, :-1], cmap=SEQUENTIAL, vmin=0, vmax=most, interpolation="nearest")
        figure.colorbar(shown, ax=axes, label="strength (accuracy points)", shrink=0.9, pad=0.02)
        size = 9 if len(names) > 14 else 10
        axes.set_xticks(range(len(names) - 1), [words(name) for name in names[:-1]], rotation=90, fontsize=size)
        axes.set_yticks(range(len(names) - 1), [words(name) for name in names[1:]], fontsize=size)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        for pair in clear:
            colour = _contrast(POINTS * pair.strength / most)
            place = names.index(pair.first), names.index(pair.second) - 1
            axes.plot(*place, "o", markersize=min(9, 110 / len(names)), markerfacecolor="none", color=colour, mew=1.6)
        figure.supxlabel("\n".join([*_clear(clear), *_never_varied(effects)]))
    return figure


def words(value: object) -> str:
    """A value, or the name of a gene, as a figure shows it."""
    return label(value_in_words(value).replace("_", " "), LETTERS)


@dataclass(frozen=True, slots=True)
class _Row:
    """A gene in a column: where its name and its values stand, from the top."""

    gene: GeneEffect
    head: float
    values: tuple[tuple[float, ValueEffect], ...]

    @property
    def end(self) -> float:
        return self.head + len(self.values) + 1 + GAP


def _columns(genes: Sequence[tuple[GeneEffect, Sequence[ValueEffect]]]) -> list[list[_Row]]:
    """The genes one under the other, in two columns where one would be long."""
    total = sum(len(values) + 1 + GAP for _, values in genes)
    columns: list[list[_Row]] = [[]]
    for gene, values in genes:
        head = columns[-1][-1].end if columns[-1] else 0.0
        if total > LONGEST and len(columns) == 1 and head >= total / 2:
            columns, head = [*columns, []], 0.0
        rows = tuple((head + place, value) for place, value in enumerate(values, 1))
        columns[-1].append(_Row(gene, head, rows))
    return columns


def _rows(columns: Sequence[Sequence[_Row]]) -> tuple[Figure, list[Axes]]:
    """A figure with axes for each column, its values named."""
    longest = max(column[-1].end for column in columns)
    figure = new_figure(WIDTH, ROW * longest + 1.0)
    every_axes = list(figure.subplots(1, len(columns), squeeze=False)[0])
    for axes, column in zip(every_axes, columns, strict=True):
        named = [(place, words(value.value)) for row in column for place, value in row.values]
        axes.set_yticks([place for place, _ in named], [name for _, name in named])
        axes.set_ylim(longest - GAP, -0.7)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5 if len(columns) == 1 else 3))
    return figure, every_axes


def _head(axes: Axes, row: _Row, text: str) -> None:
    """The name of a gene at the left, and a word on it at the right."""
    where = axes.get_yaxis_transform()
    axes.annotate(
        words(row.gene.name), (0, row.head), (-SIDE, 0), where, "offset points", va="center", fontweight="bold"
    )
    axes.text(1, row.head, text, transform=where, va="center", ha="right", fontsize=9.5)


def _dot(axes: Axes, place: float, centre: float, interval: Interval | None, filled: bool) -> None:
    if interval is not None:
        axes.plot(interval, [place, place], color=BLUE, linewidth=1.6, solid_capstyle="butt")
        low, high = axes.get_xlim()
        beyond = [(low, "<")] * int(interval[0] < low) + [(high, ">")] * int(interval[1] > high)
        for limit, arrow in beyond:
            axes.plot(limit, place, arrow, color=BLUE, markersize=5, clip_on=False)
    axes.plot(centre, place, "o", color=BLUE, markersize=5.5, markerfacecolor=BLUE if filled else "none", zorder=3)


def _limits(centres: Sequence[float], within: Interval = (0.0, 1.0)) -> Interval:
    """Limits that show all dots, and as much of their intervals as leaves the dots apart."""
    low, high = min(centres), max(centres)
    margin = max(0.35 * (high - low), 0.005)
    return max(within[0] - 0.01, low - margin), min(within[1] + 0.01, high + margin)


def _importance(gene: GeneEffect, brief: bool) -> str:
    if gene.importance is None or gene.importance_interval is None:
        return ""
    low, high = gene.importance_interval
    text = f"{POINTS * gene.importance:.1f} ({POINTS * low:.1f}–{POINTS * high:.1f})"
    return text if brief else f"importance {text} points"


def _clear(pairs: Sequence[Interaction]) -> list[str]:
    """The clear interactions in words, the strongest first."""
    if not pairs:
        return ["none is clearer than chance"]
    told = [f"{words(pair.first)} × {words(pair.second)}: {POINTS * pair.strength:.1f} points" for pair in pairs]
    more = [f"and {len(told) - NAMED} more"] if len(told) > NAMED else []
    return ["clearer than chance (rings):", *told[:NAMED], *more]


def _never_varied(effects: GeneEffects) -> list[str]:
    names = ", ".join(words(gene.name) for gene in effects.never_varied)
    return textwrap.wrap(f"never varied: {names}", LETTERS_OF_LINE) if names else []


def _contrast(share: float) -> str:
    """The colour to write in, on a cell of so much of the colour map."""
    red, green, blue, _ = colormaps[SEQUENTIAL](share)
    return ON_LIGHT if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else ON_DARK
