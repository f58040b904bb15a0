"""A network as a matplotlib figure."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch, Polygon
from matplotlib.path import Path

from reporting.drawings.network_shapes import network_shapes
from reporting.drawings.paths import ARROW, FILLS, MOVE, SHADE, STRAIGHT, STROKES, Point, rounded
from reporting.drawings.shapes import MARGIN, RING, TEXT, TITLE, Drawing, Line, Shape, Text
from reporting.figures.theme import COLOURS, theme
from search_space.architecture import Architecture

POINTS = 72  # in an inch
TITLE_ROW = 1.35 * TITLE
INK, PAPER = COLOURS["ink"][0], COLOURS["paper"][0]


def draw_network(architecture: Architecture, title: str = "") -> Figure:
    """A figure of a network with its legend. The first line of the title is larger than the others."""
    drawing = _titled(network_shapes(architecture), title)
    with theme():
        figure = Figure(figsize=(drawing.width / POINTS, drawing.height / POINTS))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, drawing.width)
        axes.set_ylim(drawing.height, 0)
        axes.axis("off")
        _draw(axes, drawing)
    return figure


def _titled(drawing: Drawing, title: str) -> Drawing:
    """The drawing with a title above it, in as many lines as needed."""
    room = drawing.width - 2 * MARGIN
    lines = []
    for number, line in enumerate(title.splitlines()):
        role, size = ("value", TEXT) if number else ("title", TITLE)
        lines += [(part, role) for part in textwrap.wrap(line, max(12, int(room / (0.68 * size))))]
    if not lines:
        return drawing
    texts = [
        Text(MARGIN, MARGIN + TITLE + TITLE_ROW * number, line, "start", role)
        for number, (line, role) in enumerate(lines)
    ]
    moved = _moved_down(drawing, TITLE_ROW * len(lines) + MARGIN)
    width = max(drawing.width, *(text.span[1] + MARGIN for text in texts))
    return replace(moved, width=width, texts=(*texts, *moved.texts))


def _moved_down(drawing: Drawing, by: float) -> Drawing:
    """The drawing with its contents moved down, and as much higher."""
    return replace(
        drawing,
        height=drawing.height + by,
        shapes=tuple(replace(shape, y=shape.y + by) for shape in drawing.shapes),
        marks=tuple(replace(shape, y=shape.y + by) for shape in drawing.marks),
        lines=tuple(replace(line, points=tuple((x, y + by) for x, y in line.points)) for line in drawing.lines),
        sums=tuple((x, y + by) for x, y in drawing.sums),
        texts=tuple(replace(text, y=text.y + by) for text in drawing.texts),
    )


def _draw(axes: Axes, drawing: Drawing) -> None:
    for line in drawing.lines:
        colour = COLOURS[STROKES[line.role]][0]
        codes, points = zip(*rounded(line), strict=True)
        axes.add_patch(PathPatch(Path(points, codes), facecolor="none", edgecolor=colour, capstyle="butt"))
        if line.role == "flow":
            axes.add_patch(Polygon(_arrow(line), facecolor=colour, linewidth=0))
    for shape in (*drawing.shapes, *drawing.marks):
        axes.add_patch(Polygon(shape.corners, **_style(shape)))
    for x, y in drawing.sums:
        plus = [(x - RING, y), (x + RING, y), (x, y - RING), (x, y + RING)]
        axes.add_patch(Circle((x, y), RING, facecolor=PAPER, edgecolor=INK))
        axes.add_patch(PathPatch(Path(plus, [MOVE, STRAIGHT] * 2), facecolor="none", edgecolor=INK))
    for text in drawing.texts:
        axes.text(
            text.x,
            text.y,
            text.words,
            fontsize=TITLE if text.role == "title" else TEXT,
            fontweight="bold" if text.role == "title" else "normal",
            horizontalalignment={"start": "left", "middle": "center", "end": "right"}[text.anchor],
            parse_math=False,
        )


def _style(shape: Shape) -> dict[str, Any]:
    if shape.role in FILLS:
        alpha = SHADE if shape.role == "block" else 1
        return {"facecolor": COLOURS[FILLS[shape.role]][0], "alpha": alpha, "linewidth": 0}
    dashes = (0, (2, 1.2)) if shape.role == "dropout" else "solid"
    return {"facecolor": PAPER, "edgecolor": INK, "linestyle": dashes}


def _arrow(line: Line) -> list[Point]:
    """The arrowhead at the right end of a line."""
    x, y = line.points[-1]
    return [(x - ARROW, y - 3), (x, y), (x - ARROW, y + 3)]
