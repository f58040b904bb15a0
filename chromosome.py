"""Gene tables, and the way from a chromosome (a string of 0 and 1) to a network and its training. No torch here."""

from __future__ import annotations

import functools
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from records import AUGMENTATIONS, MINIMUM_SIDE, OPTIMIZERS, InputError, canonical_json

MAXIMUM_SIDE = 64  # pixels: larger inputs are halved by a stem until they fit
BLOCKS = 7
POOLED_BLOCKS = {"early": (1, 3, 5), "late": (2, 4, 6)}  # by the place of pooling
REDUCTION, LEAST_SQUEEZED = 16, 8  # filters for each unit between squeeze and excitation, and its fewest units


@dataclass(frozen=True, slots=True)
class Trait:
    """Something that a gene can code for: what its values are, and what holds where no gene codes for it."""

    kind: type  # int, float, str or bool
    expected: str  # the values in words
    takes: Callable[[Any], bool]
    default: Any = None  # None: the training's own setting

    def read(self, value: Any) -> Any:
        """The value as the trait takes it; a whole number may stand for a float. Raises ValueError for others."""
        if self.kind is float and type(value) in (int, float):
            value = value + 0.0 if abs(value) <= sys.float_info.max else None
        if type(value) is not self.kind or not self.takes(value):
            raise ValueError(self.expected)
        return value


def _one_of(choices: Sequence[str], default: str | None = None) -> Trait:
    return Trait(str, f"one of {', '.join(choices)}", lambda value: value in choices, default)


def _whole(most: int, default: int) -> Trait:
    return Trait(int, f"a whole number from 1 to {most}", lambda value: 1 <= value <= most, default)


# What no gene codes for makes a small, sound network.
NETWORK_TRAITS = {
    "filter_multiplier": _whole(64, 1),
    "kernel": Trait(int, "an odd whole number from 1 to 63", lambda value: 1 <= value <= 63 and value % 2 == 1, 3),
    "activation": _one_of(("ReLU", "LeakyReLU", "ELU", "GELU"), "ReLU"),
    "pooling": _one_of(("max", "average"), "max"),
    "pooling_place": _one_of(("early", "late"), "early"),
    **{f"block_{block}": _whole(16, 1) for block in range(1, BLOCKS + 1)},  # convolutions
    "residual": Trait(bool, "true or false", lambda value: True, False),
    "squeeze_excitation": Trait(bool, "true or false", lambda value: True, False),
    "dropout": Trait(float, "a number, at least 0 and under 1", lambda value: 0 <= value < 1, 0.0),
}
# The names are those of `TrainingConfig`; what no gene codes for is as its flag says.
TRAINING_TRAITS = {
    "optimizer": _one_of(OPTIMIZERS),
    "learning_rate": Trait(float, "a number over 0", lambda value: value > 0),
    "weight_decay": Trait(float, "a number, 0 or more", lambda value: value >= 0),
    "label_smoothing": Trait(float, "a number, at least 0 and under 1", lambda value: 0 <= value < 1),
    "augmentation": _one_of(AUGMENTATIONS),
}
TRAITS = NETWORK_TRAITS | TRAINING_TRAITS


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


@dataclass(frozen=True, slots=True)
class GeneTable:
    """The genes of a chromosome of `length` bits. Bits that no gene reads code for nothing.

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

    def chromosome_of(self, values: Sequence[Any]) -> str:
        """The first chromosome whose genes have these values, in the genes' order; 0 where no gene reads."""
        bits = ["0"] * self.length
        for gene, value in zip(self.genes, values, strict=True):
            for locus, bit in zip(gene.loci, f"{gene.values.index(value):0{len(gene.loci)}b}", strict=True):
                bits[locus] = bit
        return "".join(bits)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The settings of a training that a gene codes for."""
        names = {gene.name for gene in self.genes}
        return tuple(name for name in TRAINING_TRAITS if name in names)


def gray(*values: Any) -> tuple[Any, ...]:
    """Ordered values by their Gray code (Gray 1953): neighbours differ in one bit."""
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


@dataclass(frozen=True, slots=True)
class Layer:
    """Conv2d without bias → 2×2 pooling where `pool` → BatchNorm2d → activation."""

    filters: int
    kernel: int
    pool: bool = False
    stride: int = 1


FeatureMap = tuple[Layer, int, int, int]  # a layer, and the channels, height and width of the map that it reads


@dataclass(frozen=True, slots=True)
class Architecture:
    """A resolved network: what is built, layer by layer, for one input shape.

    `blocks` says how many of the last layers each block of the gene table brought. A plain network
    does not depend on it: there it serves descriptions and drawings. With `residual`, the input of
    each block is added to what its last BatchNorm gives, before the activation (He et al. 2016):
    pooled where the block pools, by a 1×1 convolution and BatchNorm where the width changes. With
    `squeeze_excitation`, maps are weighed after that BatchNorm (Hu et al. 2018). `dropout` is the
    share of features dropped before the last layer.
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

    def __post_init__(self) -> None:
        fewest = 1 if self.has_blocks else 0
        if not fewest <= sum(self.blocks) <= len(self.layers):
            raise ValueError(f"{len(self.layers)} layers cannot be grouped into blocks of {self.blocks}")

    @property
    def has_blocks(self) -> bool:
        """Whether the grouping into blocks is part of the network."""
        return self.residual or self.squeeze_excitation

    def feature_maps(self) -> Iterator[FeatureMap]:
        """Each layer with the channels, height and width of the map that it reads."""
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
        """The network in one line of words."""
        body = self.layers[len(self.layers) - sum(self.blocks) :] or self.layers
        late = self.blocks and not any(layer.pool for layer in body[: self.blocks[0]])
        stem = f"stem of {len(self.layers) - len(body)}, " if len(body) < len(self.layers) else ""
        kernel = f"{body[0].kernel}×{body[0].kernel}"
        more = [
            *(["residual"] if self.residual else []),
            *(["squeeze-and-excitation"] if self.squeeze_excitation else []),
            *([f"dropout {self.dropout:g}"] if self.dropout else []),
        ]
        return (
            f"{stem}{len(self.blocks)} blocks, {len(body)} convolutions {kernel}, "
            f"{body[0].filters}→{body[-1].filters} filters, {self.activation}, "
            f"{'late' if late else 'early'} {self.pooling} pooling{''.join(f', {each}' for each in more)}"
        )


def squeezed(filters: int) -> int:
    """The units between squeeze and excitation of so many maps."""
    return max(LEAST_SQUEEZED, filters // REDUCTION)


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

    def network(self, chromosome: str) -> str:
        """The canonical text of the network that `chromosome` builds, as jobs carry it; equal texts are one network."""
        return phenotype(decode(self, chromosome))

    def hyperparameters(self, chromosome: str) -> dict[str, Any]:
        """The settings of its training that `chromosome` codes for, by their names in `TrainingConfig`."""
        check_chromosome(chromosome, self.length)
        traits = {gene.name: gene.value(chromosome) for gene in self.table.genes}
        return {name: traits[name] for name in self.table.hyperparameters}

    def phenotype(self, chromosome: str) -> str:
        """The canonical text of all that `chromosome` codes for: the network, and how it trains if genes say so.

        Equal texts are never trained twice under the same protocol.
        """
        network, hyperparameters = self.network(chromosome), self.hyperparameters(chromosome)
        if not hyperparameters:
            return network
        return canonical_json({"network": json.loads(network), "hyperparameters": hyperparameters})

    def describe(self, chromosome: str) -> str:
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
        if self.gene.startswith("block_"):
            return f"{self.value} convolution{'s' if self.value > 1 else ''}"
        if self.gene == "filter_multiplier":
            return f"{', '.join(map(str, _stage_filters(self.value)))} filters"
        if self.gene == "kernel":
            return f"{self.value}×{self.value}"
        if self.gene == "pooling_place":
            return f"{self.value}: after blocks {', '.join(map(str, POOLED_BLOCKS[self.value]))}"
        return value_in_words(self.value)


def value_in_words(value: object) -> str:
    """The value of a gene, in a word."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def explain(encoding: Encoding, chromosome: str) -> tuple[BitMeaning, ...]:
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
    words = {
        "optimizer": lambda value: {"sgd": "SGD", "adamw": "AdamW"}[value],
        "augmentation": lambda value: f"{value if value != 'none' else 'no'} augmentation",
    }
    return ", ".join(
        words[name](value) if name in words else f"{name.replace('_', ' ')} {value:g}"
        for name, value in hyperparameters.items()
    )


def check_chromosome(chromosome: str, length: int) -> None:
    """Raises `InputError` unless `chromosome` is `length` characters of 0 and 1."""
    if len(chromosome) != length:
        raise InputError(f"a chromosome has {length} bits, but {chromosome!r} has {len(chromosome)}")
    strange = sorted(set(chromosome) - set("01"))
    if strange:
        raise InputError(f"a chromosome is made of 0 and 1, but {chromosome!r} holds {', '.join(map(repr, strange))}")


def _stage_filters(multiplier: int) -> list[int]:
    return [multiplier * base for base in (16, 32, 64, 128)]


def decode(encoding: Encoding, chromosome: str) -> Architecture:
    """The network that a chromosome builds. Raises `InputError` for a wrong length or characters.

    On a feature map of s×s pixels a kernel is at most 2s−1 wide: a further weight would only ever
    multiply padding. Maps that are not square count by their longer side.
    """
    check_chromosome(chromosome, encoding.length)
    traits = {name: trait.default for name, trait in NETWORK_TRAITS.items()}
    traits |= {gene.name: gene.value(chromosome) for gene in encoding.table.genes}
    _, height, width = encoding.input_shape
    widths = _stage_filters(traits["filter_multiplier"])
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
    )


ARCHITECTURE_FIELDS = tuple(field.name for field in fields(Architecture))
LAYER_FIELDS = tuple(field.name for field in fields(Layer))


def phenotype(architecture: Architecture) -> str:
    """The canonical JSON of a network: what is built; the grouping into blocks only where that changes the network."""
    # By hand, as `asdict` takes most of the time in which a generation is bred.
    content: dict[str, Any] = {name: getattr(architecture, name) for name in ARCHITECTURE_FIELDS}
    content["layers"] = [{name: getattr(layer, name) for name in LAYER_FIELDS} for layer in architecture.layers]
    if not architecture.has_blocks:
        del content["blocks"]
    for name in ("residual", "squeeze_excitation", "dropout"):
        if not content[name]:
            del content[name]
    return canonical_json(content)


@functools.lru_cache(maxsize=1024)
def architecture_of(phenotype: str) -> Architecture:
    """The inverse of `phenotype`. Raises KeyError, TypeError or ValueError for other texts."""
    content = json.loads(phenotype)
    content["input_shape"] = tuple(content["input_shape"])
    content["layers"] = tuple(Layer(**layer) for layer in content["layers"])
    content["blocks"] = tuple(content.get("blocks", ()))
    return Architecture(**content)


def every_chromosome(length: int, coding_loci: tuple[int, ...]) -> Iterator[str]:
    """All settings of the coding loci, the other bits 0, in ascending order."""
    for bits in itertools.product("01", repeat=len(coding_loci)):
        chromosome = ["0"] * length
        for locus, bit in zip(coding_loci, bits, strict=True):
            chromosome[locus] = bit
        yield "".join(chromosome)
