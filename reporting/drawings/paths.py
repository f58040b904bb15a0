"""Colours and rounded paths of drawings, for matplotlib figures and SVG elements alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from matplotlib.path import Path

from reporting.drawings.shapes import Line

ROUNDING = 5.0  # radius of a corner of a shortcut
ARROW = 5.0  # length of its head
MOVE, STRAIGHT, BEND = Path.MOVETO, Path.LINETO, Path.CURVE3
SHADE = 0.16  # of a block behind its boxes
FILLS = {
    "block": "grey",
    "convolution": "blue",
    "projection": "blue",
    "pooling": "orange",
    "excitation": "purple",
    "average": "amber",
    "linear": "green",
}  # the others are outlines on paper
STROKES = {"flow": "grey", "shortcut": "ink", "stage": "grey"}
Point = tuple[float, float]


def rounded(line: Line) -> Iterator[tuple[Any, Point]]:
    """A line as codes and points of a path with rounded corners."""
    yield MOVE, line.points[0]
    for before, corner, after in zip(line.points, line.points[1:], line.points[2:], strict=False):
        yield STRAIGHT, _toward(corner, before)
        yield BEND, corner
        yield BEND, _toward(corner, after)
    yield STRAIGHT, line.points[-1]


def _toward(corner: Point, other: Point) -> Point:
    """Where the line from `other` begins to bend into the corner."""
    share = min(0.5, ROUNDING / max(ROUNDING, math.dist(corner, other)))
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])
