"""Genes and traits: what they take, what they refuse, how their values are coded."""

from __future__ import annotations

import itertools

import pytest

from records import InputError
from records.texts import Chromosome
from search_space.genes import EXTENDED, STANDARD, STANDARD_GENES, TRAINING_TRAITS, TRAITS, Gene, GeneTable, gray
from tests.search_space.standard import EXTENDED_VALUES


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
