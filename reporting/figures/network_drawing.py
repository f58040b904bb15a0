"""Drawings of networks: figures, alone or several on one scale, and small SVGs of which a page holds hundreds."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from itertools import accumulate, groupby, pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, PathPatch, Polygon
from matplotlib.path import Path

from reporting.figures.network_shapes import (
    ALIKE,
    MARGIN,
    RING,
    SCALES,
    TEXT,
    TITLE,
    Drawing,
    Line,
    Shape,
    Text,
    legend_shapes,
    network_shapes,
)
from reporting.figures.theme import COLOURS, theme
from search_space.architecture import Architecture

ROUNDING = 5.0  # radius of a corner of a shortcut
BETWEEN = 14.0  # drawings of a figure
POINTS = 72  # in an inch
TITLE_ROW = 1.35 * TITLE
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
OUTLINE = "fill:var(--paper);stroke:var(--ink)"
INK, PAPER = COLOURS["ink"][0], COLOURS["paper"][0]
Point = tuple[float, float]


def draw_network(architecture: Architecture, title: str = "") -> Figure:
    """A figure of a network with its legend. The first line of the title is larger than the others."""
    return _figure([(0, 0, _titled(network_shapes(architecture), title))])


def draw_networks(networks: Sequence[tuple[str, Architecture]], columns: int = 1) -> Figure:
    """A figure of networks with their titles, in so many columns, all on one scale."""
    drawings = [_titled(network_shapes(architecture, brief=True), title) for title, architecture in networks]
    rows = [drawings[start : start + columns] for start in range(0, len(drawings), columns)]
    widths = [max(each.width for each in drawings[column::columns]) for column in range(min(columns, len(drawings)))]
    lefts = list(accumulate((width + BETWEEN for width in widths), initial=0.0))
    tops = list(accumulate((max(each.height for each in row) + BETWEEN for row in rows), initial=0.0))
    placed = [
        (left, top, drawing)
        for top, row in zip(tops, rows, strict=False)
        for left, drawing in zip(lefts, row, strict=False)
    ]
    return _figure([*placed, (0, tops[-1], legend_shapes())])


def _titled(drawing: Drawing, title: str) -> Drawing:
    """The drawing with a title above, in as many lines as it takes."""
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
    moved = _moved(drawing, 0, TITLE_ROW * len(lines) + MARGIN)
    width = max(drawing.width, *(text.span[1] + MARGIN for text in texts))
    return replace(moved, width=width, texts=(*texts, *moved.texts))


def _moved(drawing: Drawing, right: float, down: float) -> Drawing:
    """The drawing with all in it moved, and so much larger."""
    return Drawing(
        drawing.width + right,
        drawing.height + down,
        tuple(replace(shape, x=shape.x + right, y=shape.y + down) for shape in drawing.shapes),
        tuple(replace(shape, x=shape.x + right, y=shape.y + down) for shape in drawing.marks),
        tuple(replace(line, points=tuple((x + right, y + down) for x, y in line.points)) for line in drawing.lines),
        tuple((x + right, y + down) for x, y in drawing.sums),
        tuple(replace(text, x=text.x + right, y=text.y + down) for text in drawing.texts),
    )


def _figure(placed: Sequence[tuple[float, float, Drawing]]) -> Figure:
    """Drawings, each with its place from the left and from the top, in one figure."""
    moved = [_moved(drawing, left, top) for left, top, drawing in placed]
    width, height = max(each.width for each in moved), max(each.height for each in moved)
    with theme():
        figure = Figure(figsize=(width / POINTS, height / POINTS))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, width)
        axes.set_ylim(height, 0)
        axes.axis("off")
        for drawing in moved:
            _draw(axes, drawing)
    return figure


def _draw(axes: Axes, drawing: Drawing) -> None:
    for line in drawing.lines:
        colour = COLOURS[STROKES[line.role]][0]
        codes, points = zip(*_rounded(line), strict=True)
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


def _rounded(line: Line) -> Iterator[tuple[Any, Point]]:
    """A line as codes and points of a path, its corners rounded."""
    yield MOVE, line.points[0]
    for before, corner, after in zip(line.points, line.points[1:], line.points[2:], strict=False):
        yield STRAIGHT, _toward(corner, before)
        yield BEND, corner
        yield BEND, _toward(corner, after)
    yield STRAIGHT, line.points[-1]


def _toward(corner: Point, other: Point) -> Point:
    """Where a line between the two begins to bend into the corner."""
    share = min(0.5, ROUNDING / max(ROUNDING, math.dist(corner, other)))
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])


def _arrow(line: Line) -> list[Point]:
    """The head of an arrow at the end of a line to the right."""
    x, y = line.points[-1]
    return [(x - ARROW, y - 3), (x, y), (x - ARROW, y + 3)]


# The small SVG


def network_svg(architecture: Architecture) -> str:
    """The drawing of a network as an SVG element for a page, where its colours are those of the page.

    It names no part of itself, so that a page may hold any number of them. What is alike in all
    networks its legend leaves to `legend_svg`, once on the page.
    """
    channels, height, width = architecture.input_shape
    words = f"{channels}×{height}×{width} images, {architecture.describe()}, {architecture.classes} classes"
    return _svg(network_shapes(architecture, brief=True), words)


def legend_svg() -> str:
    """What the legends of all small SVGs leave out, as an SVG element."""
    return _svg(legend_shapes(), "; ".join([*(f"{FILLS[role]}: {words}" for role, words in ALIKE), SCALES]))


def _svg(drawing: Drawing, words: str) -> str:
    paths: dict[str, str] = {}  # by style, in the order of drawing
    for line in drawing.lines:
        style = _svg_stroke(line)
        paths[style] = paths.get(style, "") + _svg_line(line)
    for shape in (*drawing.shapes, *drawing.marks):
        style = _svg_fill(shape)
        paths[style] = paths.get(style, "") + _closed(shape.corners)
    paths[OUTLINE] = paths.get(OUTLINE, "") + "".join(map(_svg_sum, drawing.sums))
    parts = [f'<path d="{path}" style="{style}"/>' for style, path in paths.items()]
    size = f'width="{drawing.width:.0f}" viewBox="0 0 {drawing.width:.0f} {drawing.height:.0f}"'
    look = f"max-width:100%;height:auto;fill:var(--ink);font:{TEXT:g}px var(--figure-font,sans-serif)"
    head = f'<svg class="network" role="img" aria-label="{escape(words)}" {size} style="{look}">'
    return f"{head}{''.join(parts)}{''.join(_svg_texts(drawing.texts))}</svg>"


def _number(value: float) -> str:
    """A coordinate to a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")


def _svg_stroke(line: Line) -> str:
    colour = f"var(--{STROKES[line.role]})"
    return f"fill:{'none' if line.role == 'shortcut' else colour};stroke:{colour}"


def _svg_fill(shape: Shape) -> str:
    if shape.role in FILLS:
        shade = f";opacity:{SHADE:g}" if shape.role == "block" else ""
        return f"fill:var(--{FILLS[shape.role]}){shade}"
    return f"{OUTLINE};stroke-dasharray:2 1.2" if shape.role == "dropout" else OUTLINE


def _svg_line(line: Line) -> str:
    """A line as a path: from its start in steps, two to each bend. The flow ends in an arrow."""
    (_, (x, y)), *steps = _rounded(line)
    path, bend = f"M{_pair(x, y)}", ""
    for code, (right, down) in steps:
        if code == STRAIGHT:
            path += _step(right - x, down - y)
        elif not bend:
            bend = f"q{_pair(right - x, down - y)}"
            continue
        else:
            path += f"{bend} {_pair(right - x, down - y)}".replace(" -", "-")
        x, y, bend = right, down, ""
    return f"{path}l-{ARROW:g}-3v6l{ARROW:g}-3" if line.role == "flow" else path


def _step(right: float, down: float) -> str:
    """A straight piece of a path."""
    if right == 0:
        return f"v{_number(down)}"
    return f"h{_number(right)}" if down == 0 else f"l{_pair(right, down)}"


def _pair(x: float, y: float) -> str:
    return f"{_number(x)} {_number(y)}".replace(" -", "-")


def _svg_shapes(role: str, shapes: Sequence[Shape]) -> str:
    path = "".join(_closed(shape.corners) for shape in shapes)
    style = "fill:var(--paper);stroke:var(--ink);stroke-width:.9"
    if role in FILLS:
        style = f"fill:var(--{FILLS[role]})"
    if role == "block":
        style += f";opacity:{SHADE:g}"
    if role == "dropout":
        style += ";stroke-dasharray:2 1.2"
    return f'<path d="{path}" style="{style}"/>'


def _closed(corners: Sequence[Point]) -> str:
    """A closed path through corners, in steps from each to the next."""
    steps = (_step(right - x, down - y) for (x, y), (right, down) in pairwise(corners))
    return f"M{_pair(*corners[0])}{''.join(steps)}z"


def _svg_sum(point: Point) -> str:
    """A plus, and a ring around it, which is an arc that all but closes."""
    size, whole = _number(RING), _number(2 * RING)
    plus = f"M{_pair(point[0] - RING, point[1])}h{whole}m-{size}-{size}v{whole}"
    return f"{plus}a{size} {size} 0 1 1 .1 0"


def _svg_texts(texts: Sequence[Text]) -> Iterator[str]:
    """Texts, those of one anchor and line together."""
    ordered = sorted(texts, key=lambda text: (text.anchor, text.y, text.x))
    for anchor, of_anchor in groupby(ordered, key=lambda text: text.anchor):
        yield f'<g text-anchor="{anchor}">'
        for y, row in groupby(of_anchor, key=lambda text: text.y):
            (x, words), *others = [(_number(text.x), escape(text.words)) for text in row]
            spans = "".join(f'<tspan x="{x}">{words}</tspan>' for x, words in others)
            yield f'<text x="{x}" y="{_number(y)}">{words}{spans}</text>'
        yield "</g>"
