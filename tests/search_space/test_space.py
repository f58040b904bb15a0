"""The space of networks as the engine sees it: genes, sizes, and which chromosomes are the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_generator import build_model
from records.texts import Chromosome
from search_space.architecture import architecture_of
from search_space.cost import model_cost
from search_space.encoding import Encoding
from search_space.genes import EXTENDED, STANDARD, Gene, GeneTable
from search_space.space import NetworkSpace
from tests.builders import chromosome as chromosome_with
from tests.builders import chromosomes
from tests.faults.small_run import birth

SPACES = {
    table: NetworkSpace(Encoding((1, 8, 8), 10, genes))
    for table, genes in (("standard", STANDARD), ("extended", EXTENDED))
}
names = st.sampled_from(sorted(SPACES))
relaxed = settings(deadline=None, max_examples=50)


@given(names, st.data())
@relaxed
def test_every_trait_is_an_allele_of_its_gene(name: str, data: st.DataObject) -> None:
    space = SPACES[name]
    traits = space.traits(data.draw(chromosomes(space.encoding.table)))
    assert len(traits) == len(space.alleles)
    for trait, alleles in zip(traits, space.alleles, strict=True):
        assert trait in alleles


@given(names, st.data())
@relaxed
def test_the_values_of_the_genes_tell_all_bits_that_code(name: str, data: st.DataObject) -> None:
    space = SPACES[name]
    chromosome = data.draw(chromosomes(space.encoding.table))
    bits = (bit if locus in space.coding_loci else "0" for locus, bit in enumerate(chromosome))
    assert space.chromosome_of(space.traits(chromosome)) == "".join(bits)


def test_of_two_codes_with_one_value_the_first_is_taken() -> None:
    table = GeneTable((Gene("kernel", (1, 0), (3, 5, 3, 5)),), 3)
    assert [table.chromosome_of([kernel]) for kernel in (3, 5)] == ["000", "100"]


@given(names, st.data())
@relaxed
def test_equal_traits_are_equal_networks(name: str, data: st.DataObject) -> None:
    space = SPACES[name]
    one = data.draw(chromosomes(space.encoding.table))
    other = "".join(
        bit if locus in space.coding_loci else data.draw(st.sampled_from("01")) for locus, bit in enumerate(one)
    )
    assert space.traits(one) == space.traits(Chromosome(other))
    assert space.phenotype(one) == space.phenotype(Chromosome(other))


@given(names, st.data())
@relaxed
def test_the_size_is_known_before_any_training(name: str, data: st.DataObject) -> None:
    space = SPACES[name]
    chromosome = data.draw(chromosomes(space.encoding.table))
    architecture = architecture_of(space.network(chromosome))
    size, cost = space.size(chromosome), model_cost(architecture)
    assert (size.parameters, size.flops) == (cost.parameters, cost.flops)
    assert size.value == 0.0


@pytest.mark.parametrize("name", SPACES)
def test_parameters_are_those_of_the_model_that_is_built(name: str) -> None:
    space = SPACES[name]
    for bits in ("0" * space.length, "1" * space.length, ("01" * space.length)[: space.length]):
        chromosome = Chromosome(bits)
        model = build_model(architecture_of(space.network(chromosome)))
        assert space.size(chromosome).parameters == sum(each.numel() for each in model.parameters())


def test_the_space_of_a_run_is_that_of_its_data_and_gene_table() -> None:
    space = NetworkSpace.of(birth(0))
    assert space == NetworkSpace(Encoding((1, 8, 8), 2, STANDARD))
    assert (space.length, len(space.alleles)) == (19, len(STANDARD.genes))


def test_settings_of_the_training_that_a_chromosome_decides_are_told_apart_from_the_network() -> None:
    standard, extended = SPACES["standard"], SPACES["extended"]
    assert standard.hyperparameters(chromosome_with()) == {}
    assert set(extended.hyperparameters(chromosome_with(EXTENDED))) == set(EXTENDED.hyperparameters)
