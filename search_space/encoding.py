"""The way from a chromosome (a string of 0 and 1) to a network and its training, and what each bit means."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from records import InputError
from records.canonical import canonical_json
from records.settings import MINIMUM_SIDE
from records.texts import Chromosome, NetworkText
from search_space.architecture import Architecture, Layer, network_text
from search_space.genes import (
    BLOCKS,
    NETWORK_TRAITS,
    OPTIONS,
    POOLED_BLOCKS,
    STANDARD,
    TRAITS,
    GeneTable,
    stage_filters,
)

MAXIMUM_SIDE = 64  # pixels: larger inputs are halved by a stem until they fit


@dataclass(frozen=True, slots=True)
class Encoding:
    """A gene table bound to the shape of the images and the number of classes.

    Raises `InputError` for images that no network of the table can read.
    """

    input_shape: tuple[int, int, int]  # channels, height, width
    classes: int
    table: GeneTable = STANDARD

    def __post_init__(self) -> None:
        channels, height, width = self.input_shape
        if min(height, width) < MINIMUM_SIDE or channels not in (1, 3):
            raise InputError(
                f"images must be at least {MINIMUM_SIDE}×{MINIMUM_SIDE} pixels with 1 or 3 channels, "
                f"but are {height}×{width} with {channels}"
            )
        if self.classes < 2:
            raise InputError(f"a data set needs at least 2 classes, but has {self.classes}")

    @property
    def length(self) -> int:
        """Bits of a chromosome."""
        return self.table.length

    @property
    def coding_loci(self) -> tuple[int, ...]:
        """The loci that some gene reads, in ascending order."""
        return self.table.coding_loci

    def network(self, chromosome: Chromosome) -> NetworkText:
        """The canonical text of the network that `chromosome` builds, as jobs carry it; equal texts are one network."""
        return network_text(decode(self, chromosome))

    def hyperparameters(self, chromosome: Chromosome) -> dict[str, Any]:
        """The settings of its training that `chromosome` codes for, by their names in `TrainingConfig`."""
        check_chromosome(chromosome, self.length)
        traits = {gene.name: gene.value(chromosome) for gene in self.table.genes}
        return {name: traits[name] for name in self.table.hyperparameters}

    def phenotype(self, chromosome: Chromosome) -> str:
        """The canonical text of all that `chromosome` codes for: the network, and how it trains if genes say so.

        Equal texts are never trained twice under the same protocol.
        """
        network, hyperparameters = self.network(chromosome), self.hyperparameters(chromosome)
        if not hyperparameters:
            return network
        return canonical_json({"network": json.loads(network), "hyperparameters": hyperparameters})

    def describe(self, chromosome: Chromosome) -> str:
        """All that `chromosome` codes for, in one line of words."""
        words = [decode(self, chromosome).describe(), describe_hyperparameters(self.hyperparameters(chromosome))]
        return "; ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class BitMeaning:
    """What one bit of a chromosome is for: its gene, the whole code of that gene, and the value that this stands for.

    A bit that no gene reads codes for nothing: `gene` is None, `code` empty and `value` None.
    """

    locus: int
    bit: str
    gene: str | None = None
    code: str = ""
    value: Any = None

    @property
    def words(self) -> str:
        """The value in words."""
        if self.gene is None:
            return "codes for nothing"
        return TRAITS[self.gene].words(self.value)


def explain(encoding: Encoding, chromosome: Chromosome) -> tuple[BitMeaning, ...]:
    """What each bit of a chromosome is for, in their order. Raises `InputError` for a wrong length or characters."""
    check_chromosome(chromosome, encoding.length)
    owners = {locus: gene for gene in encoding.table.genes for locus in gene.loci}
    meanings = []
    for locus, bit in enumerate(chromosome):
        gene = owners.get(locus)
        if gene is None:
            meanings.append(BitMeaning(locus, bit))
        else:
            code = "".join(chromosome[each] for each in gene.loci)
            meanings.append(BitMeaning(locus, bit, gene.name, code, gene.value(chromosome)))
    return tuple(meanings)


def describe_hyperparameters(hyperparameters: dict[str, Any]) -> str:
    """Settings of a training in words: "AdamW, learning rate 0.05, cutout augmentation". Empty for none."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value:g}" if phrase is None else phrase(value)
        for name, value in hyperparameters.items()
        for phrase in [TRAITS[name].phrase if name in TRAITS else None]
    )


def check_chromosome(text: str, length: int) -> Chromosome:
    """The text as a chromosome. Raises `InputError` unless it is `length` characters of 0 and 1."""
    if len(text) != length:
        raise InputError(f"a chromosome has {length} bits, but {text!r} has {len(text)}")
    strange = sorted(set(text) - set("01"))
    if strange:
        raise InputError(f"a chromosome is made of 0 and 1, but {text!r} holds {', '.join(map(repr, strange))}")
    return Chromosome(text)


def decode(encoding: Encoding, chromosome: Chromosome) -> Architecture:
    """The network that a chromosome builds. Raises `InputError` for a wrong length or characters.

    On a feature map of s×s pixels a kernel is at most 2s−1 wide: a further weight would only ever
    multiply padding. Maps that are not square count by their longer side.
    """
    check_chromosome(chromosome, encoding.length)
    traits = {name: trait.default for name, trait in NETWORK_TRAITS.items()}
    traits |= {gene.name: gene.value(chromosome) for gene in encoding.table.genes}
    _, height, width = encoding.input_shape
    widths = stage_filters(traits["filter_multiplier"])
    layers: list[Layer] = []
    while max(height, width) > MAXIMUM_SIDE and min(height, width) >= 2 * MINIMUM_SIDE:
        layers.append(Layer(filters=widths[0], kernel=3, stride=2))
        height, width = -(-height // 2), -(-width // 2)
    pooled_blocks = POOLED_BLOCKS[traits["pooling_place"]]
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
        encoding.input_shape,
        encoding.classes,
        traits["activation"],
        traits["pooling"],
        tuple(layers),
        tuple(blocks),
        traits["residual"],
        traits["squeeze_excitation"],
        traits["dropout"],
        tuple((name, traits[name]) for name in OPTIONS if traits[name] != NETWORK_TRAITS[name].default),
    )


def every_chromosome(length: int, coding_loci: tuple[int, ...]) -> Iterator[Chromosome]:
    """All settings of the coding loci, the other bits 0, in ascending order."""
    for bits in itertools.product("01", repeat=len(coding_loci)):
        chromosome = ["0"] * length
        for locus, bit in zip(coding_loci, bits, strict=True):
            chromosome[locus] = bit
        yield Chromosome("".join(chromosome))
