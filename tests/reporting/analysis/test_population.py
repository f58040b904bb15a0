"""Alleles and diversity, against counts of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import Generation
from records.texts import Chromosome
from reporting.analysis.population import allele_frequencies, diversity, entropy
from search_space.genes import STANDARD
from tests.reporting.examples import individual

# Population
bits = st.text("01", min_size=19, max_size=19).map(Chromosome)


@given(st.lists(bits, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_diversity_is_that_of_all_pairs(chromosomes: list[str]) -> None:
    members = [individual(1, index, [0.5], Chromosome(chromosome)) for index, chromosome in enumerate(chromosomes, 1)]
    (found,) = diversity([Generation(number=1, individuals=tuple(members))], STANDARD)
    loci = STANDARD.coding_loci
    pairs = [
        np.mean([one[locus] != other[locus] for locus in loci])
        for place, one in enumerate(chromosomes)
        for other in chromosomes[:place]
    ]
    assert found.distance == pytest.approx(np.mean(pairs) if pairs else 0.0)
    assert 0 <= found.entropy <= 1
    assert found.networks == len(members)


def test_alleles_are_counted_by_locus() -> None:
    members = (individual(1, 1, [0.5], Chromosome("1" * 19)), individual(1, 2, [0.5], Chromosome("0" + "1" * 18)))
    frequencies = allele_frequencies([Generation(number=1, individuals=members)])
    assert frequencies.shape == (1, 19)
    assert frequencies[0].tolist() == [0.5] + [1.0] * 18


def test_an_even_split_is_one_bit_and_agreement_is_none() -> None:
    assert entropy(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 1.0, 0.0]
