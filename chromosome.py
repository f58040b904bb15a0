"""Gene tables, and the way from a chromosome (a string of 0 and 1) to a network. No torch here."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from records import InputError, canonical_json

MINIMUM_SIDE = 8  # pixels: three poolings must leave one
MAXIMUM_SIDE = 64  # pixels: larger inputs are halved by a stem until they fit
BLOCKS = 7


@dataclass(frozen=True, slots=True)
class Gene:
    """A trait, the loci that code for it (the first is the most significant bit), its value by code."""

    name: str
    loci: tuple[int, ...]
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.values) != 2 ** len(self.loci):
            raise InputError(
                f"gene {self.name}: {len(self.loci)} bits need {2 ** len(self.loci)} values, found {len(self.values)}"
            )

    def value(self, chromosome: str) -> Any:
        return self.values[int("".join(chromosome[locus] for locus in self.loci), 2)]


STANDARD_LENGTH = 19
STANDARD_GENES = (
    Gene("filter_multiplier", (0, 1), (1, 2, 3, 4)),
    Gene("kernel", (3, 4), (1, 3, 5, 7)),
    Gene("activation", (6, 7), ("ReLU", "LeakyReLU", "ELU", "GELU")),
    Gene("pooling", (9,), ("max", "average")),
    Gene("pooling_place", (10,), ("early", "late")),
    *(Gene(f"block_{block}", (11 + block,), (2, 1)) for block in range(1, BLOCKS + 1)),
)


@dataclass(frozen=True, slots=True)
class Layer:
    """Conv2d without bias → 2×2 pooling where `pool` → BatchNorm2d → activation."""

    filters: int
    kernel: int
    pool: bool = False
    stride: int = 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """A resolved network: what is built, layer by layer, for one input shape.

    `blocks` says how many of the last layers each block of the gene table brought. It serves
    descriptions and drawings; the network does not depend on it.
    """

    input_shape: tuple[int, int, int]  # channels, height, width
    classes: int
    activation: str
    pooling: str
    layers: tuple[Layer, ...]
    blocks: tuple[int, ...] = ()

    def feature_maps(self) -> Iterator[tuple[Layer, int, int, int]]:
        """Each layer with the channels, height and width of the map that it reads."""
        channels, height, width = self.input_shape
        for layer in self.layers:
            yield layer, channels, height, width
            channels = layer.filters
            height, width = -(-height // layer.stride), -(-width // layer.stride)
            if layer.pool:
                height, width = height // 2, width // 2

    def describe(self) -> str:
        """The network in one line of words."""
        body = self.layers[len(self.layers) - sum(self.blocks) :] or self.layers
        late = self.blocks and not any(layer.pool for layer in body[: self.blocks[0]])
        stem = f"stem of {len(self.layers) - len(body)}, " if len(body) < len(self.layers) else ""
        kernel = f"{body[0].kernel}×{body[0].kernel}"
        return (
            f"{stem}{len(self.blocks)} blocks, {len(body)} convolutions {kernel}, "
            f"{body[0].filters}→{body[-1].filters} filters, {self.activation}, "
            f"{'late' if late else 'early'} {self.pooling} pooling"
        )


@dataclass(frozen=True, slots=True)
class Encoding:
    """A gene table bound to the shape of the images and the number of classes.

    Raises `InputError` for loci that overlap or lie outside the chromosome, and for images that
    no network of the table can read.
    """

    input_shape: tuple[int, int, int]  # channels, height, width
    classes: int
    genes: tuple[Gene, ...] = STANDARD_GENES
    length: int = STANDARD_LENGTH

    def __post_init__(self) -> None:
        loci = self.coding_loci
        if len(set(loci)) < len(loci) or not set(loci) <= set(range(self.length)):
            raise InputError(f"every gene needs loci of its own between 0 and {self.length - 1}, found {loci}")
        channels, height, width = self.input_shape
        if min(height, width) < MINIMUM_SIDE or channels not in (1, 3):
            raise InputError(
                f"images must be at least {MINIMUM_SIDE}×{MINIMUM_SIDE} pixels with 1 or 3 channels, "
                f"but are {height}×{width} with {channels}"
            )
        if self.classes < 2:
            raise InputError(f"a data set needs at least 2 classes, but has {self.classes}")

    @property
    def coding_loci(self) -> tuple[int, ...]:
        """The loci that some gene reads, in ascending order."""
        return tuple(sorted(locus for gene in self.genes for locus in gene.loci))

    def phenotype(self, chromosome: str) -> str:
        """The canonical text of the network that `chromosome` builds; equal texts are one network."""
        return phenotype(decode(self, chromosome))


def check_chromosome(chromosome: str, length: int) -> None:
    """Raises `InputError` unless `chromosome` is `length` characters of 0 and 1."""
    if len(chromosome) != length:
        raise InputError(f"a chromosome has {length} bits, but {chromosome!r} has {len(chromosome)}")
    strange = sorted(set(chromosome) - set("01"))
    if strange:
        raise InputError(f"a chromosome is made of 0 and 1, but {chromosome!r} holds {', '.join(map(repr, strange))}")


def decode(encoding: Encoding, chromosome: str) -> Architecture:
    """The network that a chromosome builds. Raises `InputError` for a wrong length or characters.

    On a feature map of s×s pixels a kernel is at most 2s−1 wide: a further weight would only ever
    multiply padding. Maps that are not square count by their longer side.
    """
    check_chromosome(chromosome, encoding.length)
    traits = {gene.name: gene.value(chromosome) for gene in encoding.genes}
    _, height, width = encoding.input_shape
    widths = [traits["filter_multiplier"] * base for base in (16, 32, 64, 128)]
    layers: list[Layer] = []
    while max(height, width) > MAXIMUM_SIDE and min(height, width) >= 2 * MINIMUM_SIDE:
        layers.append(Layer(filters=widths[0], kernel=3, stride=2))
        height, width = -(-height // 2), -(-width // 2)
    pooled_blocks = (1, 3, 5) if traits["pooling_place"] == "early" else (2, 4, 6)
    blocks, stage = [], 0
    for block in range(1, BLOCKS + 1):
        convolutions = traits[f"block_{block}"]
        kernel = min(traits["kernel"], 2 * max(height, width) - 1)
        layers += [Layer(filters=widths[stage], kernel=kernel)] * convolutions
        blocks.append(convolutions)
        if block in pooled_blocks:
            layers[-1] = replace(layers[-1], pool=True)
            height, width, stage = height // 2, width // 2, stage + 1
    return Architecture(
        encoding.input_shape, encoding.classes, traits["activation"], traits["pooling"], tuple(layers), tuple(blocks)
    )


def phenotype(architecture: Architecture) -> str:
    """The canonical JSON of a network: what is built, without the grouping into blocks."""
    content = asdict(architecture)
    del content["blocks"]
    return canonical_json(content)


@functools.lru_cache(maxsize=1024)
def architecture_of(phenotype: str) -> Architecture:
    """The inverse of `phenotype`, without blocks. Raises KeyError, TypeError or ValueError for other texts."""
    content = json.loads(phenotype)
    content["input_shape"] = tuple(content["input_shape"])
    content["layers"] = tuple(Layer(**layer) for layer in content["layers"])
    return Architecture(**content)


def every_chromosome(length: int, coding_loci: tuple[int, ...]) -> Iterator[str]:
    """All settings of the coding loci, the other bits 0, in ascending order."""
    for bits in itertools.product("01", repeat=len(coding_loci)):
        chromosome = ["0"] * length
        for locus, bit in zip(coding_loci, bits, strict=True):
            chromosome[locus] = bit
        yield "".join(chromosome)
