"""Recall, precision and F1 of each class as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reporting.figures.theme import BLUE, GREEN, ORANGE, label, new_figure, theme

MOST = 20  # classes in the figure


def worst_classes(rows: Sequence[Mapping[str, Any]], most: int = MOST) -> list[Mapping[str, Any]]:
    """All classes with images in their order; of more than `most`, those of lowest F1, the lowest first."""
    tested = [row for row in rows if row["images"]]
    if len(tested) <= most:
        return tested
    return sorted(tested, key=lambda row: float(row["f1"]))[:most]


def draw_classes(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Recall, precision and F1 of classes as bars, the first class at the top, with their numbers of images.

    `rows` are those of an evaluation's report: class, recall, precision, f1, images.
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
