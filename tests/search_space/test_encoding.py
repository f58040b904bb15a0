"""From chromosomes to networks, and what each bit is for."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from records import InputError, TrainingConfig
from records.texts import Chromosome
from search_space.architecture import Layer
from search_space.encoding import (
    Encoding,
    check_chromosome,
    decode,
    describe_hyperparameters,
    every_chromosome,
    explain,
)
from search_space.genes import EXTENDED, STANDARD_GENES, TRAINING_TRAITS, Gene, GeneTable
from tests.builders import chromosome as chromosome_with
from tests.search_space.standard import (
    ACTIVATIONS,
    CIFAR,
    DIGITS,
    EXTENDED_VALUES,
    KERNELS,
    POOLINGS,
    WIDTHS,
    any_sides,
    bits,
    channels,
    expected,
    extended_chromosomes,
    standard_chromosomes,
)

CODE_FOR_NOTHING = (2, 5, 8, 11)
sides = st.integers(8, 64)


def other_bit(chromosome: Chromosome, locus: int) -> Chromosome:
    return Chromosome(chromosome[:locus] + "10"[int(chromosome[locus])] + chromosome[locus + 1 :])


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


@pytest.mark.parametrize("shape", [(3, 7, 32), (3, 32, 7), (1, 0, 0), (2, 32, 32), (4, 32, 32), (0, 32, 32)])
def test_images_that_no_network_can_read_are_refused(shape: tuple[int, int, int]) -> None:
    depth, height, width = shape
    with pytest.raises(InputError, match=f"but are {height}×{width} with {depth}"):
        Encoding(shape, 10)


@pytest.mark.parametrize("classes", [1, 0, -1])
def test_fewer_than_two_classes_are_refused(classes: int) -> None:
    with pytest.raises(InputError, match=f"at least 2 classes, but has {classes}"):
        Encoding((3, 32, 32), classes)


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


EXTENDED_CIFAR = Encoding((3, 32, 32), 10, EXTENDED)


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


def test_what_no_gene_codes_for_makes_a_small_sound_network() -> None:
    encoding = Encoding((3, 32, 32), 10, GeneTable((Gene("learning_rate", (0,), (0.1, 0.2)),), 1))
    assert encoding.network(Chromosome("0")) == encoding.network(Chromosome("1")) == CIFAR.phenotype(bits())
    assert encoding.hyperparameters(Chromosome("1")) == {"learning_rate": 0.2}


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
