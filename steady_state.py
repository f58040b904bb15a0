"""The genetic algorithm without generations to wait for: one offspring at a time, from the results so far. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genetic_algorithm import ENOUGH, GeneticAlgorithm, Model, Predictor, SearchSpace
from objectives import rank
from records import EvolutionConfig, Generation, Individual


class SteadyState(GeneticAlgorithm):
    """Breeds an offspring whenever it is asked, from the best of all whose result it was told.

    The parents are the best `population` so far, so that a good network is one for as long as
    it is among them, and no elites are carried (Whitley 1989: the worst makes room). Individual n
    draws from `default_rng([seed, n])`: which it is, is a function of the configuration, the seed,
    those bred before, the results and their order. The first are those that `ask` gives for the
    first generation. What was bred is never bred again, whether its result is known or not.

    Individuals are numbered as they are bred, as if in generations; such a generation is complete
    when all of it have ended. A model of the results is made anew whenever there are as many more
    as the population (at least `ENOUGH`): for every offspring it would take too long.
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
        """Goes on where a search had bred these individuals after its last complete generation.

        `taken` are all that have ended, in the order of their results. Of the others no more are
        kept than there will be. A search begins with those of `ask`.
        """
        ended = {each.name for each in taken}
        last = max((place for place, each in enumerate(bred, 1) if each.name in ended), default=0)
        for individual in bred[: max(last, self.total - len(self.bred))]:
            self._add(individual)
        for individual in taken:
            self.take(individual)

    @property
    def total(self) -> int:
        """How many individuals there will be, if the space holds so many."""
        config = self.config
        by_generations = config.generations * config.population
        return by_generations if config.budget is None else config.budget - config.final_trainings

    @property
    def is_spent(self) -> bool:
        """Whether there is nothing left to breed."""
        return self._is_spent or len(self.bred) >= self.total

    @property
    def pending(self) -> list[Individual]:
        """Those bred whose result was not taken, in order of breeding."""
        return [each for each in self.bred if each.name not in self._ended]

    def breed(self) -> Individual | None:
        """The next individual; None if there will be no other."""
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
        """Generation and index of the next individual. A budget may have ended a generation early."""
        last = self.bred[-1] if self.bred else None
        if last is None:
            return 1, 1
        is_full = last.index == self.config.population or last.generation <= len(self.generations)
        return (last.generation + 1, 1) if is_full else (last.generation, last.index + 1)

    def _add(self, individual: Individual) -> None:
        self.bred.append(individual)
        self._known.add(self.space.phenotype(individual.chromosome))

    def take(self, individual: Individual) -> None:
        """Takes the result of an individual that was bred here."""
        self.taken.append(individual)
        self._ended[individual.name] = individual
        if individual.fitness is not None:
            self._best = rank([*self._best, individual], self.config.objectives)[: self.config.population]

    def withdraw(self, count: int) -> None:
        """Takes back up to so many of the last results, all failures, of generations that are not complete."""
        while count > 0 and self.taken and self.taken[-1].failure and self.taken[-1].generation > len(self.generations):
            del self._ended[self.taken.pop().name]
            count -= 1

    def complete(self) -> list[Individual] | None:
        """The next generation, if all of it have ended; None if not."""
        before = sum(len(generation.individuals) for generation in self.generations)
        names = [each.name for each in self.bred[before : before + self.config.population]]
        is_whole = len(names) == self.config.population or (self.is_spent and bool(names))
        return [self._ended[name] for name in names] if is_whole and self._ended.keys() >= set(names) else None

    def model(self) -> Model | None:
        """A model of the results so far, all of them only at the end."""
        step = max(self.config.population, ENOUGH)
        count = len(self.taken) if len(self.taken) >= self.total else len(self.taken) // step * step
        if self.predictor is None or count < ENOUGH:
            return None
        if self._model is None or self._model[0] != count:
            self._model = (count, self.predictor(self.space, self.taken[:count]))
        return self._model[1]

    def _parents(self) -> list[Individual]:
        return self._best
