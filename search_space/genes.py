"""Traits, genes and gene tables: what a chromosome can code for, and which of its bits code for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from records import InputError
from records.texts import Chromosome
from records.training_settings import AUGMENTATIONS, OPTIMIZERS

BLOCKS = 7
POOLED_BLOCKS = {"early": (1, 3, 5), "late": (2, 4, 6)}  # by the place of pooling


def stage_filters(multiplier: int) -> list[int]:
    """The filters of the four stages, from the input to the output."""
    return [multiplier * base for base in (16, 32, 64, 128)]


def value_in_words(value: object) -> str:
    """The value of a gene as a word."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Trait:
    """A property that a gene can code for: its values, its default, and their wording.

    An entry in `NETWORK_TRAITS` or `TRAINING_TRAITS` is all that a new trait needs beside the code that
    acts on it. The network of a chromosome carries the value of a trait with `is_option` to
    `model_generator` (`Architecture.option`); its text holds the value where it is not the default.
    """

    kind: type  # int, float, str or bool
    expected: str  # the values in words
    takes: Callable[[Any], bool]
    default: Any = None  # what holds where no gene codes for the trait; None: the training's own setting
    words: Callable[[Any], str] = value_in_words  # a value in a table of genes
    phrase: Callable[[Any], str] | None = None  # a value other than the default in a sentence about the network
    is_option: bool = False

    def read(self, value: Any) -> Any:
        """The value in the trait's type; a float may be written as a whole number. Raises ValueError for others."""
        if self.kind is float and type(value) in (int, float):
            value = value + 0.0 if abs(value) <= sys.float_info.max else None
        if type(value) is not self.kind or not self.takes(value):
            raise ValueError(self.expected)
        return value


def _one_of(choices: Sequence[str], default: str | None = None, **more: Any) -> Trait:
    return Trait(str, f"one of {', '.join(choices)}", lambda value: value in choices, default, **more)


def _whole(most: int, default: int, words: Callable[[Any], str]) -> Trait:
    return Trait(int, f"a whole number from 1 to {most}", lambda value: 1 <= value <= most, default, words)


def _switch(phrase: str) -> Trait:
    return Trait(bool, "true or false", lambda value: True, False, phrase=lambda value: phrase)


def _number(expected: str, takes: Callable[[Any], bool], name: str, default: float | None = None) -> Trait:
    return Trait(float, expected, takes, default, phrase=lambda value: f"{name} {value:g}")


# The defaults make a small network without frills.
NETWORK_TRAITS = {
    "filter_multiplier": _whole(64, 1, lambda value: f"{', '.join(map(str, stage_filters(value)))} filters"),
    "kernel": Trait(
        int,
        "an odd whole number from 1 to 63",
        lambda value: 1 <= value <= 63 and value % 2 == 1,
        3,
        lambda value: f"{value}×{value}",
    ),
    "activation": _one_of(("ReLU", "LeakyReLU", "ELU", "GELU"), "ReLU"),
    "pooling": _one_of(("max", "average"), "max"),
    "pooling_place": _one_of(
        tuple(POOLED_BLOCKS),
        "early",
        words=lambda value: f"{value}: after blocks {', '.join(map(str, POOLED_BLOCKS[value]))}",
    ),
    **{
        f"block_{block}": _whole(16, 1, lambda value: f"{value} convolution{'s' if value > 1 else ''}")
        for block in range(1, BLOCKS + 1)
    },
    "residual": _switch("residual"),
    "squeeze_excitation": _switch("squeeze-and-excitation"),
    "dropout": _number("a number, at least 0 and under 1", lambda value: 0 <= value < 1, "dropout", 0.0),
}
# The names are those of `TrainingConfig`; without a gene the setting of that name holds.
TRAINING_TRAITS = {
    "optimizer": _one_of(OPTIMIZERS, phrase=lambda value: {"sgd": "SGD", "adamw": "AdamW"}[value]),
    "learning_rate": _number("a number over 0", lambda value: value > 0, "learning rate"),
    "weight_decay": _number("a number, 0 or more", lambda value: value >= 0, "weight decay"),
    "label_smoothing": _number("a number, at least 0 and under 1", lambda value: 0 <= value < 1, "label smoothing"),
    "augmentation": _one_of(AUGMENTATIONS, phrase=lambda value: f"{value if value != 'none' else 'no'} augmentation"),
}
TRAITS = NETWORK_TRAITS | TRAINING_TRAITS
OPTIONS = tuple(name for name, trait in NETWORK_TRAITS.items() if trait.is_option)


@dataclass(frozen=True, slots=True)
class Gene:
    """The coding of a trait: its loci, the most significant bit first, and its values in the order of their codes."""

    name: str
    loci: tuple[int, ...]
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.values) != 2 ** len(self.loci):
            raise InputError(
                f"gene {self.name}: {len(self.loci)} bits need {2 ** len(self.loci)} values, found {len(self.values)}"
            )

    def value(self, chromosome: Chromosome) -> Any:
        return self.values[int("".join(chromosome[locus] for locus in self.loci), 2)]


@dataclass(frozen=True, slots=True)
class GeneTable:
    """The genes of a chromosome of `length` bits. Bits that belong to no gene have no meaning.

    Raises `InputError` for loci that overlap or lie outside the chromosome.
    """

    genes: tuple[Gene, ...]
    length: int

    def __post_init__(self) -> None:
        loci = self.coding_loci
        if len(set(loci)) < len(loci) or not set(loci) <= set(range(self.length)):
            raise InputError(f"every gene needs loci of its own between 0 and {self.length - 1}, found {loci}")

    @property
    def coding_loci(self) -> tuple[int, ...]:
        """The loci that some gene reads, in ascending order."""
        return tuple(sorted(locus for gene in self.genes for locus in gene.loci))

    def chromosome_of(self, values: Sequence[Any]) -> Chromosome:
        """The chromosome with the smallest codes whose genes have these values; bits without a gene are 0."""
        bits = ["0"] * self.length
        for gene, value in zip(self.genes, values, strict=True):
            for locus, bit in zip(gene.loci, f"{gene.values.index(value):0{len(gene.loci)}b}", strict=True):
                bits[locus] = bit
        return Chromosome("".join(bits))

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The training settings that genes code for."""
        names = {gene.name for gene in self.genes}
        return tuple(name for name in TRAINING_TRAITS if name in names)


def gray(*values: Any) -> tuple[Any, ...]:
    """Ordered values arranged by Gray code (Gray 1953), so that the codes of neighbours differ in one bit."""
    by_code = {place ^ (place >> 1): value for place, value in enumerate(values)}
    return tuple(by_code[code] for code in range(len(values)))


STANDARD_LENGTH = 19
STANDARD_GENES = (
    Gene("filter_multiplier", (0, 1), (1, 2, 3, 4)),
    Gene("kernel", (3, 4), (1, 3, 5, 7)),
    Gene("activation", (6, 7), ("ReLU", "LeakyReLU", "ELU", "GELU")),
    Gene("pooling", (9,), ("max", "average")),
    Gene("pooling_place", (10,), ("early", "late")),
    *(Gene(f"block_{block}", (11 + block,), (2, 1)) for block in range(1, BLOCKS + 1)),
)
EXTENDED_LENGTH = 33
EXTENDED_GENES = (
    *STANDARD_GENES,
    Gene("residual", (19,), (False, True)),
    Gene("squeeze_excitation", (20,), (False, True)),
    Gene("dropout", (21, 22), gray(0.0, 0.1, 0.2, 0.4)),
    Gene("learning_rate", (23, 24, 25), gray(0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8)),
    Gene("weight_decay", (26, 27), gray(0.0, 1e-4, 5e-4, 2e-3)),
    Gene("optimizer", (28,), ("sgd", "adamw")),
    Gene("label_smoothing", (29, 30), gray(0.0, 0.05, 0.1, 0.2)),
    Gene("augmentation", (31, 32), gray("none", "basic", "cutout", "strong")),
)
STANDARD = GeneTable(STANDARD_GENES, STANDARD_LENGTH)
EXTENDED = GeneTable(EXTENDED_GENES, EXTENDED_LENGTH)
