"""The gene table, and the way from bits to a network."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from records import InputError, TrainingConfig
from records.texts import Chromosome
from search_space.architecture import Architecture, Layer, architecture_of, network_text
from search_space.encoding import (
    Encoding,
    check_chromosome,
    decode,
    describe_hyperparameters,
    every_chromosome,
    explain,
)
from search_space.genes import EXTENDED, STANDARD, STANDARD_GENES, TRAINING_TRAITS, TRAITS, Gene, GeneTable, gray
from tests.builders import chromosome as chromosome_with
from tests.builders import chromosomes

CIFAR = Encoding((3, 32, 32), 10)
DIGITS = Encoding((1, 8, 8), 10)
CODE_FOR_NOTHING = (2, 5, 8, 11)

WIDTHS = {"00": [16, 32, 64, 128], "01": [32, 64, 128, 256], "10": [48, 96, 192, 384], "11": [64, 128, 256, 512]}
KERNELS = {"00": 1, "01": 3, "10": 5, "11": 7}
ACTIVATIONS = {"00": "ReLU", "01": "LeakyReLU", "10": "ELU", "11": "GELU"}
POOLINGS = {
    "00": ("max", [1, 3, 5]),
    "01": ("max", [2, 4, 6]),
    "10": ("average", [1, 3, 5]),
    "11": ("average", [2, 4, 6]),
}

standard_chromosomes = chromosomes(STANDARD)
sides = st.integers(8, 64)
any_sides = st.integers(8, 400)
channels = st.sampled_from([1, 3])


def bits(
    multiplier: str = "00", kernel: str = "01", activation: str = "00", pooling: str = "00", blocks: str = "1111111"
) -> Chromosome:
    """A chromosome of the standard table, spelled gene by gene."""
    return Chromosome(f"{multiplier}0{kernel}0{activation}0{pooling}0{blocks}")


def expected(chromosome: Chromosome, height: int, width: int) -> tuple[str, str, list[Layer]]:
    """Activation, pooling and layers as the table says, for images of at most 64 pixels."""
    pooling, places = POOLINGS[chromosome[9:11]]
    widths = WIDTHS[chromosome[0:2]].copy()
    layers = []
    for block in range(1, 8):
        kernel = KERNELS[chromosome[3:5]]
        while kernel > 2 * max(height, width) - 1:
            kernel -= 2
        plain, pooled = Layer(widths[0], kernel), Layer(widths[0], kernel, pool=block in places)
        layers += [pooled] if chromosome[11 + block] == "1" else [plain, pooled]
        if block in places:
            height, width = height // 2, width // 2
            widths.pop(0)
    return ACTIVATIONS[chromosome[6:8]], pooling, layers


def other_bit(chromosome: Chromosome, locus: int) -> Chromosome:
    return Chromosome(chromosome[:locus] + "10"[int(chromosome[locus])] + chromosome[locus + 1 :])


# The standard table


@pytest.mark.parametrize("code", WIDTHS)
def test_bits_0_and_1_set_the_widths_of_the_four_stages(code: str) -> None:
    layers = decode(CIFAR, bits(multiplier=code)).layers
    assert list(dict.fromkeys(layer.filters for layer in layers)) == WIDTHS[code]


@pytest.mark.parametrize("code", KERNELS)
def test_bits_3_and_4_set_the_kernel(code: str) -> None:
    assert {layer.kernel for layer in decode(CIFAR, bits(kernel=code)).layers} == {KERNELS[code]}


@pytest.mark.parametrize("code", ACTIVATIONS)
def test_bits_6_and_7_set_the_activation(code: str) -> None:
    assert decode(CIFAR, bits(activation=code)).activation == ACTIVATIONS[code]


@pytest.mark.parametrize("code", POOLINGS)
def test_bit_9_sets_the_kind_of_pooling_and_bit_10_its_place(code: str) -> None:
    kind, places = POOLINGS[code]
    architecture = decode(CIFAR, bits(pooling=code))  # one convolution per block
    assert architecture.pooling == kind
    assert [block for block, layer in enumerate(architecture.layers, start=1) if layer.pool] == places


@pytest.mark.parametrize("block", range(1, 8))
def test_bits_12_to_18_set_one_or_two_convolutions_for_each_block(block: int) -> None:
    one = decode(CIFAR, bits())
    two = decode(CIFAR, other_bit(bits(), 11 + block))
    assert one.blocks == (1,) * 7
    assert two.blocks == tuple(2 if each == block else 1 for each in range(1, 8))
    assert len(two.layers) == len(one.layers) + 1


@given(standard_chromosomes, sides, sides, channels)
@settings(deadline=None)
def test_every_chromosome_builds_what_the_table_says(
    chromosome: Chromosome, height: int, width: int, depth: int
) -> None:
    architecture = decode(Encoding((depth, height, width), 10), chromosome)
    activation, pooling, layers = expected(chromosome, height, width)
    assert (architecture.activation, architecture.pooling) == (activation, pooling)
    assert list(architecture.layers) == layers
    assert (architecture.input_shape, architecture.classes) == ((depth, height, width), 10)


def test_every_bit_codes_for_something_but_bits_2_5_8_and_11() -> None:
    silent = [
        locus
        for locus in range(19)
        if all(
            CIFAR.phenotype(chromosome) == CIFAR.phenotype(other_bit(chromosome, locus))
            for chromosome in (bits(), bits(pooling="01"))
        )
    ]
    assert tuple(silent) == CODE_FOR_NOTHING
    assert CIFAR.coding_loci == tuple(locus for locus in range(19) if locus not in CODE_FOR_NOTHING)


@given(standard_chromosomes, st.sampled_from(CODE_FOR_NOTHING))
@settings(deadline=None)
def test_bits_that_code_for_nothing_never_make_another_network(chromosome: Chromosome, locus: int) -> None:
    twin = other_bit(chromosome, locus)
    assert CIFAR.phenotype(chromosome) == CIFAR.phenotype(twin)
    assert decode(CIFAR, chromosome).describe() == decode(CIFAR, twin).describe()


@given(standard_chromosomes)
@settings(deadline=None)
def test_a_pooling_ends_its_block_and_starts_the_next_wider_stage(chromosome: Chromosome) -> None:
    architecture = decode(CIFAR, chromosome)
    ends = set(itertools.accumulate(architecture.blocks))
    pools = [place for place, layer in enumerate(architecture.layers, start=1) if layer.pool]
    assert len(pools) == 3
    assert set(pools) <= ends
    for place, (before, after) in enumerate(itertools.pairwise(architecture.layers), start=1):
        assert after.filters == before.filters * (2 if place in pools else 1)


# One network, one phenotype


def test_the_standard_table_has_12672_networks_at_32_by_32() -> None:
    networks = {CIFAR.phenotype(chromosome) for chromosome in every_chromosome(19, CIFAR.coding_loci)}
    # 99 ways to spread convolutions over four stages (54 early, 54 late, 9 both), times the other genes
    assert len(networks) == 99 * 4 * 4 * 4 * 2 == 12_672


def test_blocks_grouped_otherwise_are_one_network_where_the_same_layers_are_built() -> None:
    one_two, two_one = bits(blocks="1101111"), bits(blocks="1011111")  # blocks 2 and 3 share a stage
    assert decode(CIFAR, one_two).blocks != decode(CIFAR, two_one).blocks
    assert CIFAR.phenotype(one_two) == CIFAR.phenotype(two_one)


def test_early_and_late_pooling_are_one_network_where_the_same_layers_are_built() -> None:
    early, late = bits(pooling="00", blocks="0111111"), bits(pooling="01", blocks="1111110")
    assert [layer.pool for layer in decode(CIFAR, early).layers] == [False, True] * 3 + [False] * 2
    assert CIFAR.phenotype(early) == CIFAR.phenotype(late)


def test_blocks_grouped_across_a_pooling_are_different_networks() -> None:
    assert CIFAR.phenotype(bits(blocks="0111111")) != CIFAR.phenotype(bits(blocks="1011111"))


def test_chromosomes_are_one_phenotype_exactly_if_they_build_the_same_layers() -> None:
    by_phenotype: dict[str, list[str]] = {}
    by_layers: dict[tuple[Layer, ...], list[str]] = {}
    for place, *blocks in itertools.product("01", repeat=8):
        chromosome = bits(pooling="0" + place, blocks="".join(blocks))
        by_phenotype.setdefault(CIFAR.phenotype(chromosome), []).append(chromosome)
        by_layers.setdefault(tuple(expected(chromosome, 32, 32)[2]), []).append(chromosome)
    assert list(by_phenotype.values()) == list(by_layers.values())
    assert len(by_phenotype) == 99


def test_codes_of_a_custom_table_that_build_the_same_network_are_one_phenotype() -> None:
    genes = tuple(Gene("kernel", (3, 4), (3, 3, 5, 5)) if gene.name == "kernel" else gene for gene in STANDARD_GENES)
    custom = Encoding((3, 32, 32), 10, GeneTable(genes, 19))
    assert custom.phenotype(bits(kernel="00")) == custom.phenotype(bits(kernel="01"))
    assert custom.phenotype(bits(kernel="01")) != custom.phenotype(bits(kernel="10"))


def test_kernels_are_one_phenotype_where_they_are_cut_to_the_same_size() -> None:
    """At 8×8 kernels of 5 and 7 differ only before the maps get small: they stay two networks."""
    assert DIGITS.phenotype(bits(kernel="10")) != DIGITS.phenotype(bits(kernel="11"))
    assert [layer.kernel for layer in decode(DIGITS, bits(kernel="10")).layers[3:]] == [
        layer.kernel for layer in decode(DIGITS, bits(kernel="11")).layers[3:]
    ]


def test_the_shape_of_the_images_and_the_classes_are_part_of_the_phenotype() -> None:
    shapes = [
        Encoding((3, 32, 32), 10),
        Encoding((1, 32, 32), 10),
        Encoding((3, 32, 33), 10),
        Encoding((3, 32, 32), 11),
    ]
    assert len({encoding.phenotype(bits()) for encoding in shapes}) == len(shapes)


@given(standard_chromosomes, any_sides, any_sides, channels, st.integers(2, 1000))
@settings(deadline=None)
def test_a_phenotype_gives_back_its_architecture(
    chromosome: Chromosome, height: int, width: int, depth: int, classes: int
) -> None:
    architecture = decode(Encoding((depth, height, width), classes), chromosome)
    text = network_text(architecture)
    assert architecture_of(text) == replace(architecture, blocks=())
    assert network_text(architecture_of(text)) == text
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "network",
        "5",
        "[]",
        "{}",
        '"text"',
        "null",
        CIFAR.phenotype(bits()).replace('"pool"', '"swim"'),
        CIFAR.phenotype(bits()).replace('"classes":10,', ""),
        CIFAR.phenotype(bits()).replace("{", '{"odd":1,', 1),
    ],
)
def test_a_text_that_is_no_phenotype_is_refused(text: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        architecture_of(text)


# Kernels on small maps


@pytest.mark.parametrize(
    ("pooling", "kernels"), [("00", [7, 7, 7, 3, 3, 1, 1]), ("01", [7, 7, 7, 7, 3, 3, 1])], ids=["early", "late"]
)
def test_a_kernel_of_7_shrinks_on_the_maps_of_an_image_of_8_pixels(pooling: str, kernels: list[int]) -> None:
    """Maps of 8, 4, 2 and 1 pixels take at most 15, 7, 3 and 1."""
    architecture = decode(DIGITS, bits(kernel="11", pooling=pooling))
    assert [layer.kernel for layer in architecture.layers] == kernels


@given(standard_chromosomes, any_sides, any_sides)
@settings(deadline=None)
def test_a_kernel_on_a_map_of_s_pixels_is_at_most_2s_minus_1_wide(
    chromosome: Chromosome, height: int, width: int
) -> None:
    architecture = decode(Encoding((3, height, width), 10), chromosome)
    for layer, _, rows, columns in architecture.feature_maps():
        if layer.stride == 1:
            assert layer.kernel == min(KERNELS[chromosome[3:5]], 2 * max(rows, columns) - 1)


@given(standard_chromosomes, any_sides, any_sides, channels)
@settings(deadline=None)
def test_every_chromosome_is_valid_for_every_image_of_8_pixels_or_more(
    chromosome: Chromosome, height: int, width: int, depth: int
) -> None:
    architecture = decode(Encoding((depth, height, width), 10), chromosome)
    maps = list(architecture.feature_maps())
    assert [layer for layer, *_ in maps] == list(architecture.layers)
    assert maps[0][1:] == (depth, height, width)
    for (layer, *_), (_, read, *_) in itertools.pairwise(maps):
        assert read == layer.filters
    assert all(rows >= 1 and columns >= 1 for *_, rows, columns in maps)
    assert all(layer.kernel % 2 == 1 for layer in architecture.layers)


# The stem


@pytest.mark.parametrize(
    ("height", "width", "halvings", "first_map"),
    [
        (8, 8, 0, (8, 8)),
        (64, 64, 0, (64, 64)),
        (65, 65, 1, (33, 33)),
        (64, 65, 1, (32, 33)),
        (128, 128, 1, (64, 64)),
        (129, 129, 2, (33, 33)),
        (224, 224, 2, (56, 56)),
        (120, 200, 2, (30, 50)),
        (16, 100, 1, (8, 50)),
    ],
)
def test_images_over_64_pixels_are_halved_until_they_fit(
    height: int, width: int, halvings: int, first_map: tuple[int, int]
) -> None:
    architecture = decode(Encoding((3, height, width), 10), bits(multiplier="01"))
    stem = [layer for layer in architecture.layers if layer.stride > 1]
    assert stem == [Layer(filters=32, kernel=3, stride=2)] * halvings
    assert list(architecture.layers[:halvings]) == stem
    assert list(architecture.feature_maps())[halvings][2:] == first_map
    assert len(architecture.layers) == halvings + sum(architecture.blocks)


def test_a_narrow_image_is_halved_only_while_its_short_side_keeps_8_pixels() -> None:
    assert all(layer.stride == 1 for layer in decode(Encoding((1, 15, 500), 2), bits()).layers)
    assert sum(layer.stride == 2 for layer in decode(Encoding((1, 32, 500), 2), bits()).layers) == 2


@given(standard_chromosomes, any_sides, any_sides)
@settings(deadline=None)
def test_behind_the_stem_all_fits_that_can(chromosome: Chromosome, height: int, width: int) -> None:
    architecture = decode(Encoding((3, height, width), 10), chromosome)
    _, _, rows, columns = next(each for each in architecture.feature_maps() if each[0].stride == 1)
    assert min(rows, columns) >= 8
    assert max(rows, columns) <= 64 or min(rows, columns) < 16


# In words


@pytest.mark.parametrize(
    ("shape", "chromosome", "words"),
    [
        (
            (3, 32, 32),
            "0110010110110011010",
            "7 blocks, 11 convolutions 1×1, 32→256 filters, LeakyReLU, late max pooling",
        ),
        ((1, 8, 8), bits(), "7 blocks, 7 convolutions 3×3, 16→128 filters, ReLU, early max pooling"),
        (
            (3, 224, 224),
            bits("11", "11", "11", "10", "0000000"),
            "stem of 2, 7 blocks, 14 convolutions 7×7, 64→512 filters, GELU, early average pooling",
        ),
        (
            (3, 65, 65),
            bits("10", "10", "10", "11", "0111111"),
            "stem of 1, 7 blocks, 8 convolutions 5×5, 48→384 filters, ELU, late average pooling",
        ),
    ],
)
def test_a_network_is_described_in_words(shape: tuple[int, int, int], chromosome: Chromosome, words: str) -> None:
    assert decode(Encoding(shape, 10), chromosome).describe() == words


# What is refused


@pytest.mark.parametrize("chromosome", ["", "0", "0" * 18, "0" * 20])
def test_a_chromosome_of_the_wrong_length_is_refused(chromosome: Chromosome) -> None:
    with pytest.raises(InputError, match=f"has 19 bits, but '{chromosome}' has {len(chromosome)}"):
        decode(CIFAR, chromosome)
    with pytest.raises(InputError, match="19 bits"):
        CIFAR.phenotype(chromosome)


@given(st.text(min_size=19, max_size=19))
@settings(deadline=None)
def test_a_chromosome_of_other_characters_is_refused(chromosome: Chromosome) -> None:
    assume(set(chromosome) - set("01"))
    with pytest.raises(InputError, match="made of 0 and 1"):
        decode(CIFAR, chromosome)


@pytest.mark.parametrize("strange", ["2", " ", "\n", "-", "o", "l", "١", "１"])
def test_the_strange_character_is_named(strange: str) -> None:
    with pytest.raises(InputError) as refusal:
        check_chromosome("01" + strange + "0", 4)
    assert str(refusal.value).endswith(f"holds {strange!r}")


def test_a_good_chromosome_passes() -> None:
    check_chromosome("0110", 4)


@pytest.mark.parametrize(
    ("loci", "values"), [((0,), (1,)), ((0,), (1, 2, 3)), ((0, 1), (1, 2, 3)), ((0, 1, 2), (1,) * 7)]
)
def test_a_gene_without_a_value_for_each_code_is_refused(loci: tuple[int, ...], values: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=f"gene size: {len(loci)} bits need {2 ** len(loci)} values"):
        Gene("size", loci, values)


def test_the_first_locus_of_a_gene_is_the_most_significant_bit() -> None:
    gene = Gene("size", (3, 0), ("a", "b", "c", "d"))
    assert [gene.value(Chromosome(chromosome)) for chromosome in ("0000", "1000", "0001", "1001")] == [
        "a",
        "b",
        "c",
        "d",
    ]


@pytest.mark.parametrize("loci", [(0, 19), (-1, 0), (2, 2), (0, 3)])
def test_genes_that_overlap_or_lie_outside_the_chromosome_are_refused(loci: tuple[int, int]) -> None:
    genes = (Gene("filter_multiplier", loci, (1, 2, 3, 4)), *STANDARD_GENES[1:])
    with pytest.raises(InputError, match="loci of its own between 0 and 18"):
        GeneTable(genes, 19)


@pytest.mark.parametrize("shape", [(3, 7, 32), (3, 32, 7), (1, 0, 0), (2, 32, 32), (4, 32, 32), (0, 32, 32)])
def test_images_that_no_network_can_read_are_refused(shape: tuple[int, int, int]) -> None:
    depth, height, width = shape
    with pytest.raises(InputError, match=f"but are {height}×{width} with {depth}"):
        Encoding(shape, 10)


@pytest.mark.parametrize("classes", [1, 0, -1])
def test_fewer_than_two_classes_are_refused(classes: int) -> None:
    with pytest.raises(InputError, match=f"at least 2 classes, but has {classes}"):
        Encoding((3, 32, 32), classes)


# Listing the space


@given(
    st.integers(0, 8).flatmap(lambda length: st.tuples(st.just(length), st.sets(st.integers(0, max(0, length - 1)))))
)
@settings(deadline=None)
def test_every_setting_of_the_coding_bits_is_listed_once_in_ascending_order(space: tuple[int, set[int]]) -> None:
    length, loci = space
    assume(length or not loci)
    listed = list(every_chromosome(length, tuple(sorted(loci))))
    assert len(listed) == 2 ** len(loci)
    assert listed == sorted(set(listed))
    assert all(len(chromosome) == length for chromosome in listed)
    assert all(chromosome[locus] == "0" for chromosome in listed for locus in set(range(length)) - loci)


def test_an_architecture_can_be_written_down_by_hand() -> None:
    by_hand = Architecture((1, 8, 8), 10, "ReLU", "max", tuple(expected(bits(), 8, 8)[2]))
    assert network_text(by_hand) == DIGITS.phenotype(bits())


# The extended table

EXTENDED_CIFAR = Encoding((3, 32, 32), 10, EXTENDED)
extended_chromosomes = chromosomes(EXTENDED)
EXTENDED_VALUES: dict[str, tuple[int, dict[str, Any]]] = {
    "residual": (19, {"0": False, "1": True}),
    "squeeze_excitation": (20, {"0": False, "1": True}),
    "dropout": (21, {"00": 0.0, "01": 0.1, "11": 0.2, "10": 0.4}),
    "learning_rate": (
        23,
        {"000": 0.03, "001": 0.05, "011": 0.08, "010": 0.12, "110": 0.2, "111": 0.3, "101": 0.5, "100": 0.8},
    ),
    "weight_decay": (26, {"00": 0.0, "01": 1e-4, "11": 5e-4, "10": 2e-3}),
    "optimizer": (28, {"0": "sgd", "1": "adamw"}),
    "label_smoothing": (29, {"00": 0.0, "01": 0.05, "11": 0.1, "10": 0.2}),
    "augmentation": (31, {"00": "none", "01": "basic", "11": "cutout", "10": "strong"}),
}


def with_code(chromosome: Chromosome, start: int, code: str) -> Chromosome:
    return Chromosome(chromosome[:start] + code + chromosome[start + len(code) :])


@given(standard_chromosomes, st.sampled_from([(1, 8, 8), (3, 32, 32), (3, 224, 224)]))
@settings(deadline=None)
def test_the_first_19_bits_of_the_extended_table_are_those_of_the_standard_one(
    chromosome: Chromosome, shape: tuple[int, int, int]
) -> None:
    plain = Encoding(shape, 10).phenotype(chromosome)
    assert Encoding(shape, 10, EXTENDED).network(chromosome_with(EXTENDED, chromosome)) == plain


@pytest.mark.parametrize("name", EXTENDED_VALUES)
def test_each_further_gene_has_its_values_by_code(name: str) -> None:
    start, values = EXTENDED_VALUES[name]
    for code, value in values.items():
        chromosome = with_code(chromosome_with(EXTENDED, bits()), start, code)
        settings = EXTENDED_CIFAR.hyperparameters(chromosome)
        found = settings[name] if name in settings else getattr(decode(EXTENDED_CIFAR, chromosome), name)
        assert found == value
        assert type(found) is type(value)


def test_the_further_genes_leave_no_bit_and_no_hyperparameter_out() -> None:
    loci = [start + place for start, values in EXTENDED_VALUES.values() for place in range(len(next(iter(values))))]
    assert loci == list(range(19, 33))
    assert EXTENDED.hyperparameters == tuple(TRAINING_TRAITS)
    assert STANDARD.hyperparameters == ()


@pytest.mark.parametrize("count", [2, 4, 8, 16, 64])
def test_neighbours_in_gray_code_differ_in_one_bit(count: int) -> None:
    values = gray(*range(count))
    codes = {value: code for code, value in enumerate(values)}
    assert sorted(codes) == list(range(count))
    assert all((codes[value] ^ codes[value + 1]).bit_count() == 1 for value in range(count - 1))


@pytest.mark.parametrize("name", ["dropout", "learning_rate", "weight_decay", "label_smoothing", "augmentation"])
def test_neighbouring_values_of_the_further_ordinal_genes_differ_in_one_bit(name: str) -> None:
    gene = next(gene for gene in EXTENDED.genes if gene.name == name)
    ranks = {"none": 0, "basic": 1, "cutout": 2, "strong": 3}
    by_value = sorted(range(len(gene.values)), key=lambda code: ranks.get(gene.values[code], gene.values[code]))
    assert all((one ^ other).bit_count() == 1 for one, other in itertools.pairwise(by_value))


def test_the_texts_of_standard_networks_are_what_they_have_always_been() -> None:
    """Jobs are named by them: 526 networks in the text of version 0.1.0."""
    digest = hashlib.sha256()
    for number in range(0, 2**19, 997):
        digest.update(CIFAR.phenotype(Chromosome(f"{number:019b}")).encode())
    assert digest.hexdigest() == "8e529a017383b6dc9b1ebaba072f341bde98b7d07622948f0a2b0cf52cda1d02"


@given(standard_chromosomes)
@settings(deadline=None)
def test_a_table_without_hyperparameters_has_the_network_as_its_phenotype(chromosome: Chromosome) -> None:
    assert CIFAR.phenotype(chromosome) == CIFAR.network(chromosome)
    assert CIFAR.hyperparameters(chromosome) == {}


@given(extended_chromosomes, st.sampled_from(EXTENDED.coding_loci))
@settings(deadline=None)
def test_in_a_residual_network_every_coding_bit_makes_another_phenotype(chromosome: Chromosome, locus: int) -> None:
    chromosome = with_code(chromosome, 19, "1")
    assert EXTENDED_CIFAR.phenotype(chromosome) != EXTENDED_CIFAR.phenotype(other_bit(chromosome, locus))


@given(
    extended_chromosomes,
    st.sampled_from([n for gene in EXTENDED.genes if gene.name in TRAINING_TRAITS for n in gene.loci]),
)
@settings(deadline=None)
def test_hyperparameters_make_another_phenotype_of_the_same_network(chromosome: Chromosome, locus: int) -> None:
    twin = other_bit(chromosome, locus)
    assert EXTENDED_CIFAR.network(chromosome) == EXTENDED_CIFAR.network(twin)
    assert EXTENDED_CIFAR.hyperparameters(chromosome) != EXTENDED_CIFAR.hyperparameters(twin)
    assert EXTENDED_CIFAR.phenotype(chromosome) != EXTENDED_CIFAR.phenotype(twin)


@given(extended_chromosomes)
@settings(deadline=None)
def test_hyperparameters_are_settings_of_a_training(chromosome: Chromosome) -> None:
    coded = EXTENDED_CIFAR.hyperparameters(chromosome)
    protocol = replace(TrainingConfig(), **coded)
    assert {name: getattr(protocol, name) for name in coded} == coded


@pytest.mark.parametrize("tail", ["10", "01", "11"])
def test_the_grouping_into_blocks_counts_where_blocks_are_built(tail: str) -> None:
    one_two, two_one = bits(blocks="1101111"), bits(blocks="1011111")
    assert EXTENDED_CIFAR.network(chromosome_with(EXTENDED, one_two)) == EXTENDED_CIFAR.network(
        chromosome_with(EXTENDED, two_one)
    )
    one, other = (
        EXTENDED_CIFAR.network(with_code(chromosome_with(EXTENDED, each), 19, tail)) for each in (one_two, two_one)
    )
    assert one != other


@given(extended_chromosomes, any_sides, any_sides, channels)
@settings(deadline=None)
def test_the_text_of_an_extended_network_gives_it_back(
    chromosome: Chromosome, height: int, width: int, depth: int
) -> None:
    encoding = Encoding((depth, height, width), 10, EXTENDED)
    architecture = decode(encoding, chromosome)
    text = encoding.network(chromosome)
    blocks = architecture.blocks if architecture.has_blocks else ()
    assert architecture_of(text) == replace(architecture, blocks=blocks)
    assert network_text(architecture_of(text)) == text


@pytest.mark.parametrize("blocks", [(), (3,), (1, 2)])
def test_layers_that_cannot_be_grouped_into_the_blocks_are_refused(blocks: tuple[int, ...]) -> None:
    layers = (Layer(8, 3), Layer(8, 3))
    with pytest.raises(ValueError, match="2 layers cannot be grouped"):
        Architecture((1, 8, 8), 10, "ReLU", "max", layers, blocks, residual=True)


def test_all_that_a_chromosome_codes_for_is_described_in_words() -> None:
    chromosome = chromosome_with(
        EXTENDED,
        residual=True,
        squeeze_excitation=True,
        dropout=0.2,
        learning_rate=0.2,
        weight_decay=5e-4,
        optimizer="adamw",
        label_smoothing=0.1,
        augmentation="cutout",
    )
    words = EXTENDED_CIFAR.describe(chromosome)
    assert words == (
        "7 blocks, 7 convolutions 3×3, 16→128 filters, ReLU, early max pooling, residual, squeeze-and-excitation, "
        "dropout 0.2; AdamW, learning rate 0.2, weight decay 0.0005, label smoothing 0.1, cutout augmentation"
    )
    assert CIFAR.describe(bits()) == decode(CIFAR, bits()).describe()
    assert describe_hyperparameters({"augmentation": "none"}) == "no augmentation"
    assert describe_hyperparameters({}) == ""


# Tables of one's own


def test_what_no_gene_codes_for_makes_a_small_sound_network() -> None:
    encoding = Encoding((3, 32, 32), 10, GeneTable((Gene("learning_rate", (0,), (0.1, 0.2)),), 1))
    assert encoding.network(Chromosome("0")) == encoding.network(Chromosome("1")) == CIFAR.phenotype(bits())
    assert encoding.hyperparameters(Chromosome("1")) == {"learning_rate": 0.2}


@pytest.mark.parametrize("name", TRAITS)
def test_a_trait_takes_its_values_of_the_extended_table_and_its_default(name: str) -> None:
    values = next(gene.values for gene in EXTENDED.genes if gene.name == name)
    default = TRAITS[name].default
    for value in values if default is None else (*values, default):
        assert TRAITS[name].read(value) == value


@pytest.mark.parametrize("name", TRAITS)
@pytest.mark.parametrize("value", [None, "", "no", -1, 10**400, float("nan"), float("inf"), [], {}, [1]])
def test_a_trait_refuses_what_has_no_meaning(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"number|one of|true or false"):
        TRAITS[name].read(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filter_multiplier", 0),
        ("filter_multiplier", 65),
        ("filter_multiplier", 1.0),
        ("filter_multiplier", True),
        ("kernel", 2),
        ("kernel", 65),
        ("block_1", 0),
        ("block_7", 17),
        ("residual", 1),
        ("dropout", 1.0),
        ("dropout", False),
        ("learning_rate", 0.0),
        ("label_smoothing", 1),
        ("optimizer", "SGD"),
    ],
)
def test_a_trait_refuses_values_just_beyond_its_own(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"number|one of|true or false"):
        TRAITS[name].read(value)


def test_numbers_are_one_value_however_they_are_written() -> None:
    read = [TRAITS["weight_decay"].read(value) for value in (0, 0.0, -0.0)]
    assert [repr(value) for value in read] == ["0.0"] * 3


# What each bit is for


@given(chromosome=extended_chromosomes)
def test_every_bit_is_explained_by_its_gene_or_as_coding_for_nothing(chromosome: Chromosome) -> None:
    meanings = explain(Encoding((3, 32, 32), 10, EXTENDED), chromosome)
    assert [meaning.locus for meaning in meanings] == list(range(EXTENDED.length))
    assert "".join(meaning.bit for meaning in meanings) == chromosome
    assert [meaning.locus for meaning in meanings if meaning.gene is None] == list(CODE_FOR_NOTHING)
    for gene in EXTENDED.genes:
        for locus in gene.loci:
            meaning = meanings[locus]
            assert (meaning.gene, meaning.value) == (gene.name, gene.value(chromosome))
            assert meaning.code == "".join(chromosome[each] for each in gene.loci)
    assert all(meaning.words for meaning in meanings)


def test_values_are_explained_in_words() -> None:
    meanings = explain(
        Encoding((3, 32, 32), 10, EXTENDED),
        chromosome_with(EXTENDED, "0110010110110011010", residual=True, dropout=0.1),
    )
    words = {meaning.gene: meaning.words for meaning in meanings}
    assert words[None] == "codes for nothing"
    assert words["filter_multiplier"] == "32, 64, 128, 256 filters"
    assert words["kernel"] == "1×1"
    assert words["activation"] == "LeakyReLU"
    assert words["pooling_place"] == "late: after blocks 2, 4, 6"
    assert (words["block_1"], words["block_3"]) == ("2 convolutions", "1 convolution")
    assert (words["residual"], words["squeeze_excitation"]) == ("yes", "no")
    assert (words["dropout"], words["learning_rate"]) == ("0.1", "0.03")


def test_a_chromosome_of_another_length_is_not_explained() -> None:
    with pytest.raises(InputError, match="19 bits"):
        explain(CIFAR, Chromosome("01"))
