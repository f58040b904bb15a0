"""The genetic algorithm: a pure function of configuration, seed and fitness values.

No files, clock, torch or global randomness. Generation g draws from
`numpy.random.default_rng([seed, g])`, so there is no generator state to save: an engine rebuilt
from the evaluated generations asks for the same individuals as one that never stopped.

    engine = GeneticAlgorithm(EvolutionConfig(population=50), BitStrings(100))
    while engine.best is None or engine.best.fitness.value < 100:
        engine.tell([individual.evaluated(individual.chromosome.count("1")) for individual in engine.ask()])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chromosome import every_chromosome
from records import EvolutionConfig, Generation, Individual

Bits = NDArray[np.uint8]  # (length,) of 0 and 1
Crossover = Callable[[np.random.Generator, Bits, Bits], Bits]

RANDOM_WALK = 64  # mutations in search of a new network before the unseen ones are listed
LISTABLE_BITS = 16  # spaces of more coding bits are never listed: a walk always finds something new


class SearchSpace(Protocol):
    """What the engine knows of a problem: how long chromosomes are, and which are the same."""

    @property
    def length(self) -> int: ...

    @property
    def coding_loci(self) -> tuple[int, ...]: ...

    def phenotype(self, chromosome: str) -> str: ...


@dataclass(frozen=True, slots=True)
class BitStrings:
    """The space of all bit strings of one length, each its own phenotype."""

    length: int

    @property
    def coding_loci(self) -> tuple[int, ...]:
        return tuple(range(self.length))

    def phenotype(self, chromosome: str) -> str:
        return chromosome


def tournament_selection(rng: np.random.Generator, ranked: Sequence[Individual], size: int) -> Individual:
    """The best of `size` individuals drawn without replacement; `ranked` is sorted, best first."""
    return ranked[int(rng.choice(len(ranked), size, replace=False, shuffle=False).min())]


def uniform_crossover(rng: np.random.Generator, first: Bits, second: Bits) -> Bits:
    """Each bit from either parent with probability 1/2 (Syswerda 1989)."""
    return np.where(rng.random(len(first)) < 0.5, first, second)


def one_point_crossover(rng: np.random.Generator, first: Bits, second: Bits) -> Bits:
    """The first parent up to a random cut, the second from there (Holland 1975)."""
    cut = rng.integers(1, len(first)) if len(first) > 1 else 1
    return np.concatenate([first[:cut], second[cut:]])


def two_point_crossover(rng: np.random.Generator, first: Bits, second: Bits) -> Bits:
    """The second parent between two random cuts, the first outside (De Jong 1975)."""
    start, end = np.sort(rng.integers(0, len(first) + 1, 2))
    return np.concatenate([first[:start], second[start:end], first[end:]])


CROSSOVERS: dict[str, Crossover] = {
    "uniform": uniform_crossover,
    "one_point": one_point_crossover,
    "two_point": two_point_crossover,
}


def mutate(rng: np.random.Generator, bits: Bits, probability: float) -> Bits:
    """Each bit flipped independently with `probability`."""
    return bits ^ (rng.random(len(bits)) < probability)


def to_bits(chromosome: str) -> Bits:
    return np.frombuffer(chromosome.encode(), dtype=np.uint8) - ord("0")


def to_chromosome(bits: Bits) -> str:
    return (bits + np.uint8(ord("0"))).tobytes().decode()


class GeneticAlgorithm:
    """Asks for generations of individuals and is told their fitness.

    `generations` are those already evaluated, in order; the engine goes on from there. `best` is
    the best individual so far, None before the first success.
    """

    def __init__(self, config: EvolutionConfig, space: SearchSpace, generations: Sequence[Generation] = ()) -> None:
        self.config = config
        self.space = space
        self.generations = list(generations)
        self._known = {
            space.phenotype(individual.chromosome)
            for generation in generations
            for individual in generation.individuals
        }
        self._unseen: dict[str, str] | None = None

    @property
    def best(self) -> Individual | None:
        """The best individual so far; None while none has a fitness."""
        best = [generation.best for generation in self.generations if generation.best.fitness is not None]
        return min(best, key=lambda individual: individual.rank, default=None)

    @property
    def is_exhausted(self) -> bool:
        """Whether the last `ask` found every network of the space evaluated already."""
        return self._unseen is not None and self._unseen.keys() <= self._known

    def ask(self) -> list[Individual]:
        """The next generation. Asking twice without telling gives the same individuals."""
        number = len(self.generations) + 1
        rng = np.random.default_rng([self.config.seed, number])
        ranked = sorted(self.generations[-1].individuals, key=lambda individual: individual.rank) if number > 1 else []
        population = self._elites(ranked, number)
        taken = set(self._known)
        while len(population) < self.config.population:
            bits, origin, parents = self._breed(rng, ranked)
            chromosome = self._make_new(rng, bits, taken)
            if chromosome is None:
                chromosome, origin = to_chromosome(bits), "known"
            elif origin == "crossover" and chromosome != to_chromosome(bits):
                origin = "crossover+mutation"
            taken.add(self.space.phenotype(chromosome))
            index = len(population) + 1
            population.append(
                Individual(generation=number, index=index, chromosome=chromosome, origin=origin, parents=parents)
            )
        return population

    def tell(self, individuals: Sequence[Individual]) -> None:
        """Takes the evaluated generation. Raises ValueError if it is not the one asked for."""
        number, count = len(self.generations) + 1, self.config.population
        if [individual.generation for individual in individuals] != [number] * count:
            found = sorted({individual.generation for individual in individuals})
            raise ValueError(
                f"expected {count} individuals of generation {number}, found {len(individuals)} of {found}"
            )
        self.generations.append(Generation(number=number, individuals=tuple(individuals)))
        self._known.update(self.space.phenotype(individual.chromosome) for individual in individuals)

    def _elites(self, ranked: Sequence[Individual], number: int) -> list[Individual]:
        """Copies of the best of the last generation that have a fitness, each network once."""
        elites: dict[str, Individual] = {}
        for individual in ranked:
            if individual.fitness is not None and len(elites) < self.config.elitism:
                elites.setdefault(self.space.phenotype(individual.chromosome), individual)
        return [
            Individual(
                generation=number, index=index, chromosome=elite.chromosome, origin="elite", parents=(elite.name,)
            )
            for index, elite in enumerate(elites.values(), start=1)
        ]

    def _breed(self, rng: np.random.Generator, ranked: Sequence[Individual]) -> tuple[Bits, str, tuple[str, ...]]:
        """The bits of one offspring, how it was made, and the names of its parents."""
        config, length = self.config, self.space.length
        if not ranked:
            return rng.integers(0, 2, length, dtype=np.uint8), "random", ()
        first = tournament_selection(rng, ranked, config.tournament_size)
        bits, origin = to_bits(first.chromosome), "mutation"
        parents: tuple[str, ...] = (first.name,)
        if rng.random() < config.crossover_prob:
            others = [individual for individual in ranked if individual is not first]
            second = tournament_selection(rng, others, min(config.tournament_size, len(others)))
            bits = CROSSOVERS[config.crossover](rng, bits, to_bits(second.chromosome))
            origin, parents = "crossover", (first.name, second.name)
        probability = 1 / length if config.mutation_prob is None else config.mutation_prob
        mutated = mutate(rng, bits, probability)
        if origin == "crossover" and not np.array_equal(mutated, bits):
            origin = "crossover+mutation"
        return mutated, origin, parents

    def _make_new(self, rng: np.random.Generator, bits: Bits, taken: set[str]) -> str | None:
        """The offspring, mutated on while its network is taken; None when the space holds no other."""
        for _ in range(RANDOM_WALK):
            chromosome = to_chromosome(bits)
            if self.space.phenotype(chromosome) not in taken:
                return chromosome
            bits = mutate(rng, bits, 1 / self.space.length)
        unseen = [chromosome for phenotype, chromosome in self._list_unseen().items() if phenotype not in taken]
        return unseen[rng.integers(len(unseen))] if unseen else None

    def _list_unseen(self) -> dict[str, str]:
        """Networks that were new when a walk first failed, with a chromosome for each; listed once."""
        if self._unseen is None:
            loci = self.space.coding_loci
            if len(loci) > LISTABLE_BITS:
                return {}
            every = every_chromosome(self.space.length, loci)
            networks = {self.space.phenotype(chromosome): chromosome for chromosome in every}
            self._unseen = {text: chromosome for text, chromosome in networks.items() if text not in self._known}
        return self._unseen
