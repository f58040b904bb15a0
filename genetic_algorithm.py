"""The genetic algorithm, and what all searches share: pure functions of configuration, seed and fitness values.

No files, clock, torch or global randomness. Generation g draws from
`numpy.random.default_rng([seed, g])`, so there is no generator state to save: an engine rebuilt
from the evaluated generations asks for the same individuals as one that never stopped.

    engine = GeneticAlgorithm(EvolutionConfig(population=50), BitStrings(100))
    while engine.best is None or engine.best.fitness.value < 100:
        engine.tell([individual.evaluated(individual.chromosome.count("1")) for individual in engine.ask()])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chromosome import every_chromosome
from objectives import objective_points, pareto_order, rank
from records import EvolutionConfig, Fitness, Forecast, Generation, Individual

Bits = NDArray[np.uint8]  # (length,) of 0 and 1
Crossover = Callable[[np.random.Generator, Bits, Bits], Bits]

RANDOM_WALK = 64  # mutations in search of a new network before the unseen ones are listed
LIMITED_WALK = 256  # where it must keep limits, too
LISTABLE_BITS = 16  # spaces of more coding bits are never listed: a walk always finds something new
ENOUGH = 8  # results, from which on a model of them screens offspring
OFFSPRING = 40  # bred for each that is trained, where a model screens them
CLIMBERS = 10  # the most promising offspring, whose neighbours are looked at as well
CLIMBS = 4  # times


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

    def traits(self, chromosome: str) -> tuple[object, ...]:
        """The value of each gene."""
        ...

    def chromosome_of(self, traits: Sequence[object]) -> str:
        """The first chromosome whose genes have these values."""
        ...

    def phenotype(self, chromosome: str) -> str: ...

    def size(self, chromosome: str) -> Fitness:
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

    def traits(self, chromosome: str) -> tuple[object, ...]:
        return tuple(chromosome)

    def chromosome_of(self, traits: Sequence[object]) -> str:
        return "".join(map(str, traits))

    def phenotype(self, chromosome: str) -> str:
        return chromosome

    def size(self, chromosome: str) -> Fitness:
        return Fitness(value=0.0)


class Model(Protocol):
    """What the engine asks of a predictor that knows the results so far."""

    def optimism(self, chromosomes: Sequence[str]) -> NDArray[np.float64]: ...

    def choose(self, chromosomes: Sequence[str], count: int) -> list[int]: ...

    def forecasts(self, chromosomes: Sequence[str]) -> list[Forecast]: ...

    def estimates(self, individuals: Sequence[Individual]) -> list[float]: ...


Predictor = Callable[[SearchSpace, Sequence[Individual]], Model]


@dataclass(frozen=True, slots=True)
class Offspring:
    """A chromosome that may be trained, how it was made, and the names of its parents."""

    chromosome: str
    origin: str
    parents: tuple[str, ...] = ()


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
        self._unseen: dict[str, str] | None = None
        self._model: tuple[int, Model] | None = None  # and the generation that it knows last

    def individuals(self) -> list[Individual]:
        """All evaluated individuals, in order of generation and index."""
        return [individual for generation in self.generations for individual in generation.individuals]

    @property
    def best(self) -> Individual | None:
        """The best individual so far, as measured; None while none has a fitness."""
        best = [generation.best for generation in self.generations if generation.best.fitness is not None]
        return min(best, key=lambda individual: individual.rank, default=None)

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
        eligible = [each for each, fitness in ranked if _class(fitness) == _class(ranked[0][1])]
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

    def _passed(self, chromosome: str) -> float:
        """By what share a network is known to pass the limits, before it is trained."""
        limits = self.config.size_limits
        return self.space.size(chromosome).within(limits, None).violation if limits else 0.0

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


def _class(fitness: Fitness) -> tuple[bool, int]:
    return fitness.violation > 0, fitness.epochs


def _youngest_of_equals(individual: Individual) -> tuple[object, ...]:
    """Sort key of parents: of equally fit ones an offspring goes before the elite, so that the search drifts on."""
    fitness = individual.fitness
    return (fitness is None, *(fitness.rank if fitness is not None else ()), -individual.index)


def random_bits(rng: np.random.Generator, length: int) -> Offspring:
    return Offspring(to_chromosome(rng.integers(0, 2, length, dtype=np.uint8)), "random")


class GeneticAlgorithm(SearchAlgorithm):
    """Tournament selection, crossover, mutation, elitism; with a predictor, offspring are screened before training.

    With several objectives the parents are the best of all generations, by NSGA-II.
    """

    _ranked: tuple[int, list[Individual]] = (0, [])  # the parents, and the generation after which they were ranked

    def _parents(self) -> list[Individual]:
        """The individuals that may have offspring, best first."""
        if self._ranked[0] != len(self.generations):
            if len(self.config.objectives) == 1:
                ranked = sorted(self.generations[-1].individuals, key=_youngest_of_equals)
            else:
                every = reversed(self.individuals())
                distinct = {self.space.phenotype(each.chromosome): each for each in every}
                ranked = rank(list(distinct.values()), self.config.objectives)[: self.config.population]
            self._ranked = (len(self.generations), ranked)
        return self._ranked[1]

    def _carried(self) -> list[Offspring]:
        """Copies of the best parents that have a fitness, each network once."""
        elites: dict[str, Offspring] = {}
        for individual in self._parents():
            if individual.fitness is not None and len(elites) < self.config.elitism:
                elite = Offspring(individual.chromosome, "elite", (individual.name,))
                elites.setdefault(self.space.phenotype(individual.chromosome), elite)
        return list(elites.values())

    def _offspring(self, rng: np.random.Generator, taken: set[str], count: int) -> list[Offspring]:
        model = self.model()
        if model is None or count == 0:
            return super()._offspring(rng, taken, count)
        pool = self._pool(rng, taken, model, count)
        names = [each.chromosome for each in pool]
        if not pool:
            chosen = []
        elif len(self.config.objectives) == 1:
            chosen = [pool[index] for index in model.choose(names, count)]
        else:
            chosen = self._choose_by_dominance(pool, model, count)
        taken.update(self.space.phenotype(each.chromosome) for each in chosen)
        return chosen + super()._offspring(rng, taken, count - len(chosen))

    def _pool(self, rng: np.random.Generator, taken: set[str], model: Model, count: int) -> list[Offspring]:
        """Many new offspring, those within the limits, and the neighbours of the most promising among them."""
        pool = {}
        for _ in range(OFFSPRING * count):
            bred = self._breed(rng, taken)
            pool[self.space.phenotype(bred.chromosome)] = bred
        scores: dict[str, float] = {}
        for climb in range(CLIMBS + 1):
            pool = {
                text: each for text, each in pool.items() if text not in taken and not self._passed(each.chromosome)
            }
            fresh = [text for text in pool if text not in scores]
            if fresh:
                scores |= zip(fresh, model.optimism([pool[text].chromosome for text in fresh]).tolist(), strict=True)
            if not fresh or climb == CLIMBS:
                break
            for text in sorted(pool, key=lambda text: -scores[text])[:CLIMBERS]:
                for neighbour in self._neighbours(pool[text]):
                    pool.setdefault(self.space.phenotype(neighbour.chromosome), neighbour)
        return list(pool.values())

    def _neighbours(self, offspring: Offspring) -> list[Offspring]:
        """All that differ from an offspring in one coding bit."""
        origin = "crossover+mutation" if offspring.origin == "crossover" else offspring.origin
        text = offspring.chromosome
        flipped = (text[:n] + ("1" if text[n] == "0" else "0") + text[n + 1 :] for n in self.space.coding_loci)
        return [replace(offspring, chromosome=each, origin=origin) for each in flipped]

    def _choose_by_dominance(self, pool: Sequence[Offspring], model: Model, count: int) -> list[Offspring]:
        """Those that would stand best beside the networks that are trained, were they as good as is hoped.

        Latency is not known before it is measured; FLOPs stand for it.
        """
        objectives = ["flops" if name == "latency" else name for name in self.config.objectives]
        parents = [each for each in self._parents() if each.fitness is not None and each.fitness.violation == 0]
        every = [*(each.chromosome for each in pool), *(each.chromosome for each in parents)]
        hopes = model.optimism(every).tolist() if every else []
        fitnesses = [replace(self.space.size(text), value=hope) for text, hope in zip(every, hopes, strict=True)]
        order = pareto_order(objective_points(fitnesses, objectives))
        return [pool[index] for index in order if index < len(pool)][:count]

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        config, length, ranked = self.config, self.space.length, self._parents()
        if not ranked:
            return random_bits(rng, length)
        size = min(config.tournament_size, len(ranked))
        first = tournament_selection(rng, ranked, size)
        bits, origin = to_bits(first.chromosome), "mutation"
        parents: tuple[str, ...] = (first.name,)
        if rng.random() < config.crossover_prob and len(ranked) > 1:
            others = [individual for individual in ranked if individual is not first]
            second = tournament_selection(rng, others, min(size, len(others)))
            bits = CROSSOVERS[config.crossover](rng, bits, to_bits(second.chromosome))
            origin, parents = "crossover", (first.name, second.name)
        probability = 1 / length if config.mutation_prob is None else config.mutation_prob
        mutated = mutate(rng, bits, probability)
        if origin == "crossover" and not np.array_equal(mutated, bits):
            origin = "crossover+mutation"
        return Offspring(to_chromosome(mutated), origin, parents)
