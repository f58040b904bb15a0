"""The genetic algorithm, in generations and as a steady state: a pure function of configuration, seed and results.

No files, clock, torch or global randomness. Generation g draws from
`numpy.random.default_rng([seed, g])`, so there is no generator state to save: a search rebuilt from
the evaluated generations asks for the same individuals as one that was never interrupted.

    engine = GeneticAlgorithm(EvolutionConfig(population=50), BitStrings(100))
    while engine.best is None or engine.best.fitness.value < 100:
        engine.tell([individual.evaluated(individual.chromosome.count("1")) for individual in engine.ask()])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from records import EvolutionConfig, Generation, Individual
from records.objectives import OBJECTIVES
from search.base import ENOUGH, Model, Predictor, SearchAlgorithm, SearchSpace
from search.operators import (
    CROSSOVERS,
    Offspring,
    flip,
    mutate,
    random_bits,
    to_bits,
    to_chromosome,
    tournament_selection,
)
from search.ranking import objective_points, pareto_order, rank
from search.registry import algorithm

OFFSPRING = 40  # bred for each one that is trained, if a surrogate model selects among them
CLIMBERS = 10  # the most promising offspring, whose neighbours become candidates as well
CLIMBS = 4  # rounds of hill climbing


def _youngest_of_equals(individual: Individual) -> tuple[object, ...]:
    """Sort key of parents: offspring precede elites of equal fitness, so that the search drifts over plateaus."""
    fitness = individual.fitness
    return (fitness is None, *(fitness.rank if fitness is not None else ()), -individual.index)


@algorithm("genetic", "the genetic algorithm", uses_model=True)
class GeneticAlgorithm(SearchAlgorithm):
    """Tournament selection, crossover, mutation and elitism; a surrogate model selects which offspring are trained.

    With several objectives the parents are the best of all generations by NSGA-II.
    """

    _ranked: tuple[int, list[Individual]] = (0, [])  # the parents, and the generation after which they were ranked

    def _parents(self) -> list[Individual]:
        """The individuals that can be parents, best first."""
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
        """Copies of the best parents with a fitness, each network once."""
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
        """Many new offspring within the limits, with the neighbours of the most promising ones."""
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
        """All chromosomes that differ from an offspring in one coding bit."""
        origin = "crossover+mutation" if offspring.origin == "crossover" else offspring.origin
        flipped = (flip(offspring.chromosome, locus) for locus in self.space.coding_loci)
        return [replace(offspring, chromosome=each, origin=origin) for each in flipped]

    def _choose_by_dominance(self, pool: Sequence[Offspring], model: Model, count: int) -> list[Offspring]:
        """The offspring that would rank best among the trained networks if each were as good as its optimistic bound.

        An objective that is unknown before training is replaced by its proxy.
        """
        objectives = [OBJECTIVES[name].proxy or name for name in self.config.objectives]
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


class SteadyState(GeneticAlgorithm):
    """Breeds one offspring at a time, from the best results so far (Whitley 1989).

    The parents are the best `population` individuals so far, so there are no elites. Individual n draws
    from `default_rng([seed, n])` and is a function of configuration, seed, earlier individuals, results
    and their order. The first individuals are those that `ask` gives for the first generation. No
    network is bred twice, whether its result is known or not.

    Individuals are numbered in the order of breeding, as if in generations; a generation is complete
    when all its trainings have ended. The surrogate model is refitted after every `population` results
    (at least `ENOUGH`), as refitting it for every offspring would take too long.
    """

    def __init__(
        self,
        config: EvolutionConfig,
        space: SearchSpace,
        generations: Sequence[Generation] = (),
        predictor: Predictor | None = None,
    ) -> None:
        super().__init__(config, space, generations, predictor)
        self.bred = self.individuals()  # in that order, ended or not
        self.taken: list[Individual] = []  # with their fitness, in the order of their results
        self._ended: dict[str, Individual] = {}  # the same by name
        self._best: list[Individual] = []
        self._is_spent = False

    def replay(self, bred: Sequence[Individual], taken: Sequence[Individual]) -> None:
        """Restores a search that had bred these individuals after its last complete generation.

        `taken` are those with a result, in the order of their results. A new search begins with the
        individuals of `ask`.
        """
        ended = {each.name for each in taken}
        last = max((place for place, each in enumerate(bred, 1) if each.name in ended), default=0)
        for individual in bred[: max(last, self.total - len(self.bred))]:
            self._add(individual)
        for individual in taken:
            self.take(individual)

    @property
    def total(self) -> int:
        """The number of individuals of the whole search, unless the space is smaller."""
        config = self.config
        by_generations = config.generations * config.population
        return by_generations if config.budget is None else config.budget - config.final_trainings

    @property
    def is_spent(self) -> bool:
        """Whether no further individual will be bred."""
        return self._is_spent or len(self.bred) >= self.total

    @property
    def pending(self) -> list[Individual]:
        """The individuals without a result, in order of breeding."""
        return [each for each in self.bred if each.name not in self._ended]

    def breed(self) -> Individual | None:
        """The next individual; None if there is no further one."""
        if self.is_spent:
            return None
        rng = np.random.default_rng([self.config.seed, len(self.bred) + 1])
        (offspring,) = self._offspring(rng, set(self._known), 1)
        if offspring.origin == "known":
            self._is_spent = True
            return None
        (generation, index), model = self._next_place(), self.model()
        individual = Individual(
            generation=generation,
            index=index,
            chromosome=offspring.chromosome,
            origin=offspring.origin,
            parents=offspring.parents,
            forecast=None if model is None else model.forecasts([offspring.chromosome])[0],
        )
        self._add(individual)
        return individual

    def _next_place(self) -> tuple[int, int]:
        """Generation and index of the next individual; a budget may have ended the last generation early."""
        last = self.bred[-1] if self.bred else None
        if last is None:
            return 1, 1
        is_full = last.index == self.config.population or last.generation <= len(self.generations)
        return (last.generation + 1, 1) if is_full else (last.generation, last.index + 1)

    def _add(self, individual: Individual) -> None:
        self.bred.append(individual)
        self._known.add(self.space.phenotype(individual.chromosome))

    def take(self, individual: Individual) -> None:
        """Records the result of an individual that was bred here."""
        self.taken.append(individual)
        self._ended[individual.name] = individual
        if individual.fitness is not None:
            self._best = rank([*self._best, individual], self.config.objectives)[: self.config.population]

    def withdraw(self, count: int) -> None:
        """Withdraws up to `count` of the last results, as long as they are failures in incomplete generations."""
        while count > 0 and self.taken and self.taken[-1].failure and self.taken[-1].generation > len(self.generations):
            del self._ended[self.taken.pop().name]
            count -= 1

    def complete(self) -> list[Individual] | None:
        """The next generation if all its trainings have ended, otherwise None."""
        before = sum(len(generation.individuals) for generation in self.generations)
        names = [each.name for each in self.bred[before : before + self.config.population]]
        is_whole = len(names) == self.config.population or (self.is_spent and bool(names))
        return [self._ended[name] for name in names] if is_whole and self._ended.keys() >= set(names) else None

    def model(self) -> Model | None:
        """The surrogate model of the results at the last refit; at the end, of all results."""
        step = max(self.config.population, ENOUGH)
        count = len(self.taken) if len(self.taken) >= self.total else len(self.taken) // step * step
        if self.predictor is None or count < ENOUGH:
            return None
        if self._model is None or self._model[0] != count:
            self._model = (count, self.predictor(self.space, self.taken[:count]))
        return self._model[1]

    def _parents(self) -> list[Individual]:
        return self._best
