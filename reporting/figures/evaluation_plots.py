"""Figures of an evaluated network: confusion matrix, figures per class, reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from reporting.figures.theme import BLUE, GREEN, GREY, INK, ORANGE, PAPER, label, new_figure, theme
from training.statistics import wilson_interval

COUNTED, NAMED, CELLS = 20, 100, 200  # classes up to which counts, names and single cells are drawn
SHADES = PowerNorm(0.5, vmin=0, vmax=1)  # the root of a share, so that rare mistakes are seen
PALEST = 0.12  # opacity of the smallest share that is not 0
WORST = 20  # classes drawn where there are more


def draw_confusion(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """Confusion matrix as shares of each true class: what is right in blue, what is wrong in orange.

    Up to 20 classes counts are written in, up to 100 the names. Beyond 200 classes a cell stands for
    a block of neighbouring classes, as dark as its largest share of mistakes, and what is right is left out.
    """
    counts = np.asarray(matrix)  # (classes, classes), a row for each true class
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = block_size(classes)
    side = min(10.0, max(4.0, (0.5 if classes <= COUNTED else 0.1) * classes + 1.6))
    with theme({"axes.grid": False}):
        figure = new_figure(side + 0.8, side)
        axes = figure.subplots()
        right = np.eye(classes, dtype=bool)
        wrong = blocks(np.where(right, 0, shares), size)
        picture = _draw_shares(axes, wrong, ORANGE, classes)
        if size == 1:
            _draw_shares(axes, np.where(right, shares, 0), BLUE, classes)
        bar = figure.colorbar(
            picture, ax=axes, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 1], pad=0.02, aspect=30, shrink=0.8
        )
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        bar.set_label("share of the true class" + ("; blue alike" if size == 1 else ""))
        bar.outline.set_visible(False)
        if classes <= COUNTED:
            _write_counts(axes, counts, shares)
        _name_classes(axes, class_names)
        axes.set_xlabel("predicted class" if classes <= NAMED else "predicted class, by number")
        axes.set_ylabel("true class" if classes <= NAMED else "true class, by number")
    return figure


def block_size(classes: int) -> int:
    """How many neighbouring classes share a row of cells, so that there are at most 200."""
    return -(-classes // CELLS)


def blocks(shares: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The largest value of each block of size × size cells; blocks at the far ends may be smaller."""
    starts = np.arange(0, len(shares), size)
    return np.asarray(np.maximum.reduceat(np.maximum.reduceat(shares, starts, axis=0), starts, axis=1))


def _draw_shares(axes: Axes, shares: NDArray[np.float64], colour: str, classes: int) -> Any:
    """One layer of the matrix: a colour as opaque as the share is large, on whatever lies below."""
    shades = LinearSegmentedColormap.from_list(colour, [(*to_rgb(colour), PALEST), (*to_rgb(colour), 1.0)])
    seen = np.ma.masked_equal(shares, 0)
    if classes <= COUNTED:  # drawn squares, whose colour follows a page's
        edges = np.arange(classes + 1) - 0.5
        picture: Any = axes.pcolormesh(edges, edges, seen, cmap=shades, norm=SHADES)
        axes.set(aspect="equal", ylim=(classes - 0.5, -0.5))
        return picture
    extent = (-0.5, classes - 0.5, classes - 0.5, -0.5)
    return axes.imshow(seen, cmap=shades, norm=SHADES, interpolation="none", extent=extent)


def _write_counts(axes: Axes, counts: NDArray[Any], shares: NDArray[np.float64]) -> None:
    size = 9 if counts.max() < 1000 else 7.5
    for (row, column), count in np.ndenumerate(counts):
        on_dark = SHADES(shares[row, column]) > 0.75
        colour = PAPER if on_dark else INK if count else GREY
        axes.text(column, row, f"{count}", ha="center", va="center", size=size, color=colour)


def _name_classes(axes: Axes, class_names: Sequence[str]) -> None:
    classes = len(class_names)
    if classes > NAMED:
        return  # numbers stand at the axes
    size = 10.0 if classes <= COUNTED else 5.5
    names = [label(name, 20) for name in class_names]
    turned = classes > COUNTED or max(map(len, names)) > 3
    axes.set_xticks(range(classes), names, rotation=90 if turned else 0, size=size)
    axes.set_yticks(range(classes), names, size=size)
    axes.tick_params(length=0)


def worst_classes(rows: Sequence[Mapping[str, Any]], most: int = WORST) -> list[Mapping[str, Any]]:
    """All classes in their order; of more than `most` those of lowest F1, the lowest first."""
    tested = [row for row in rows if row["images"]]
    if len(tested) <= most:
        return tested
    return sorted(tested, key=lambda row: float(row["f1"]))[:most]


def draw_classes(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Recall, precision and F1 of classes as bars, the first class at the top, with their numbers of images.

    `rows` are those of a report: class, recall, precision, f1, images.
    """
    with theme({"axes.grid.axis": "x"}):
        figure = new_figure(6.0, 1.0 + 0.42 * max(len(rows), 4))
        axes = figure.subplots()
        places = np.arange(len(rows))
        for shift, (name, key, colour) in enumerate(
            (("recall", "recall", BLUE), ("precision", "precision", ORANGE), ("F1", "f1", GREEN)), -1
        ):
            values = [row[key] for row in rows]
            axes.barh(places + 0.25 * shift, values, 0.23, color=colour, label=name)
        axes.set_yticks(places, [f"{label(str(row['class']), 20)} ({row['images']:,})" for row in rows])
        axes.set(xlim=(0, 1), ylim=(max(len(rows), 1) - 0.5, -0.5))
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper left", ncols=3)
    return figure


def draw_reliability(report: Mapping[str, Any]) -> Figure:
    """Reliability diagram (Guo et al. 2017, fig. 1): accuracy in each bin of confidence, and their histogram.

    `report` is a report's "calibration". Bars end at the accuracy, dots sit at the mean confidence with
    the 95% interval of the accuracy; a dot below the diagonal is surer than it is right.
    """
    bins = report["bins"]
    counts = np.array([each["count"] for each in bins])
    width = 1 / len(bins)
    middles = (np.arange(len(bins)) + 0.5) * width
    seen = [(middle, each) for middle, each in zip(middles, bins, strict=True) if each["count"]]
    with theme():
        figure = new_figure(5.6, 5.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="as right as it is sure", zorder=1)
        upper.bar(
            [middle for middle, _ in seen],
            [each["accuracy"] for _, each in seen],
            0.92 * width,
            color=BLUE,
            alpha=0.35,
            label="accuracy of these images",
            zorder=2,
        )
        sure, accuracy = ([each[key] for _, each in seen] for key in ("confidence", "accuracy"))
        intervals = [wilson_interval(round(each["accuracy"] * each["count"]), each["count"]) for _, each in seen]
        spread = [
            [max(value - low, 0) for value, (low, _) in zip(accuracy, intervals, strict=True)],
            [max(high - value, 0) for value, (_, high) in zip(accuracy, intervals, strict=True)],
        ]
        upper.errorbar(
            sure, accuracy, spread, fmt="o", color=BLUE, markersize=5, linewidth=1.2, label="and 95% interval"
        )
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        lower.bar(middles, counts / max(counts.sum(), 1), 0.92 * width, color=GREY)
        lower.axvline(report["mean_confidence"], color=ORANGE, linewidth=1.5, label="mean confidence")
        lower.set(xlabel="confidence in the predicted class", ylabel="images")
        lower.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.legend(loc="outside upper left", ncols=2)
    return figure
