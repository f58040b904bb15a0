"""The builder of chromosomes: genes by name, whatever the table."""

from __future__ import annotations

import pytest
from hypothesis import given

from records.texts import Chromosome
from search_space.genes import EXTENDED, STANDARD
from tests.builders import chromosome, chromosomes


def test_named_genes_have_the_values_given_and_others_their_defaults() -> None:
    built = chromosome(EXTENDED, kernel=5, residual=True, block_3=2)
    values = {gene.name: gene.value(built) for gene in EXTENDED.genes}
    assert (values["kernel"], values["residual"], values["block_3"]) == (5, True, 2)
    assert (values["block_1"], values["squeeze_excitation"], values["dropout"]) == (1, False, 0.0)
    assert chromosome() == "0000100000001111111"


@given(chromosomes(STANDARD))
def test_the_first_bits_are_kept_but_for_those_of_named_genes(bits: Chromosome) -> None:
    assert chromosome(EXTENDED, bits)[: STANDARD.length] == bits
    built = chromosome(EXTENDED, bits, pooling="average")
    assert [n for n, (one, other) in enumerate(zip(bits, built, strict=False)) if one != other] in ([], [9])
    assert built[9] == "1"


def test_a_gene_that_the_table_lacks_is_an_error() -> None:
    with pytest.raises(AssertionError, match="residual"):
        chromosome(STANDARD, residual=True)
