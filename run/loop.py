"""The loop of a run by generations: asks the engine for one, has it trained, tells the engine, saves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from records import Individual, InputError
from run.budget import individuals_left, is_over
from run.work import Work
from search.early_stopping import epochs_spent, promoted, training_name
from search.ranking import rank


class Loop:
    """Takes a run from its state to its last generation, the end of its budget, or the last network of the space."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def evolve(self) -> None:
        """Raises `InputError` for a budget that does not pay for one network."""
        work, population = self.work, self._first_population()
        work.begin()
        while not is_over(work.state):
            if work.engine.is_exhausted:
                work.watcher.said(f"every network of the space is known after generation {work.state.generation}")
                break
            clock, _ = time.monotonic(), work.trainings.take_busy_seconds()
            work.engine.tell(self._evaluate(population))
            seconds = time.monotonic() - clock
            population = self._save()
            busy = work.trainings.take_busy_seconds() / (seconds * len(work.means.workers.slots))
            work.generation_ended(work.engine.generations[-1].individuals, seconds, busy)

    def _first_population(self) -> tuple[Individual, ...]:
        """What the state says is to be trained next, unless the budget allows of another number.

        The engine is asked in any case: that tells whether the space is exhausted.
        """
        state = self.work.state
        asked = tuple(self.work.engine.ask(individuals_left(state)))
        if state.generation == 0 and is_over(state):
            raise InputError(f"--budget {state.search.budget} does not pay for one network through all rungs")
        return state.population if len(state.population) == len(asked) else asked

    def _save(self) -> tuple[Individual, ...]:
        """The checkpoint after a generation, with the next population, which is returned."""
        work, engine = self.work, self.work.engine
        generations = tuple(engine.generations)
        results = {key: work.trainings.results[key] for each in work.individuals() for key in each.jobs}
        evaluated = replace(work.state, generations=generations, results=results)
        population = tuple(engine.ask(individuals_left(evaluated)))
        work.save(generations=generations, results=results, population=population)
        return population

    def _evaluate(self, population: Sequence[Individual]) -> list[Individual]:
        """The individuals with their fitness; networks whose result is not known are trained.

        With halving the best of those that are new go on to the next rung, a longer training from
        the beginning.
        """
        work, space = self.work, self.work.space
        outcomes = {space.phenotype(each.chromosome): each for each in work.individuals()}
        contenders: dict[str, Individual] = {}
        for individual in population:
            if (network := space.phenotype(individual.chromosome)) not in outcomes:
                contenders.setdefault(network, individual)
        known = [outcomes[network] for each in population if (network := space.phenotype(each.chromosome)) in outcomes]
        values = [each.fitness.value for each in known if each.fitness]
        work.watcher.generation_began(work.state.generation + 1, values, len(contenders))
        new = list(contenders.values())
        for rung, epochs in enumerate(work.jobs.rungs):
            if rung > 0:
                ranked = rank([each for each in new if each.fitness is not None], work.state.search.objectives)
                new = ranked[: promoted(len(contenders), work.state.search.reduction_factor**rung)]
                who = f"the best {len(new)} go on" if len(new) > 1 else "the best goes on"
                work.watcher.said(f"{who} to {epochs} epochs")
            new = self._train(new, epochs)
            outcomes |= {space.phenotype(each.chromosome): each for each in new}
        return [as_known(each, outcomes[space.phenotype(each.chromosome)]) for each in population]

    def _train(self, individuals: Sequence[Individual], epochs: int) -> list[Individual]:
        """Individuals after a training of this many epochs, each network new to this rung."""
        work = self.work
        names = {each.name: training_name(each, epochs, work.jobs.rungs) for each in individuals}
        jobs = {names[each.name]: work.job(each, epochs) for each in individuals}
        networks = [work.space.network(each.chromosome) for each in individuals]
        work.trainings.estimate.look_ahead(work.state, networks, epochs, epochs_spent(work.state))
        results = work.trainings.run_all(jobs, f"generation {work.state.generation + 1}")
        return [work.jobs.with_result(each, results[names[each.name]]) for each in individuals]


def as_known(individual: Individual, outcome: Individual) -> Individual:
    """An individual with what came out for its network."""
    return replace(
        individual, jobs=outcome.jobs, fitness=outcome.fitness, failure=outcome.failure, earlier=outcome.earlier
    )
