"""What every search shares: the surface that the engine works through, and asking, telling and finding what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from records import EvolutionConfig, Fitness, Generation, Individual
from records.individuals import Forecast, all_individuals, best_measured
from records.texts import Chromosome
from search.operators import Offspring, mutate, to_bits, to_chromosome
from search_space.encoding import every_chromosome

RANDOM_WALK = 64  # mutations in search of a new network before the unseen ones are listed
LIMITED_WALK = 256  # where it must keep limits, too
LISTABLE_BITS = 16  # spaces of more coding bits are never listed: a walk always finds something new
ENOUGH = 8  # results, from which on a model of them screens offspring


class SearchSpace(Protocol):
    """What the engine knows of a problem: how long chromosomes are, which are the same, and what they stand for."""

    @property
    def length(self) -> int: ...

    @property
    def coding_loci(self) -> tuple[int, ...]: ...

    @property
    def alleles(self) -> tuple[tuple[object, ...], ...]:
        """The values of each gene."""
        ...

    def traits(self, chromosome: Chromosome) -> tuple[object, ...]:
        """The value of each gene."""
        ...

    def chromosome_of(self, traits: Sequence[object]) -> Chromosome:
        """The first chromosome whose genes have these values."""
        ...

    def phenotype(self, chromosome: Chromosome) -> str: ...

    def size(self, chromosome: Chromosome) -> Fitness:
        """What is known of a network before it is trained: its parameters and FLOPs."""
        ...


@dataclass(frozen=True, slots=True)
class BitStrings:
    """The space of all bit strings of one length, each its own phenotype."""

    length: int

    @property
    def coding_loci(self) -> tuple[int, ...]:
        return tuple(range(self.length))

    @property
    def alleles(self) -> tuple[tuple[object, ...], ...]:
        return (("0", "1"),) * self.length

    def traits(self, chromosome: Chromosome) -> tuple[object, ...]:
        return tuple(chromosome)

    def chromosome_of(self, traits: Sequence[object]) -> Chromosome:
        return Chromosome("".join(map(str, traits)))

    def phenotype(self, chromosome: Chromosome) -> str:
        return chromosome

    def size(self, chromosome: Chromosome) -> Fitness:
        return Fitness(value=0.0)


class Model(Protocol):
    """What the engine asks of a predictor that knows the results so far."""

    def optimism(self, chromosomes: Sequence[Chromosome]) -> NDArray[np.float64]: ...

    def choose(self, chromosomes: Sequence[Chromosome], count: int) -> list[int]: ...

    def forecasts(self, chromosomes: Sequence[Chromosome]) -> list[Forecast]: ...

    def estimates(self, individuals: Sequence[Individual]) -> list[float]: ...


Predictor = Callable[[SearchSpace, Sequence[Individual]], Model]


class SearchAlgorithm:
    """Asks for generations of individuals and is told their fitness; how offspring are made is for each search to say.

    `generations` are those already evaluated, in order; the search goes on from there. `predictor`
    makes a model of results: it says which trained networks are best, and to the genetic algorithm
    which offspring are worth a training.
    """

    def __init__(
        self,
        config: EvolutionConfig,
        space: SearchSpace,
        generations: Sequence[Generation] = (),
        predictor: Predictor | None = None,
    ) -> None:
        self.config, self.space, self.predictor = config, space, predictor
        self.generations = list(generations)
        self._known = {space.phenotype(individual.chromosome) for individual in self.individuals()}
        self._unseen: dict[str, Chromosome] | None = None
        self._model: tuple[int, Model] | None = None  # and the generation that it knows last

    def individuals(self) -> list[Individual]:
        """All evaluated individuals, in order of generation and index."""
        return all_individuals(self.generations)

    @property
    def best(self) -> Individual | None:
        """The best individual so far, as measured; None while none has a fitness."""
        return best_measured(self.individuals())

    def finalists(self, count: int) -> list[Individual]:
        """The networks that are worth a second look, each once, the most promising first.

        Those that trained as long as the best, and keep the limits if it does; sorted by what the
        model makes of them, which discounts luck, or without a model as measured.
        """
        distinct: dict[str, Individual] = {}
        for individual in sorted(self.individuals(), key=lambda individual: individual.rank):
            if individual.fitness is not None:
                distinct.setdefault(self.space.phenotype(individual.chromosome), individual)
        ranked = [(each, each.fitness) for each in distinct.values() if each.fitness is not None]
        eligible = [each for each, fitness in ranked if comparable_class(fitness) == comparable_class(ranked[0][1])]
        model = self.model()
        if model is not None and eligible:
            estimates = model.estimates(eligible)
            eligible = [eligible[n] for n in sorted(range(len(eligible)), key=lambda n: -estimates[n])]
        return eligible[:count]

    def model(self) -> Model | None:
        """A model of all results so far; None without a predictor, or with too few results."""
        if self.predictor is None or len(self._known) < ENOUGH:
            return None
        if self._model is None or self._model[0] != len(self.generations):
            self._model = (len(self.generations), self.predictor(self.space, self.individuals()))
        return self._model[1]

    @property
    def is_exhausted(self) -> bool:
        """Whether the last `ask` found every network of the space evaluated already."""
        return self._unseen is not None and self._unseen.keys() <= self._known

    def ask(self, most: int | None = None) -> list[Individual]:
        """The next generation, of at most so many new individuals. Asking twice gives the same individuals."""
        number = len(self.generations) + 1
        rng = np.random.default_rng([self.config.seed, number])
        carried = self._carried()
        wanted = self.config.population - len(carried)
        offspring = [*carried, *self._offspring(rng, set(self._known), wanted if most is None else min(wanted, most))]
        forecasts: list[Forecast | None] = [None] * len(offspring)
        if (model := self.model()) is not None and len(offspring) > len(carried):
            made = [each.chromosome for each in offspring[len(carried) :]]
            forecasts[len(carried) :] = model.forecasts(made)
        return [
            Individual(
                generation=number,
                index=index,
                chromosome=each.chromosome,
                origin=each.origin,
                parents=each.parents,
                forecast=forecast,
            )
            for index, (each, forecast) in enumerate(zip(offspring, forecasts, strict=True), start=1)
        ]

    def tell(self, individuals: Sequence[Individual]) -> None:
        """Takes the evaluated generation. Raises ValueError if it is not the one asked for."""
        number, most = len(self.generations) + 1, self.config.population
        found = sorted((individual.generation, individual.index) for individual in individuals)
        if not 0 < len(found) <= most or found != [(number, index) for index in range(1, len(found) + 1)]:
            raise ValueError(f"expected up to {most} individuals of generation {number}, from 1 on, found {found}")
        self.generations.append(Generation(number=number, individuals=tuple(individuals)))
        self._known.update(self.space.phenotype(individual.chromosome) for individual in individuals)

    def _carried(self) -> list[Offspring]:
        """Individuals that live on without a new training."""
        return []

    def _offspring(self, rng: np.random.Generator, taken: set[str], count: int) -> list[Offspring]:
        """So many offspring, new where the space still holds new ones; `taken` are the networks that are not."""
        made: list[Offspring] = []
        while len(made) < count:
            offspring = self._make_new(rng, self._breed(rng, taken), taken)
            taken.add(self.space.phenotype(offspring.chromosome))
            made.append(offspring)
        return made

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        """One offspring, new or not."""
        raise NotImplementedError

    def _make_new(self, rng: np.random.Generator, offspring: Offspring, taken: set[str]) -> Offspring:
        """The offspring, mutated on while its network is taken or over a limit; "known" where no other is left.

        Where none within the limits is found, the new one that passes them by least is taken.
        """
        bits, closest, least = to_bits(offspring.chromosome), None, np.inf
        for _ in range(LIMITED_WALK if self.config.size_limits else RANDOM_WALK):
            chromosome = to_chromosome(bits)
            if self.space.phenotype(chromosome) not in taken and (passed := self._passed(chromosome)) < least:
                closest, least = chromosome, passed
            if least == 0:
                break
            bits = mutate(rng, bits if closest is None else to_bits(closest), 1 / self.space.length)
        if closest is None:
            unseen = [chromosome for phenotype, chromosome in self._list_unseen().items() if phenotype not in taken]
            closest = unseen[rng.integers(len(unseen))] if unseen else None
        if closest is None:
            return replace(offspring, chromosome=to_chromosome(bits), origin="known")
        mutated = offspring.origin == "crossover" and closest != offspring.chromosome
        return replace(offspring, chromosome=closest, origin="crossover+mutation" if mutated else offspring.origin)

    def _passed(self, chromosome: Chromosome) -> float:
        """By what share a network is known to pass the limits, before it is trained."""
        limits = self.config.size_limits
        return self.space.size(chromosome).with_limits(limits, None).violation if limits else 0.0

    def _list_unseen(self) -> dict[str, Chromosome]:
        """Networks that were new when a walk first failed, with a chromosome for each; listed once."""
        if self._unseen is None:
            loci = self.space.coding_loci
            if len(loci) > LISTABLE_BITS:
                return {}
            every = every_chromosome(self.space.length, loci)
            networks = {self.space.phenotype(chromosome): chromosome for chromosome in every}
            self._unseen = {text: chromosome for text, chromosome in networks.items() if text not in self._known}
        return self._unseen


def comparable_class(fitness: Fitness) -> tuple[bool, int]:
    return fitness.violation > 0, fitness.epochs
