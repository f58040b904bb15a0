"""The position and the size of each layer in the drawing of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from reporting.drawings.shapes import on_halves, text_width
from search_space.architecture import Architecture, FeatureMap, Layer

SIDE = 15.0  # height of a map of one pixel
PADDING = 3.0  # around the boxes of a block
GAP, WIDE_GAP = 7.0, 19.0  # between blocks; the same where shortcuts begin and end
SQUEEZED_LAYERS = 20  # networks with more layers have narrower boxes
POOLING_WIDTH, EXCITATION_WIDTH = 9.0, 9.0
NEXT = 2.0  # between boxes of a block
LABEL_GAP = 8.0  # between the labels of neighbouring stages


def map_height(height: int, width: int) -> float:
    """The height of a map of `height`×`width` pixels: proportional to the root of the side of a square of its area."""
    return 2.0 * round(SIDE * math.sqrt(math.sqrt(height * width)) / 2)


def filter_width(filters: int) -> float:
    """The width of a convolution with this number of filters: four points more for each doubling."""
    return on_halves(4 + 4 * math.log2(max(2.0, filters / 4)))


@dataclass(frozen=True, slots=True)
class Step:
    """A layer at its place, with the heights of its input map, of its output map, and of that map after pooling."""

    block: int  # 0 before the first
    is_last: bool  # of its block
    channels: int  # of its input map
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
        """The height of the convolution's box: that of its output map, or of its input map where it halves that."""
        return self.given if self.layer.stride == 1 else self.read


def steps_of(architecture: Architecture, start: float) -> list[Step]:
    """All layers from left to right, beginning at `start`, with room for the labels of their stages."""
    stem, blocks = architecture.stem_and_blocks()
    owned = [(0, False, each) for each in stem]
    owned += [(number, each is block[-1], each) for number, block in enumerate(blocks, 1) for each in block]
    share = min(1.0, SQUEEZED_LAYERS / len(owned))
    stages = [(*_label(feature_map), "" if block else "stem") for block, _, feature_map in owned]
    widths = [on_halves(share * filter_width(layer.filters)) for _, _, (layer, *_) in owned]
    lengths = [
        width
        + (NEXT + POOLING_WIDTH if layer.pool else 0)
        + (NEXT + EXCITATION_WIDTH if is_last and architecture.squeeze_excitation else 0)
        for width, (_, is_last, (layer, *_)) in zip(widths, owned, strict=True)
    ]
    between = (WIDE_GAP if architecture.residual else GAP) + 2 * PADDING
    numbers = [block for block, *_ in owned]
    gaps = [
        max(1.0, on_halves(NEXT * share)) if here == before else between for before, here in pairwise([None, *numbers])
    ]
    return [
        Step(block, is_last, channels, layer, stage, x, width, x + length, *_heights(layer, height, pixels))
        for (block, is_last, (layer, channels, height, pixels)), stage, width, length, x in zip(
            owned, stages, widths, lengths, _places(lengths, gaps, stages, start), strict=True
        )
    ]


def _label(feature_map: FeatureMap) -> tuple[str, str, str]:
    """The label below a layer: the size of its output map, its filters, its kernel."""
    layer, _, height, width = feature_map
    height, width = -(-height // layer.stride), -(-width // layer.stride)
    return f"{height}×{width}", str(layer.filters), f"{layer.kernel}×{layer.kernel}"


def _heights(layer: Layer, height: int, width: int) -> tuple[float, float, float]:
    """The heights of a layer's input map, of its output map, and of that map after pooling."""
    read = map_height(height, width)
    height, width = -(-height // layer.stride), -(-width // layer.stride)
    given = map_height(height, width)
    return read, given, map_height(height // 2, width // 2) if layer.pool else given


def _places(
    lengths: Sequence[float], gaps: Sequence[float], stages: Sequence[tuple[str, ...]], start: float
) -> list[float]:
    """Where each layer begins: after a gap behind the one before, each stage at least as wide as its label."""
    places = []
    x = start
    for stage, run in groupby(range(len(lengths)), key=stages.__getitem__):
        members = list(run)
        natural = sum(lengths[index] for index in members) + sum(gaps[index] for index in members[1:])
        near = min([*gaps[members[0] :][:1], *gaps[members[-1] + 1 :][:1]])
        spare = on_halves(max(0.0, max(map(text_width, stage)) + LABEL_GAP - near - natural) / 2)
        x += spare
        for index in members:
            x += gaps[index]
            places.append(x)
            x += lengths[index]
        x += spare
    return places
