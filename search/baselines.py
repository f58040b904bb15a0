"""Random search, aging evolution and local search, to see at the same budget what the genetic algorithm is worth."""

from __future__ import annotations

import numpy as np

from records import Individual
from records.individuals import all_individuals
from search.base import SearchAlgorithm
from search.operators import Offspring, random_bits, to_bits, to_chromosome, tournament_selection
from search.ranking import rank
from search.registry import algorithm

LIFETIME = 5  # generations that an individual of aging evolution lives
SAMPLE = 4  # one in so many of those alive is drawn to find a parent; Real et al. draw 25 of 100


@algorithm("aging", "aging evolution: the oldest die")
class AgingEvolution(SearchAlgorithm):
    """The oldest die, not the worst; offspring are one bit from the best of a sample (Real et al. 2019, algorithm 1).

    A generation is bred at once, so that it can train side by side; those alive are the individuals
    of the last `LIFETIME` generations.
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


@algorithm("random", "each network drawn at random")
class RandomSearch(SearchAlgorithm):
    """Every individual drawn at random (Li & Talwalkar 2019: hard to beat at small budgets)."""

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        return random_bits(rng, self.space.length)


@algorithm("local_search", "from the best to a better neighbour, one bit away")
class LocalSearch(SearchAlgorithm):
    """From the best so far to a better neighbour, one coding bit away; anew from random where there is none.

    White et al. 2021, in the variant that moves on at the first improvement: a generation holds as
    many untrained neighbours, in random order, as it has room for.
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
        """The best since the last restart, of which a generation without neighbours is the sign."""
        climb: list[Individual] = []
        for generation in self.generations:
            if all(individual.origin != "mutation" for individual in generation.individuals):
                climb = []
            climb += generation.individuals
        return next(iter(rank(climb, self.config.objectives)), None)
