"""Decoding of chromosomes (strings of 0 and 1) into networks and training settings, and the meaning of each bit."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from records import InputError
from records.canonical import canonical_json, shown
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

MAXIMUM_SIDE = 64  # pixels; a stem halves larger inputs until they fit


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
        """The loci that belong to a gene, in ascending order."""
        return self.table.coding_loci

    def network(self, chromosome: Chromosome) -> NetworkText:
        """The canonical text of the architecture that `chromosome` codes for, as training jobs contain it."""
        return network_text(decode(self, chromosome))

    def hyperparameters(self, chromosome: Chromosome) -> dict[str, Any]:
        """The training settings that `chromosome` codes for, by their names in `TrainingConfig`."""
        check_chromosome(chromosome, self.length)
        traits = {gene.name: gene.value(chromosome) for gene in self.table.genes}
        return {name: traits[name] for name in self.table.hyperparameters}

    def phenotype(self, chromosome: Chromosome) -> str:
        """The canonical text of all that `chromosome` codes for: the network and its training settings, if any.

        Chromosomes with equal texts are never trained twice under the same protocol.
        """
        network, hyperparameters = self.network(chromosome), self.hyperparameters(chromosome)
        if not hyperparameters:
            return network
        return canonical_json({"network": json.loads(network), "hyperparameters": hyperparameters})

    def describe(self, chromosome: Chromosome) -> str:
        """All that `chromosome` codes for, in one line of text."""
        words = [decode(self, chromosome).describe(), describe_hyperparameters(self.hyperparameters(chromosome))]
        return "; ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class BitMeaning:
    """The meaning of one bit: its gene, the code of all bits of that gene, and the gene's value.

    For a bit that no gene reads, `gene` and `value` are None and `code` is empty.
    """

    locus: int
    bit: str
    gene: str | None = None
    code: str = ""
    value: Any = None

    @property
    def words(self) -> str:
        """The value for people."""
        if self.gene is None:
            return "codes for nothing"
        return TRAITS[self.gene].words(self.value)


def explain(encoding: Encoding, chromosome: Chromosome) -> tuple[BitMeaning, ...]:
    """The meaning of each bit of a chromosome. Raises `InputError` for a wrong length or other characters."""
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
    """Training settings for people: "AdamW, learning rate 0.05, cutout augmentation". Empty for none."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value:g}" if phrase is None else phrase(value)
        for name, value in hyperparameters.items()
        for phrase in [TRAITS[name].phrase if name in TRAITS else None]
    )


def check_chromosome(text: str, length: int) -> Chromosome:
    """The text as a chromosome. Raises `InputError` unless it is `length` characters of 0 and 1."""
    if len(text) != length:
        raise InputError(f"a chromosome has {length} bits, but {shown(text)} has {len(text)}")
    strange = sorted(set(text) - set("01"))
    if strange:
        raise InputError(
            f"a chromosome is made of 0 and 1, but {shown(text)} holds {', '.join(map(repr, strange[:5]))}"
        )
    return Chromosome(text)


def decode(encoding: Encoding, chromosome: Chromosome) -> Architecture:
    """The network that a chromosome codes for. Raises `InputError` for a wrong length or other characters.

    On a feature map of s×s pixels a kernel is at most 2s−1 wide, as further weights would only
    multiply padding. For maps that are not square the longer side counts.
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
    """All combinations of the coding bits, with the other bits 0, in ascending order."""
    for bits in itertools.product("01", repeat=len(coding_loci)):
        chromosome = ["0"] * length
        for locus, bit in zip(coding_loci, bits, strict=True):
            chromosome[locus] = bit
        yield Chromosome("".join(chromosome))
