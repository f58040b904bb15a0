"""The drawing of a network as shapes: input, blocks, head and legend. Painting them is left to other modules."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from reporting.drawings.layout import (
    EXCITATION_WIDTH,
    GAP,
    LABEL_GAP,
    NEXT,
    PADDING,
    POOLING_WIDTH,
    WIDE_GAP,
    Step,
    map_height,
    steps_of,
)
from reporting.drawings.legend import ALIKE, draw_legend, draw_scales, legend_entries
from reporting.drawings.shapes import MARGIN, RING, TEXT, Drawing, Line, Text, on_halves, text_width
from reporting.drawings.sketch import MARK, ROW, Sketch, mark
from search_space.architecture import Architecture

AVERAGE_WIDTH, DROPOUT_WIDTH, LINEAR_WIDTH = 14.0, 7.0, 9.0
SHEET = 3.0  # width of a channel of the input
SHORTCUT = 9.0  # of a shortcut above its block
CHANNELS = {1: "grey", 3: "RGB"}
HEADERS = ("block", "map", "filters", "kernel")


def network_shapes(architecture: Architecture, short_legend: bool = False) -> Drawing:
    """The drawing of a network: input, blocks from left to right, head; labels below, then a legend.

    A box is a convolution with its normalisation and activation. Its height is proportional to the square root
    of the side of its output map, so that one pixel is visible and 224 are not huge; its width grows with the
    logarithm of its filters, and is smaller in very deep networks. Boxes that halve maps narrow to the right.
    `short_legend` leaves out of the legend what is the same for all networks.
    """
    _, height, width = architecture.input_shape
    tallest = map_height(height, width) + 2 * PADDING  # nothing makes maps larger
    middle = MARGIN + (SHORTCUT + MARK / 2 if architecture.residual else 0) + tallest / 2
    sketch = Sketch(middle, middle + tallest / 2 + ROW)
    source, start = _draw_input(sketch, architecture)
    steps = steps_of(architecture, start)
    _draw_stages(sketch, steps)
    for block, members in groupby(steps, key=lambda step: step.block):
        _draw_block(sketch, architecture, block, list(members))
    end = _draw_head(sketch, architecture, source, steps[-1])
    entries = [entry for entry in legend_entries(architecture, short_legend) if not (short_legend and entry in ALIKE)]
    end, bottom = draw_legend(sketch, entries, sketch.row(3) + 1.5 * ROW, end)
    if not short_legend:
        end, bottom = draw_scales(sketch, bottom + ROW, end)
    return sketch.drawing(end, bottom)


def _draw_input(sketch: Sketch, architecture: Architecture) -> tuple[float, float]:
    """Draws the channels of an image and the names of the rows; returns where the flow and the first layer begin."""
    channels, height, width = architecture.input_shape
    for number, header in enumerate(HEADERS):
        if architecture.blocks or number:
            sketch.label(MARGIN, number, header, "start", "header")
    labels = ("input", f"{height}×{width}", CHANNELS.get(channels, str(channels)))
    widest = max(map(text_width, labels))
    centre = on_halves(MARGIN + max(map(text_width, HEADERS)) + LABEL_GAP + widest / 2)
    for number, words in enumerate(labels):
        sketch.label(centre, number, words)
    sheets = min(channels, 3)
    x = centre - sheets * SHEET / 2
    for _ in range(sheets):
        x = sketch.box("input", x, SHEET, map_height(height, width))
    return x, on_halves(centre + widest / 2)


def _draw_stages(sketch: Sketch, steps: Sequence[Step]) -> None:
    """Draws a line under each run of identical layers, and below it their map, filters and kernel."""
    y = sketch.row(0) + 5
    for stage, run in groupby(steps, key=lambda step: step.stage):
        members = list(run)
        start, end = members[0].x - PADDING, members[-1].end + PADDING
        sketch.lines.append(Line("stage", ((start, y), (end, y))))
        for number, words in enumerate(stage[:3], 1):
            sketch.label((start + end) / 2, number, words)


def _draw_block(sketch: Sketch, architecture: Architecture, block: int, members: Sequence[Step]) -> None:
    """Draws the layers of one block, or those before the first block, with the name below."""
    start, end = members[0].x - PADDING, members[-1].end + PADDING
    tallest = max(step.tallest for step in members) + 2 * PADDING
    if block:
        sketch.box("block", start, end - start, tallest)
    name = str(block) if block else "stem" if architecture.blocks else ""
    if name and text_width(name) < end - start + GAP:
        sketch.label((start + end) / 2, 0, name)
    for step in members:
        x = sketch.box("convolution", step.x, step.width, step.tallest, step.given)
        if step.layer.pool:
            x = sketch.box("pooling", x + NEXT, POOLING_WIDTH, step.given, step.pooled)
        if step.is_last and architecture.squeeze_excitation:
            sketch.box("excitation", x + NEXT, EXCITATION_WIDTH, step.pooled)
    if block and architecture.residual:
        _draw_shortcut(sketch, members, start, end, sketch.middle - tallest / 2 - SHORTCUT)


def _draw_shortcut(sketch: Sketch, members: Sequence[Step], start: float, end: float, y: float) -> None:
    """Draws the shortcut around a block at height `y`, with symbols of the operations on it."""
    leaves, ends = start - 4.5, end + 2 + RING
    middle, last = sketch.middle, members[-1].layer
    corners = ((leaves, middle), (leaves, y), (ends, y), (ends, middle - RING))
    sketch.lines.append(Line("shortcut", corners))
    sketch.sums.append((ends, middle))
    signs = [
        *(["pooling"] if last.pool else []),
        *(["projection"] if members[0].channels != last.filters else []),
    ]
    x = on_halves((leaves + ends - len(signs) * (MARK + NEXT) + NEXT) / 2)
    for sign in signs:
        sketch.marks.append(mark(sign, x, y))
        x += MARK + NEXT


def _draw_head(sketch: Sketch, architecture: Architecture, source: float, last: Step) -> float:
    """Draws the head (global pooling, dropout, linear layer, classes); returns its right end."""
    vector = map_height(1, 1)
    begin = last.end + PADDING + (WIDE_GAP if architecture.residual else GAP)
    x = sketch.box("average", begin, AVERAGE_WIDTH, last.pooled, vector)
    if architecture.dropout:
        x = sketch.box("dropout", x + 2 * NEXT, DROPOUT_WIDTH, vector)
    x = sketch.box("linear", x + 2 * NEXT, LINEAR_WIDTH, 26)
    sketch.label((begin + x) / 2, 0, "head")
    arrow = x + 12
    sketch.lines.append(Line("flow", ((source, sketch.middle), (arrow, sketch.middle))))
    labels = (str(architecture.classes), "classes")
    centre = arrow + 3 + max(map(text_width, labels)) / 2
    for word, y in zip(labels, (sketch.middle - 2, sketch.middle + TEXT - 1), strict=True):
        sketch.texts.append(Text(centre, y, word))
    return on_halves(2 * centre - arrow - 3)
