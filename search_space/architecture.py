"""A resolved network, layer by layer, and its canonical text."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from records.canonical import canonical_json, from_json, shown
from records.documents import parse_json
from records.texts import NetworkText
from search_space.genes import NETWORK_TRAITS, OPTIONS

MOST_LAYERS, MOST_FILTERS, MOST_KERNEL, MOST_SIDE = 1_000, 8192, 63, 1 << 20  # at least what a gene can say
REDUCTION, LEAST_SQUEEZED = 16, 8  # filters per unit between squeeze and excitation; the minimum of units

OMITTED_DEFAULTS = ("residual", "squeeze_excitation", "dropout")  # fields that a network's text leaves out if not set


@dataclass(frozen=True, slots=True)
class Layer:
    """Conv2d without bias → 2×2 pooling where `pool` → BatchNorm2d → activation."""

    filters: int
    kernel: int
    pool: bool = False
    stride: int = 1


FeatureMap = tuple[Layer, int, int, int]  # a layer, and the channels, height and width of its input


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network, layer by layer, for one input shape.

    `blocks` holds the number of layers in each block, counted from the end of the network; in a plain
    network it only serves descriptions and drawings. With `residual`, the input of each block is added
    to the output of its last BatchNorm, before the activation (He et al. 2016): pooled if the block
    pools, through a 1×1 convolution and BatchNorm if the width changes. With `squeeze_excitation`, the
    feature maps are reweighted after that BatchNorm (Hu et al. 2018). `dropout` is the probability of
    dropping a feature before the last layer.
    """

    input_shape: tuple[int, int, int]  # channels, height, width
    classes: int
    activation: str
    pooling: str
    layers: tuple[Layer, ...]
    blocks: tuple[int, ...] = ()
    residual: bool = False
    squeeze_excitation: bool = False
    dropout: float = 0.0
    options: tuple[tuple[str, Any], ...] = ()  # the other traits of `genes.OPTIONS` that differ from their defaults

    def __post_init__(self) -> None:
        fewest = 1 if self.has_blocks else 0
        if not fewest <= sum(self.blocks) <= len(self.layers):
            raise ValueError(f"{len(self.layers)} layers cannot be grouped into blocks of {self.blocks}")

    def option(self, name: str) -> Any:
        """The value of one of `genes.OPTIONS`."""
        return dict(self.options).get(name, NETWORK_TRAITS[name].default)

    @property
    def has_blocks(self) -> bool:
        """Whether the grouping into blocks is part of the network."""
        return self.residual or self.squeeze_excitation

    def feature_maps(self) -> Iterator[FeatureMap]:
        """Each layer with the channels, height and width of its input."""
        channels, height, width = self.input_shape
        for layer in self.layers:
            yield layer, channels, height, width
            channels = layer.filters
            height, width = -(-height // layer.stride), -(-width // layer.stride)
            if layer.pool:
                height, width = height // 2, width // 2

    def stem_and_blocks(self) -> tuple[list[FeatureMap], list[list[FeatureMap]]]:
        """The feature maps before the first block, and those of each block."""
        maps = list(self.feature_maps())
        stem = len(maps) - sum(self.blocks)
        ends = itertools.accumulate(self.blocks, initial=stem)
        return maps[:stem], [maps[start:end] for start, end in itertools.pairwise(ends)]

    def describe(self) -> str:
        """The network in one line of text."""
        body = self.layers[len(self.layers) - sum(self.blocks) :] or self.layers
        late = self.blocks and not any(layer.pool for layer in body[: self.blocks[0]])
        stem = f"stem of {len(self.layers) - len(body)}, " if len(body) < len(self.layers) else ""
        kernel = f"{body[0].kernel}×{body[0].kernel}"
        values = {name: getattr(self, name) for name in OMITTED_DEFAULTS} | dict(self.options)
        more = [
            trait.phrase(values[name])
            for name, trait in NETWORK_TRAITS.items()
            if trait.phrase is not None and name in values and values[name] != trait.default
        ]
        return (
            f"{stem}{len(self.blocks)} blocks, {len(body)} convolutions {kernel}, "
            f"{body[0].filters}→{body[-1].filters} filters, {self.activation}, "
            f"{'late' if late else 'early'} {self.pooling} pooling{''.join(f', {each}' for each in more)}"
        )


def squeezed(filters: int) -> int:
    """The number of units between squeeze and excitation for this number of feature maps."""
    return max(LEAST_SQUEEZED, filters // REDUCTION)


ARCHITECTURE_FIELDS = tuple(field.name for field in fields(Architecture))
LAYER_FIELDS = tuple(field.name for field in fields(Layer))


def network_text(architecture: Architecture) -> NetworkText:
    """The canonical JSON of a network, including the grouping into blocks only if that changes the network."""
    # Not by `to_json`: this function takes most of the time that a generation takes to breed.
    content: dict[str, Any] = {name: getattr(architecture, name) for name in ARCHITECTURE_FIELDS}
    content["layers"] = [{name: getattr(layer, name) for name in LAYER_FIELDS} for layer in architecture.layers]
    if not architecture.has_blocks:
        del content["blocks"]
    for name in OMITTED_DEFAULTS:
        if not content[name]:
            del content[name]
    content |= content.pop("options")
    return NetworkText(canonical_json(content))


@functools.lru_cache(maxsize=1024)
def architecture_of(network: NetworkText) -> Architecture:
    """The inverse of `network_text`. Raises ValueError for other texts."""
    content = parse_json(network)
    if not isinstance(content, dict):
        raise ValueError(f"an architecture was expected, but it is {shown(content)}")
    options = tuple((name, _allele(name, content.pop(name))) for name in OPTIONS if name in content)
    defaults = {"blocks": [], "residual": False, "squeeze_excitation": False, "dropout": 0.0, "options": []}
    architecture = from_json(Architecture, {**defaults, **content})
    for name in ("activation", "pooling", *OMITTED_DEFAULTS):
        _allele(name, getattr(architecture, name))
    _check_sizes(architecture)
    return replace(architecture, options=options)


def _check_sizes(architecture: Architecture) -> None:
    """Raises ValueError for sizes that no gene table gives."""
    if not 1 <= len(architecture.layers) <= MOST_LAYERS or min(architecture.blocks, default=1) < 1:
        raise ValueError(f"a network has 1 to {MOST_LAYERS} layers, and each of its blocks has one")
    for layer in architecture.layers:
        sizes = (layer.filters, MOST_FILTERS), (layer.kernel, MOST_KERNEL), (layer.stride, 2)
        if not all(1 <= size <= most for size, most in sizes) or layer.kernel % 2 == 0:
            raise ValueError(f"no gene gives the layer {layer}")
    if not all(1 <= size <= MOST_SIDE for size in (*architecture.input_shape, architecture.classes)):
        raise ValueError(
            f"no network reads images of shape {architecture.input_shape} in {architecture.classes} classes"
        )


def _allele(name: str, value: Any) -> Any:
    """A value of a trait, as a gene could have it. Raises ValueError for any other."""
    try:
        return NETWORK_TRAITS[name].read(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected {error}, found {shown(value)}") from error
