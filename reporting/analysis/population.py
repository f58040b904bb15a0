"""How a population changes: the frequencies of its alleles, their entropy, and its diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from records import Generation
from search_space.genes import GeneTable


def allele_frequencies(generations: Sequence[Generation]) -> NDArray[np.float64]:
    """(generations, loci): the share of individuals with a 1 at the locus."""
    return np.array(
        [
            np.mean([[bit == "1" for bit in each.chromosome] for each in generation.individuals], axis=0)
            for generation in generations
        ]
    )


def entropy(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """The entropy of an allele of this frequency in bits (Shannon 1948): 0 where all agree, 1 at one half."""
    shares = np.stack([frequencies, 1 - frequencies])
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(0))


@dataclass(frozen=True, slots=True)
class Diversity:
    """How much the individuals of a generation differ in their coding bits."""

    generation: int
    distance: float  # mean share of coding bits in which two individuals differ
    entropy: float  # mean over coding loci, in bits
    networks: int  # distinct networks, by their trainings


def diversity(generations: Sequence[Generation], table: GeneTable) -> list[Diversity]:
    found = []
    loci = list(table.coding_loci)
    for generation, row in zip(generations, allele_frequencies(generations), strict=True):
        count, shares = len(generation.individuals), row[loci]
        # The share of pairs of individuals that differ at a locus: 2 n₀ n₁ / n (n − 1).
        pairs = 2 * shares * (1 - shares) * count / max(1, count - 1)
        networks = len({each.jobs[-1] if each.jobs else each.name for each in generation.individuals})
        found.append(Diversity(generation.number, float(pairs.mean()), float(entropy(shares).mean()), networks))
    return found
