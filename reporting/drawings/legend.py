"""The legend below the drawing of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from reporting.drawings.shapes import MARGIN, TEXT, Drawing, Line, Text, text_width
from reporting.drawings.sketch import MARK, ROW, Sketch, mark
from search_space.architecture import Architecture

ALIKE = (("average", "global average pooling"), ("linear", "linear layer"))  # in all networks
SCALES = "height: side of the map (square root); width: number of filters (logarithm)"


def legend_shapes() -> Drawing:
    """The entries that short legends leave out because they are the same for all networks."""
    sketch = Sketch(0, 0)
    end, bottom = draw_legend(sketch, ALIKE, MARGIN + TEXT, math.inf)
    return sketch.drawing(*draw_scales(sketch, bottom + ROW, end))


def legend_entries(architecture: Architecture, short_legend: bool) -> Iterator[tuple[str, str]]:
    """The symbols of this network and their meanings."""
    follows = f", batch normalisation, {architecture.activation}"
    yield "convolution", f"convolution{f', {architecture.activation}' if short_legend else follows}"
    if any(layer.stride > 1 for layer in architecture.layers):
        yield "strided", "the same, stride 2"
    if any(layer.pool for layer in architecture.layers):
        yield "pooling", f"{architecture.pooling} pooling{'' if short_legend else ' 2×2'}"
    if architecture.squeeze_excitation:
        yield "excitation", "squeeze-and-excitation"
    if architecture.residual:
        yield "shortcut", "residual shortcut"
        yield "projection", f"1×1 {'' if short_legend else 'convolution '}on the shortcut"
    yield ALIKE[0]
    if architecture.dropout:
        yield "dropout", f"dropout {architecture.dropout:g}"
    yield ALIKE[1]


def draw_legend(sketch: Sketch, entries: Sequence[tuple[str, str]], y: float, most: float) -> tuple[float, float]:
    """Draws symbols and their meanings in as many lines as needed, the first on `y`; returns the right end and the
    last line."""
    x, end = MARGIN, 0.0 if math.isinf(most) else most
    for role, words in entries:
        length = MARK + 4 + text_width(words)
        if x > MARGIN and x + length > max(most, end):
            x, y = MARGIN, y + ROW
        centre = y - 4
        if role == "shortcut":
            sketch.lines.append(Line("shortcut", ((x, y), (x, y - MARK), (x + MARK, y - MARK), (x + MARK, y))))
        else:
            sketch.marks.append(mark(role, x, centre))
        sketch.texts.append(Text(x + MARK + 4, y, words, "start"))
        end = max(end, x + length)
        x += length + 14
    return end, y


def draw_scales(sketch: Sketch, y: float, end: float) -> tuple[float, float]:
    """Draws the meaning of a box's height and width; returns the right end and the line, as `draw_legend` does."""
    sketch.texts.append(Text(MARGIN, y, SCALES, "start", "header"))
    return max(end, sketch.texts[-1].span[1]), y
