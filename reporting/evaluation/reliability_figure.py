"""The reliability diagram, which shows how well a network is calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reporting.figures.theme import BLUE, GREY, ORANGE, new_figure, theme
from training.statistics import wilson_interval


def draw_reliability(report: Mapping[str, Any]) -> Figure:
    """Reliability diagram (Guo et al. 2017, fig. 1): accuracy in each bin of confidence, and a histogram of the bins.

    `report` is the "calibration" of an evaluation's report. Bars end at the accuracy; dots are at the mean
    confidence, with the 95% interval of the accuracy. The network is overconfident where a dot is below the diagonal.
    """
    bins = report["bins"]
    counts = np.array([each["count"] for each in bins])
    width = 1 / len(bins)
    middles = (np.arange(len(bins)) + 0.5) * width
    with theme():
        figure = new_figure(5.6, 5.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="perfect calibration", zorder=1)
        seen = [(middle, each) for middle, each in zip(middles, bins, strict=True) if each["count"]]
        upper.bar(
            [middle for middle, _ in seen],
            [each["accuracy"] for _, each in seen],
            0.92 * width,
            color=BLUE,
            alpha=0.35,
            label="accuracy of these images",
            zorder=2,
        )
        _draw_intervals(upper, [each for _, each in seen])
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        lower.bar(middles, counts / max(counts.sum(), 1), 0.92 * width, color=GREY)
        lower.axvline(report["mean_confidence"], color=ORANGE, linewidth=1.5, label="mean confidence")
        lower.set(xlabel="confidence in the predicted class", ylabel="images")
        lower.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _draw_intervals(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    """Draws the accuracy of each bin at its mean confidence, with its 95% interval."""
    confidence, accuracy = ([each[key] for each in bins] for key in ("confidence", "accuracy"))
    intervals = [wilson_interval(round(each["accuracy"] * each["count"]), each["count"]) for each in bins]
    spread = [
        [max(value - low, 0) for value, (low, _) in zip(accuracy, intervals, strict=True)],
        [max(high - value, 0) for value, (_, high) in zip(accuracy, intervals, strict=True)],
    ]
    axes.errorbar(confidence, accuracy, spread, fmt="o", color=BLUE, markersize=5, linewidth=1.2, label="95% interval")
