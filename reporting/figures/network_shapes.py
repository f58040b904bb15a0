"""The geometry of a network's drawing: shapes, lines and texts at their places. What paints them is elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from search_space.architecture import Architecture, FeatureMap, Layer

# Lengths are in points; places lie on halves of one, which keeps drawings sharp and their text short.
SIDE = 15.0  # height of a map of one pixel
MARGIN, PADDING = 4.0, 3.0  # around the drawing; around the boxes of a block
GAP, WIDE_GAP = 7.0, 19.0  # between blocks; where shortcuts leave and end
SQUEEZED_LAYERS = 20  # networks of more have narrower boxes
POOLING_WIDTH, EXCITATION_WIDTH, MARK = 9.0, 9.0, 8.0
AVERAGE_WIDTH, DROPOUT_WIDTH, LINEAR_WIDTH = 14.0, 7.0, 9.0
SHEET = 3.0  # width of a channel of the input
NEXT = 2.0  # between boxes of a block
SHORTCUT = 9.0  # of a shortcut above its block
RING = 3.5  # radius of the sign of an addition
TEXT, ROW, TITLE = 11.0, 14.0, 12.0  # size of text, of its lines, of a title
LABEL_GAP = 8.0  # between the labels of neighbouring stages
LETTERS = {"fijlrt .,:;-()'": 0.36, "cksvxyz": 0.56, "mwMWG×→": 0.86}  # widths in DejaVu Sans, in sizes of the text
WIDTHS = {letter: width for letters, width in LETTERS.items() for letter in letters}
CHANNELS = {1: "grey", 3: "RGB"}
ALIKE = (("average", "global average pooling"), ("linear", "linear layer"))  # in all networks
SCALES = "height: side of the map (square root); width: number of filters (logarithm)"
HEADERS = ("block", "map", "filters", "kernel")


@dataclass(frozen=True, slots=True)
class Shape:
    """A box between two upright edges, of lengths `left` and `right`, whose middles are at height `y`.

    `role` says what it stands for; what narrows from left to right makes maps smaller.
    """

    role: str
    x: float
    y: float
    width: float
    left: float
    right: float

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """Around the shape, from its upper left; squeeze-and-excitation has a waist, a projection is a diamond."""
        x, y, middle, end = self.x, self.y, self.x + self.width / 2, self.x + self.width
        left, right = self.left / 2, self.right / 2
        if self.role == "projection":
            return (x, y), (middle, y - left), (end, y), (middle, y + left)
        if self.role == "excitation":
            waist = left / 4
            return (
                (x, y - left),
                (middle, y - waist),
                (end, y - right),
                (end, y + right),
                (middle, y + waist),
                (x, y + left),
            )
        return (x, y - left), (end, y - right), (end, y + right), (x, y + left)


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points: the "flow" of maps, a "shortcut" (its corners are rounded), a "stage"."""

    role: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Words on the base line `y`; `x` is their start, middle or end, as `anchor` says."""

    x: float
    y: float
    words: str
    anchor: str = "middle"
    role: str = "value"  # or header, title: larger and bold

    @property
    def span(self) -> tuple[float, float]:
        """Where the words begin and end, by the usual widths of letters."""
        width = text_width(self.words, TITLE if self.role == "title" else TEXT)
        start = self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * width
        return start, start + width


@dataclass(frozen=True, slots=True)
class Drawing:
    """A network as shapes in units of one point, `y` downwards. `marks` are signs on shortcuts and in the legend."""

    width: float
    height: float
    shapes: tuple[Shape, ...] = ()
    marks: tuple[Shape, ...] = ()
    lines: tuple[Line, ...] = ()
    sums: tuple[tuple[float, float], ...] = ()  # where a shortcut is added
    texts: tuple[Text, ...] = ()


def map_height(height: int, width: int) -> float:
    """Points for a map of `height`×`width` pixels: they go with the square root of the side of a square as large."""
    return 2.0 * round(SIDE * math.sqrt(math.sqrt(height * width)) / 2)


def filter_width(filters: int) -> float:
    """Points for so many filters: four more for each doubling."""
    return _on_halves(4 + 4 * math.log2(max(2.0, filters / 4)))


def _on_halves(length: float) -> float:
    return math.ceil(2 * length) / 2


def text_width(words: str, size: float = TEXT) -> float:
    """About how wide words are in DejaVu Sans or Verdana of this size."""
    return _on_halves(size * sum(WIDTHS.get(letter, 0.64) for letter in words))


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer at its place, with the heights of the map that it reads, that it gives, and that pooling leaves."""

    block: int  # 0 before the first
    is_last: bool  # of its block
    channels: int  # of the map that it reads
    layer: Layer
    stage: tuple[str, ...]  # its label, line by line
    x: float
    width: float  # of the convolution
    end: float  # of all that belongs to it
    read: float
    given: float
    pooled: float

    @property
    def tallest(self) -> float:
        """The height of the convolution's box: that of the map that it gives, or reads where it halves it."""
        return self.given if self.layer.stride == 1 else self.read


def _steps(architecture: Architecture, start: float) -> list[_Step]:
    """All layers from left to right from `start`, with room for the labels of their stages."""
    stem, blocks = architecture.stem_and_blocks()
    owned = [(0, False, each) for each in stem]
    owned += [(number, each is block[-1], each) for number, block in enumerate(blocks, 1) for each in block]
    share = min(1.0, SQUEEZED_LAYERS / len(owned))
    stages = [(*_label(feature_map), "" if block else "stem") for block, _, feature_map in owned]
    widths = [_on_halves(share * filter_width(layer.filters)) for _, _, (layer, *_) in owned]
    lengths = [
        width
        + (NEXT + POOLING_WIDTH if layer.pool else 0)
        + (NEXT + EXCITATION_WIDTH if is_last and architecture.squeeze_excitation else 0)
        for width, (_, is_last, (layer, *_)) in zip(widths, owned, strict=True)
    ]
    between = (WIDE_GAP if architecture.residual else GAP) + 2 * PADDING
    numbers = [block for block, *_ in owned]
    gaps = [
        max(1.0, _on_halves(NEXT * share)) if here == before else between for before, here in pairwise([None, *numbers])
    ]
    return [
        _Step(block, is_last, channels, layer, stage, x, width, x + length, *_heights(layer, height, pixels))
        for (block, is_last, (layer, channels, height, pixels)), stage, width, length, x in zip(
            owned, stages, widths, lengths, _places(lengths, gaps, stages, start), strict=True
        )
    ]


def _label(feature_map: FeatureMap) -> tuple[str, str, str]:
    """What stands below a layer: the map that it gives, its filters, its kernel."""
    layer, _, height, width = feature_map
    height, width = -(-height // layer.stride), -(-width // layer.stride)
    return f"{height}×{width}", str(layer.filters), f"{layer.kernel}×{layer.kernel}"


def _heights(layer: Layer, height: int, width: int) -> tuple[float, float, float]:
    """Points for the map that a layer reads, for the one that it gives, and for what its pooling leaves."""
    read = map_height(height, width)
    height, width = -(-height // layer.stride), -(-width // layer.stride)
    given = map_height(height, width)
    return read, given, map_height(height // 2, width // 2) if layer.pool else given


def _places(
    lengths: Sequence[float], gaps: Sequence[float], stages: Sequence[tuple[str, ...]], start: float
) -> list[float]:
    """Where each layer begins if each follows the last after a gap, and a stage is at least as wide as its label."""
    places = []
    x = start
    for stage, run in groupby(range(len(lengths)), key=stages.__getitem__):
        members = list(run)
        natural = sum(lengths[index] for index in members) + sum(gaps[index] for index in members[1:])
        near = min([*gaps[members[0] :][:1], *gaps[members[-1] + 1 :][:1]])
        spare = _on_halves(max(0.0, max(map(text_width, stage)) + LABEL_GAP - near - natural) / 2)
        x += spare
        for index in members:
            x += gaps[index]
            places.append(x)
            x += lengths[index]
        x += spare
    return places


@dataclass
class _Sketch:
    """What has been drawn so far. Maps flow along y = `middle`; the first row of labels stands on y = `base`."""

    middle: float
    base: float
    shapes: list[Shape] = field(default_factory=list)
    marks: list[Shape] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    sums: list[tuple[float, float]] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)

    def box(self, role: str, x: float, width: float, left: float, right: float | None = None) -> float:
        """Draws a shape on the flow; returns where it ends."""
        self.shapes.append(Shape(role, x, self.middle, width, left, left if right is None else right))
        return x + width

    def drawing(self, end: float, bottom: float) -> Drawing:
        """What has been drawn, if it ends there to the right, and on this last line of text."""
        return Drawing(
            end + MARGIN,
            bottom + 3 + MARGIN,
            tuple(sorted(self.shapes, key=lambda shape: shape.role != "block")),  # blocks behind all others
            tuple(self.marks),
            tuple(self.lines),
            tuple(self.sums),
            tuple(self.texts),
        )

    def row(self, number: int) -> float:
        """The base line of a row of labels; 0 is that of the blocks."""
        return self.base + ROW * number + (4 if number else 0)

    def label(self, x: float, number: int, words: str, anchor: str = "middle", role: str = "value") -> None:
        self.texts.append(Text(x, self.row(number), words, anchor, role))


def network_shapes(architecture: Architecture, brief: bool = False) -> Drawing:
    """The drawing of a network: input, blocks from left to right, head; labels below, then a legend.

    A box is a convolution with what follows it. Its height is that of the map that it gives, by the
    square root of the side, so that one pixel is seen and 224 are not huge; its width goes with the
    logarithm of its filters, and is less in networks of very many layers. What halves maps narrows
    to the right. `brief` leaves out of the legend what is alike in all networks.
    """
    _, height, width = architecture.input_shape
    tallest = map_height(height, width) + 2 * PADDING  # nothing makes maps larger
    middle = MARGIN + (SHORTCUT + MARK / 2 if architecture.residual else 0) + tallest / 2
    sketch = _Sketch(middle, middle + tallest / 2 + ROW)
    source, start = _draw_input(sketch, architecture)
    steps = _steps(architecture, start)
    _draw_stages(sketch, steps)
    for block, members in groupby(steps, key=lambda step: step.block):
        _draw_block(sketch, architecture, block, list(members))
    end = _draw_head(sketch, architecture, source, steps[-1])
    entries = [entry for entry in _legend(architecture, brief) if not (brief and entry in ALIKE)]
    end, bottom = _draw_legend(sketch, entries, sketch.row(3) + 1.5 * ROW, end)
    if not brief:
        end, bottom = _draw_scales(sketch, bottom + ROW, end)
    return sketch.drawing(end, bottom)


def legend_shapes() -> Drawing:
    """What the legends of brief drawings leave out, as it is alike in all networks."""
    sketch = _Sketch(0, 0)
    end, bottom = _draw_legend(sketch, ALIKE, MARGIN + TEXT, math.inf)
    return sketch.drawing(*_draw_scales(sketch, bottom + ROW, end))


def _draw_input(sketch: _Sketch, architecture: Architecture) -> tuple[float, float]:
    """The channels of an image, and the names of the rows; returns where the flow and the first layer may begin."""
    channels, height, width = architecture.input_shape
    for number, header in enumerate(HEADERS):
        if architecture.blocks or number:
            sketch.label(MARGIN, number, header, "start", "header")
    labels = ("input", f"{height}×{width}", CHANNELS.get(channels, str(channels)))
    widest = max(map(text_width, labels))
    centre = _on_halves(MARGIN + max(map(text_width, HEADERS)) + LABEL_GAP + widest / 2)
    for number, words in enumerate(labels):
        sketch.label(centre, number, words)
    sheets = min(channels, 3)
    x = centre - sheets * SHEET / 2
    for _ in range(sheets):
        x = sketch.box("input", x, SHEET, map_height(height, width))
    return x, _on_halves(centre + widest / 2)


def _draw_stages(sketch: _Sketch, steps: Sequence[_Step]) -> None:
    """Under each run of alike layers a line, and below it their map, filters and kernel."""
    y = sketch.row(0) + 5
    for stage, run in groupby(steps, key=lambda step: step.stage):
        members = list(run)
        start, end = members[0].x - PADDING, members[-1].end + PADDING
        sketch.lines.append(Line("stage", ((start, y), (end, y))))
        for number, words in enumerate(stage[:3], 1):
            sketch.label((start + end) / 2, number, words)


def _draw_block(sketch: _Sketch, architecture: Architecture, block: int, members: Sequence[_Step]) -> None:
    """The layers of one block, or those before the first, with the name below."""
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


def _draw_shortcut(sketch: _Sketch, members: Sequence[_Step], start: float, end: float, y: float) -> None:
    """A way round a block, at height `y`, with signs of what happens to the maps on it."""
    leaves, ends = start - 4.5, end + 2 + RING
    middle, last = sketch.middle, members[-1].layer
    corners = ((leaves, middle), (leaves, y), (ends, y), (ends, middle - RING))
    sketch.lines.append(Line("shortcut", corners))
    sketch.sums.append((ends, middle))
    signs = [
        *(["pooling"] if last.pool else []),
        *(["projection"] if members[0].channels != last.filters else []),
    ]
    x = _on_halves((leaves + ends - len(signs) * (MARK + NEXT) + NEXT) / 2)
    for sign in signs:
        sketch.marks.append(_mark(sign, x, y))
        x += MARK + NEXT


def _mark(role: str, x: float, y: float) -> Shape:
    """A small sign of what a shape stands for."""
    narrows = role in ("pooling", "average", "strided")
    kind = "convolution" if role == "strided" else role
    return Shape(kind, x, y, MARK, MARK * (1.25 if narrows else 1), MARK * (0.5 if narrows else 1))


def _draw_head(sketch: _Sketch, architecture: Architecture, source: float, last: _Step) -> float:
    """What follows the last block: pooling of whole maps, dropout, the linear layer, classes. Returns the end."""
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
    return _on_halves(2 * centre - arrow - 3)


def _legend(architecture: Architecture, brief: bool) -> Iterator[tuple[str, str]]:
    """Signs, and what they stand for in this network."""
    follows = f", batch normalisation, {architecture.activation}"
    yield "convolution", f"convolution{f', {architecture.activation}' if brief else follows}"
    if any(layer.stride > 1 for layer in architecture.layers):
        yield "strided", "the same, stride 2"
    if any(layer.pool for layer in architecture.layers):
        yield "pooling", f"{architecture.pooling} pooling{'' if brief else ' 2×2'}"
    if architecture.squeeze_excitation:
        yield "excitation", "squeeze-and-excitation"
    if architecture.residual:
        yield "shortcut", "residual shortcut"
        yield "projection", f"1×1 {'' if brief else 'convolution '}on the shortcut"
    yield ALIKE[0]
    if architecture.dropout:
        yield "dropout", f"dropout {architecture.dropout:g}"
    yield ALIKE[1]


def _draw_legend(sketch: _Sketch, entries: Sequence[tuple[str, str]], y: float, most: float) -> tuple[float, float]:
    """Signs and words in as many lines as it takes, the first on `y`; returns the right end and the last line."""
    x, end = MARGIN, 0.0 if math.isinf(most) else most
    for role, words in entries:
        length = MARK + 4 + text_width(words)
        if x > MARGIN and x + length > max(most, end):
            x, y = MARGIN, y + ROW
        centre = y - 4
        if role == "shortcut":
            sketch.lines.append(Line("shortcut", ((x, y), (x, y - MARK), (x + MARK, y - MARK), (x + MARK, y))))
        else:
            sketch.marks.append(_mark(role, x, centre))
        sketch.texts.append(Text(x + MARK + 4, y, words, "start"))
        end = max(end, x + length)
        x += length + 14
    return end, y


def _draw_scales(sketch: _Sketch, y: float, end: float) -> tuple[float, float]:
    """What height and width of a box say; returns the right end and the line, as `_draw_legend` does."""
    sketch.texts.append(Text(MARGIN, y, SCALES, "start", "header"))
    return max(end, sketch.texts[-1].span[1]), y
