"""Networks as small SVG elements, of which a page holds hundreds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby, pairwise

from reporting.drawings.legend import ALIKE, SCALES, legend_shapes
from reporting.drawings.network_shapes import network_shapes
from reporting.drawings.paths import ARROW, FILLS, SHADE, STRAIGHT, STROKES, Point, rounded
from reporting.drawings.shapes import RING, TEXT, Drawing, Line, Shape, Text
from search_space.architecture import Architecture

OUTLINE = "fill:var(--paper);stroke:var(--ink)"


# The small SVG
def network_svg(architecture: Architecture) -> str:
    """The drawing of a network as an SVG element for a page, in the colours of the page.

    It contains no ids, so that a page can hold any number of drawings. Legend entries that are the same for
    all networks are left to `legend_svg`, which a page shows once.
    """
    channels, height, width = architecture.input_shape
    words = f"{channels}×{height}×{width} images, {architecture.describe()}, {architecture.classes} classes"
    return _svg(network_shapes(architecture, short_legend=True), words)


def legend_svg() -> str:
    """The legend entries that `network_svg` leaves out, as an SVG element."""
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
    """A line as a path in relative steps, two for each bend. The flow ends in an arrow."""
    (_, (x, y)), *steps = rounded(line)
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


def _closed(corners: Sequence[Point]) -> str:
    """A closed path through corners, in relative steps."""
    steps = (_step(right - x, down - y) for (x, y), (right, down) in pairwise(corners))
    return f"M{_pair(*corners[0])}{''.join(steps)}z"


def _svg_sum(point: Point) -> str:
    """A plus in a circle, which is an arc that almost closes."""
    size, whole = _number(RING), _number(2 * RING)
    plus = f"M{_pair(point[0] - RING, point[1])}h{whole}m-{size}-{size}v{whole}"
    return f"{plus}a{size} {size} 0 1 1 .1 0"


def _svg_texts(texts: Sequence[Text]) -> Iterator[str]:
    """Texts as elements, grouped by anchor and line."""
    ordered = sorted(texts, key=lambda text: (text.anchor, text.y, text.x))
    for anchor, of_anchor in groupby(ordered, key=lambda text: text.anchor):
        yield f'<g text-anchor="{anchor}">'
        for y, row in groupby(of_anchor, key=lambda text: text.y):
            (x, words), *others = [(_number(text.x), escape(text.words)) for text in row]
            spans = "".join(f'<tspan x="{x}">{words}</tspan>' for x, words in others)
            yield f'<text x="{x}" y="{_number(y)}">{words}{spans}</text>'
        yield "</g>"
