"""Chromosomes and individuals for tests: named by the values of their genes, whatever the length of the table."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from records import Fitness, Individual
from records.texts import Chromosome
from search.base import SearchSpace
from search_space.genes import STANDARD, TRAITS, GeneTable


def chromosome(table: GeneTable = STANDARD, bits: str = "", **values: Any) -> Chromosome:
    """The chromosome of a table whose genes have these values, as in `chromosome(EXTENDED, kernel=5, residual=True)`.

    The other genes have the trait's default, or their first value where that is none of theirs.
    `bits` are the first bits, as they are.
    """
    unknown = set(values) - {gene.name for gene in table.genes}
    assert not unknown, f"the table has no gene {unknown}"
    defaults = {gene.name: TRAITS[gene.name].default for gene in table.genes}
    chosen = [
        values.get(gene.name, defaults[gene.name] if defaults[gene.name] in gene.values else gene.values[0])
        for gene in table.genes
    ]
    named = {locus for gene in table.genes if gene.name in values for locus in gene.loci}
    text = table.chromosome_of(chosen)
    kept = (
        bit if locus < len(bits) and locus not in named else text[locus]
        for locus, bit in enumerate(bits.ljust(len(text)))
    )
    return Chromosome("".join(kept))


def chromosomes(table: GeneTable = STANDARD) -> st.SearchStrategy[Chromosome]:
    """Any chromosome of a table."""
    return st.text("01", min_size=table.length, max_size=table.length).map(Chromosome)


def one_max(individual: Individual) -> Individual:
    """The individual with the number of its ones as its fitness."""
    return individual.evaluated(individual.chromosome.count("1"))


def rugged(space: SearchSpace, individual: Individual) -> Individual:
    """The individual with a fitness that is a function of its network alone, without any slope; one in six fails."""
    number = zlib.crc32(space.phenotype(individual.chromosome).encode())
    if number % 6 == 0:
        return individual.evaluated(None)
    fitness = Fitness(value=number // 7 % 50, loss=number // 31 % 2, parameters=1 + number // 63 % 9)
    return replace(individual, fitness=fitness)
