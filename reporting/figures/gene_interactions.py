"""The pairwise interactions of genes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from reporting.analysis.gene_effects import GeneEffects, Interaction
from reporting.figures.gene_rows import STYLE, WIDTH, never_varied, words
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import SEQUENTIAL, empty_figure, new_figure, theme
from reporting.run_view import RunView

LEAST_SCALE = 0.5  # percentage points at the end of the colour scale, at least
NAMED = 4  # clear interactions that are listed by name
ON_DARK, ON_LIGHT = "#fafafa", "#0a0a0a"  # on a cell, whose colour is the same in light and dark mode


def figures(view: RunView) -> Iterator[ReportFigure]:
    yield ReportFigure(
        draw_interactions(view.gene_effects),
        "interactions",
        "pairwise interactions of genes",
        "The effect of pairs of genes beyond the sum of their separate effects. Rings mark interactions that are "
        "clearer than chance.",
    )


def draw_interactions(effects: GeneEffects) -> Figure:
    """A heat map of the strengths of all interactions; rings mark those that are clearer than chance."""
    names = [gene.name for gene in effects.genes if gene.varied]
    with theme({**STYLE, "axes.grid": False}):
        if len(names) < 2:
            return empty_figure("fewer than two genes varied")
        import seaborn

        strengths = np.full((len(names), len(names)), np.nan)  # percentage points
        clear = sorted((pair for pair in effects.interactions if pair.clear), key=lambda pair: -pair.strength)
        for pair in effects.interactions:
            strengths[names.index(pair.second), names.index(pair.first)] = 100 * pair.strength
        most = max(LEAST_SCALE, float(np.nanmax(strengths)))
        figure = new_figure(WIDTH, 4.6 + 0.17 * len(clear[:NAMED]) + 0.17 * len(never_varied(effects)))
        axes = figure.subplots()
        seaborn.heatmap(
            strengths[1:, :-1],
            ax=axes,
            cmap=SEQUENTIAL,
            vmin=0,
            vmax=most,
            square=True,
            rasterized=True,
            xticklabels=[words(name) for name in names[:-1]],
            yticklabels=[words(name) for name in names[1:]],
            cbar_kws={"label": "strength (percentage points)", "shrink": 0.9, "pad": 0.02},
        )
        axes.tick_params(length=0, labelsize=9 if len(names) > 14 else 10)
        axes.tick_params(axis="x", rotation=90)
        axes.tick_params(axis="y", rotation=0)
        for pair in clear:
            colour = _contrast(100 * pair.strength / most)
            place = names.index(pair.first) + 0.5, names.index(pair.second) - 0.5
            axes.plot(*place, "o", markersize=min(9, 110 / len(names)), markerfacecolor="none", color=colour, mew=1.6)
        figure.supxlabel("\n".join([*_clear(clear), *never_varied(effects)]))
    return figure


def _clear(pairs: Sequence[Interaction]) -> list[str]:
    """The clear interactions in words, the strongest first."""
    if not pairs:
        return ["none is clearer than chance"]
    named = [f"{words(pair.first)} × {words(pair.second)}: {100 * pair.strength:.1f} points" for pair in pairs]
    more = [f"and {len(named) - NAMED} more"] if len(named) > NAMED else []
    return ["clearer than chance (rings):", *named[:NAMED], *more]


def _contrast(share: float) -> str:
    """The colour to draw in on a cell at this share of the colour scale."""
    red, green, blue, _ = colormaps[SEQUENTIAL](share)
    return ON_LIGHT if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else ON_DARK
