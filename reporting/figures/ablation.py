"""The effect of changing single bits of the best network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from records.runs import Ablation
from records.words import counted
from reporting.analysis.ablation import Difference, by_effect
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import BLUE, INK, ORANGE, empty_figure, label, new_figure, theme
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    found = view.ablation
    if found is not None:
        same = sum(each.is_same_network for each in found.neighbours)
        yield ReportFigure(
            draw_ablation(found, view.metric_name),
            "ablation",
            f"effect of changing one bit of the best on its {view.metric_name}",
            f"Changing {counted(same, 'further bit')} of the best leaves the network as it is." if same else "",
        )


def draw_ablation(ablation: Ablation, metric_name: str = "accuracy") -> Figure:
    """The effect of changing each bit of the best on its accuracy, with 95% intervals, the largest loss first."""
    found = by_effect(ablation)
    with theme():
        if not found:
            return empty_figure("no neighbour of the best was trained")
        figure = new_figure(5.6, 1.0 + 0.26 * len(found))
        axes = figure.subplots()
        names = [f"{label(each.gene.replace('_', ' '))} {each.best_value} → {each.value}" for each, _ in found]
        reaches = [abs(apart.mean) + (apart.half or 0.0) for _, apart in found]
        limit = min(max(reaches), 3 * float(np.median(reaches))) or 0.01  # one outlier must not compress the others
        for row, (_, apart) in enumerate(found):
            _draw_difference(axes, row, apart, limit)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_xlim(-110 * limit, 110 * limit)
        axes.set_yticks(range(len(found)), names, fontsize=9)
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel(f"change of validation {metric_name} (percentage points)")
    return figure


def _draw_difference(axes: Axes, row: int, apart: Difference, limit: float) -> None:
    """Draws a difference in percentage points; beyond the limit, as an arrow at the edge with its value."""
    half = apart.half or 0.0
    style: Any = {"color": ORANGE, "fillstyle": "full"} if apart.is_clear else {"color": BLUE, "fillstyle": "none"}
    if abs(apart.mean) <= limit:
        axes.errorbar(100 * apart.mean, row, xerr=100 * half, marker="o", markersize=5, capsize=2, **style)
        return
    edge, inward = 100 * math.copysign(limit, apart.mean), math.copysign(8, -apart.mean)
    axes.plot(edge, row, marker="<" if apart.mean < 0 else ">", **style)
    place: Any = {"textcoords": "offset points", "xytext": (inward, 0), "ha": "left" if inward > 0 else "right"}
    axes.annotate(f"{100 * apart.mean:+.1f}".replace("-", "−"), (edge, row), va="center", fontsize=9, **place)
