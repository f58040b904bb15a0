"""Spaces, fitness functions and whole searches that several tests of the genetic algorithm use."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Individual
from search.base import BitStrings, SearchSpace
from tests.builders import one_max

Evaluate = Callable[[Individual], Individual]


def rugged(space: SearchSpace) -> Evaluate:
    """A fitness without any slope, a function of the network: few values, many ties, one in six fails."""

    def evaluate(individual: Individual) -> Individual:
        number = zlib.crc32(space.phenotype(individual.chromosome).encode())
        if number % 6 == 0:
            return individual.evaluated(None)
        return individual.evaluated(number // 7 % 4, loss=number // 31 % 2, parameters=number // 63 % 2)

    return evaluate


@dataclass
class Search:
    """One search: what was asked for in each generation, and the engine that asked."""

    engine: GeneticAlgorithm
    asked: list[list[Individual]] = field(default_factory=list)
    exhausted: list[bool] = field(default_factory=list)  # after each `ask`

    def run(self, generations: int, evaluate: Evaluate) -> Search:
        for _ in range(generations):
            self.asked.append(self.engine.ask())
            self.exhausted.append(self.engine.is_exhausted)
            self.engine.tell([evaluate(individual) for individual in self.asked[-1]])
        return self


def search(config: EvolutionConfig, space: SearchSpace, generations: int, evaluate: Evaluate | None = None) -> Search:
    return Search(GeneticAlgorithm(config, space)).run(generations, evaluate or rugged(space))


relaxed = settings(deadline=None, max_examples=30)


def sections(crossover: str) -> list[int]:
    """Of each pure crossover: how often one goes over from one parent to the other, where the parents differ."""
    config = EvolutionConfig(population=30, crossover=crossover, crossover_prob=1.0, mutation_prob=0.0)
    found = []
    for before, after in itertools.pairwise(search(config, BitStrings(40), 3, one_max).asked):
        chromosomes = {individual.name: individual.chromosome for individual in before}
        for individual in after:
            if individual.origin == "crossover":
                first, second = (chromosomes[name] for name in individual.parents)
                bits = zip(individual.chromosome, first, second, strict=True)
                sources = [bit == one for bit, one, other in bits if one != other]
                found.append(sum(here != there for here, there in itertools.pairwise(sources)))
    return found
