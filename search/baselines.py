"""Baselines for the genetic algorithm: random search, aging evolution, local search."""

from __future__ import annotations

import numpy as np

from records import Individual
from records.individuals import all_individuals
from search.base import SearchAlgorithm
from search.operators import Offspring, random_bits, to_bits, to_chromosome, tournament_selection
from search.ranking import rank
from search.registry import algorithm

LIFETIME = 5  # generations for which an individual of aging evolution can be a parent
SAMPLE = 4  # a quarter of the living individuals compete to be a parent, as 25 of 100 in Real et al.


@algorithm("aging", "regularised evolution")
class AgingEvolution(SearchAlgorithm):
    """Regularised evolution: the oldest individuals die, not the worst (Real et al. 2019, algorithm 1).

    Offspring differ in one bit from the best of a sample of the living individuals: those of the last
    `LIFETIME` generations. A whole generation is bred at once, so that it can train in parallel.
    """

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        alive = all_individuals(self.generations[-LIFETIME:])
        if not alive:
            return random_bits(rng, self.space.length)
        ranked = rank(alive, self.config.objectives)
        parent = tournament_selection(rng, ranked, max(1, len(ranked) // SAMPLE))
        bits = to_bits(parent.chromosome)
        bits[rng.choice(self.space.coding_loci)] ^= 1
        return Offspring(to_chromosome(bits), "mutation", (parent.name,))


@algorithm("random", "uniform random search")
class RandomSearch(SearchAlgorithm):
    """Every individual is drawn uniformly at random, a strong baseline at small budgets (Li & Talwalkar 2019)."""

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        return random_bits(rng, self.space.length)


@algorithm("local_search", "hill climbing, one bit at a time")
class LocalSearch(SearchAlgorithm):
    """Hill climbing over neighbours that differ in one coding bit, with random restarts at local optima.

    The first-improvement variant of White et al. 2021: a generation holds as many untrained
    neighbours of the best, in random order, as it has room for.
    """

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        summit = self._summit()
        if summit is None:
            return random_bits(rng, self.space.length)
        for locus in rng.permutation(self.space.coding_loci):
            bits = to_bits(summit.chromosome)
            bits[locus] ^= 1
            if self.space.phenotype(to_chromosome(bits)) not in taken and not self._passed(to_chromosome(bits)):
                return Offspring(to_chromosome(bits), "mutation", (summit.name,))
        return random_bits(rng, self.space.length)

    def _summit(self) -> Individual | None:
        """The best individual since the last restart; a generation without neighbours marks a restart."""
        climb: list[Individual] = []
        for generation in self.generations:
            if all(individual.origin != "mutation" for individual in generation.individuals):
                climb = []
            climb += generation.individuals
        return next(iter(rank(climb, self.config.objectives)), None)
