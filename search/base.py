"""What every search algorithm shares: the search space, `ask` and `tell`, and finding new networks."""

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

RANDOM_WALK = 64  # mutations tried to find a new network, before the unseen ones are enumerated
LIMITED_WALK = 256  # the same if the network must be within limits, too
LISTABLE_BITS = 16  # coding bits; larger spaces are never enumerated, as a walk always finds a new network
ENOUGH = 8  # results that a surrogate model needs


class SearchSpace(Protocol):
    """The problem, as a search sees it: the length of chromosomes, their genes, and which code for the same network."""

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
        """The chromosome with the smallest codes among those whose genes have these values."""
        ...

    def phenotype(self, chromosome: Chromosome) -> str:
        """A text of all that the chromosome codes for. Equal texts are never trained twice."""
        ...

    def size(self, chromosome: Chromosome) -> Fitness:
        """The parameters and FLOPs of a network, which are known before training."""
        ...


@dataclass(frozen=True, slots=True)
class BitStrings:
    """All bit strings of one length, each a network of its own."""

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
    """A surrogate model, fitted to the results so far."""

    def optimism(self, chromosomes: Sequence[Chromosome]) -> NDArray[np.float64]: ...

    def choose(self, chromosomes: Sequence[Chromosome], count: int) -> list[int]: ...

    def forecasts(self, chromosomes: Sequence[Chromosome]) -> list[Forecast]: ...

    def estimates(self, individuals: Sequence[Individual]) -> list[float]: ...


Predictor = Callable[[SearchSpace, Sequence[Individual]], Model]


class SearchAlgorithm:
    """A search behind `ask` and `tell`; subclasses define how offspring are made.

    `generations` are those already evaluated, in order; the search continues from there. `predictor`
    fits a surrogate model to the results. The model ranks the finalists and, in the genetic
    algorithm, selects which offspring are trained.
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
        self._model: tuple[int, Model] | None = None  # with the number of generations that it is fitted to

    def individuals(self) -> list[Individual]:
        """All evaluated individuals, in order of generation and index."""
        return all_individuals(self.generations)

    @property
    def best(self) -> Individual | None:
        """The best individual so far, as measured; None if no individual has a fitness."""
        return best_measured(self.individuals())

    def finalists(self, count: int) -> list[Individual]:
        """The networks to train again with new seeds, each once, the most promising first.

        Only networks that trained for as many epochs as the best, and are within the limits if it is.
        They are sorted by the model's estimate, which discounts noise, or by the measured fitness
        without a model.
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
        """The surrogate model of all results so far; None without a predictor, or with too few results."""
        if self.predictor is None or len(self._known) < ENOUGH:
            return None
        if self._model is None or self._model[0] != len(self.generations):
            self._model = (len(self.generations), self.predictor(self.space, self.individuals()))
        return self._model[1]

    @property
    def is_exhausted(self) -> bool:
        """Whether the last `ask` found that every network of the space is evaluated."""
        return self._unseen is not None and self._unseen.keys() <= self._known

    def ask(self, most: int | None = None) -> list[Individual]:
        """The next generation, with at most `most` new individuals. Asking twice gives the same individuals."""
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
        """Individuals that are copied into the next generation without a new training."""
        return []

    def _offspring(self, rng: np.random.Generator, taken: set[str], count: int) -> list[Offspring]:
        """Offspring, new ones if any are left; `taken` holds the phenotypes that are not new."""
        made: list[Offspring] = []
        while len(made) < count:
            offspring = self._make_new(rng, self._breed(rng, taken), taken)
            taken.add(self.space.phenotype(offspring.chromosome))
            made.append(offspring)
        return made

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        """One offspring, which may be known already."""
        raise NotImplementedError

    def _make_new(self, rng: np.random.Generator, offspring: Offspring, taken: set[str]) -> Offspring:
        """The offspring, mutated further while its network is taken or over a limit; "known" if no new one is left.

        If none within the limits is found, the new one with the smallest violation is taken.
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
        """The violation of the limits by a network, as far as it is known before training."""
        limits = self.config.size_limits
        return self.space.size(chromosome).with_limits(limits, None).violation if limits else 0.0

    def _list_unseen(self) -> dict[str, Chromosome]:
        """A chromosome for each network that was new when a walk first failed. Enumerated once."""
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
