"""What tests of figures read from a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def points(figure: Figure, place: int, label: str) -> set[tuple[float, float]]:
    """The points of the line with this label."""
    line = next(line for line in figure.axes[place].lines if line.get_label() == label)
    return {(round(float(x), 9), round(float(y), 9)) for x, y in np.asarray(line.get_xydata(), float)}
