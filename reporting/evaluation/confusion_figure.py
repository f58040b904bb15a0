"""The confusion matrix as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from reporting.figures.theme import BLUE, GREY, INK, ORANGE, PAPER, label, new_figure, theme

COUNTED, NAMED, CELLS = 20, 100, 200  # classes up to which counts, names and single cells are drawn
SHADES = PowerNorm(0.5, vmin=0, vmax=1)  # the square root of a share, so that rare errors are visible
PALEST = 0.12  # opacity of the smallest share that is not 0


def draw_confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """The confusion matrix as shares of each true class: correct in blue, errors in orange.

    Counts are written into the cells of up to 20 classes, names beside up to 100. With more than 200 classes, a
    cell is a block of neighbouring classes, as dark as its largest share of errors, without what is correct.
    """
    counts = np.asarray(matrix)  # (classes, classes), a row for each true class
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = block_size(classes)
    side = min(10.0, max(4.0, (0.5 if classes <= COUNTED else 0.1) * classes + 1.6))
    with theme({"axes.grid": False}):
        figure = new_figure(side + 0.8, side)
        axes = figure.subplots()
        correct = np.eye(classes, dtype=bool)
        scale = "share of the true class" + ("; blue alike" if size == 1 else "")
        _draw_shares(axes, blocks(np.where(correct, 0, shares), size), ORANGE, scale)
        if size == 1:
            _draw_shares(axes, np.where(correct, shares, 0), BLUE)
        if classes <= COUNTED:
            _write_counts(axes, counts, shares)
        _label_axes(axes, class_names, size)
    return figure


def block_size(classes: int) -> int:
    """How many neighbouring classes share a row of cells, so that there are at most 200 rows."""
    return -(-classes // CELLS)


def blocks(shares: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The largest value of each block of size × size cells; the last blocks may be smaller."""
    starts = np.arange(0, len(shares), size)
    return np.asarray(np.maximum.reduceat(np.maximum.reduceat(shares, starts, axis=0), starts, axis=1))


def _draw_shares(axes: Axes, shares: NDArray[np.float64], colour: str, scale: str = "") -> None:
    """Draws one layer of the matrix, the more opaque the larger the share; with a colour bar if its scale is named."""
    import seaborn

    seaborn.heatmap(
        shares,
        mask=shares == 0,
        ax=axes,
        cmap=LinearSegmentedColormap.from_list(colour, [(*to_rgb(colour), PALEST), (*to_rgb(colour), 1.0)]),
        norm=SHADES,
        vmin=0,
        vmax=1,
        square=True,
        xticklabels=False,
        yticklabels=False,
        rasterized=len(shares) > COUNTED,  # few cells stay vector graphics, whose colours follow the page
        cbar=bool(scale),
        cbar_kws={
            "label": scale,
            "ticks": [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1],
            "format": PercentFormatter(1, decimals=0),
            "pad": 0.02,
            "aspect": 30,
            "shrink": 0.8,
        },
    )


def _write_counts(axes: Axes, counts: NDArray[Any], shares: NDArray[np.float64]) -> None:
    size = 9 if counts.max() < 1000 else 7.5
    for (row, column), count in np.ndenumerate(counts):
        on_dark = SHADES(shares[row, column]) > 0.75
        colour = PAPER if on_dark else INK if count else GREY
        axes.text(column + 0.5, row + 0.5, f"{count}", ha="center", va="center", size=size, color=colour)


def _label_axes(axes: Axes, class_names: Sequence[str], size: int) -> None:
    """Writes the names of the classes, or their numbers where there are many."""
    classes = len(class_names)
    if classes > NAMED:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
            axis.set_major_formatter(FuncFormatter(lambda cell, _: f"{size * cell:.0f}"))
        axes.set(xlabel="predicted class, by number", ylabel="true class, by number")
        return
    letters = 10.0 if classes <= COUNTED else 5.5
    names = [label(name, 20) for name in class_names]
    rotated = classes > COUNTED or max(map(len, names)) > 3
    places = np.arange(classes) + 0.5
    axes.set_xticks(places, names, rotation=90 if rotated else 0, size=letters)
    axes.set_yticks(places, names, rotation=0, size=letters)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted class", ylabel="true class")
