"""From an individual to its trainings, and from their results back to the individual. No files, no workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from records import Individual, RunState, TrainingJob, TrainingResult
from search.early_stopping import rungs_of
from search_space.space import NetworkSpace

Latency = Callable[[str], float]  # seconds in which a network (the text of its architecture) classifies one image


class Jobs:
    """What is trained for an individual of a run, and what an individual becomes by a result.

    `latency` is asked where an objective or a limit needs it.
    """

    def __init__(self, state: RunState, space: NetworkSpace, latency: Latency | None = None) -> None:
        self.search, self.training, self.facts = state.search, state.training, state.facts
        self.space, self.latency = space, latency
        self.rungs = rungs_of(state)  # the epochs for which networks train, one rung after the other

    def job(self, individual: Individual, epochs: int, stop_below: tuple[float, ...] = ()) -> TrainingJob:
        """The training of an individual for a number of epochs; it ends early under the accuracies `stop_below`."""
        own = self.space.hyperparameters(individual.chromosome)
        return TrainingJob(
            phenotype=self.space.network(individual.chromosome),
            protocol=replace(self.training, epochs=epochs, **own),
            data_fingerprint=self.facts.fingerprint,
            stop_below=stop_below,
        )

    def with_result(self, individual: Individual, result: TrainingResult) -> Individual:
        """An individual with the outcome of its next job."""
        failure = None if result.status == "done" else f"{result.status}: {result.reason}"
        earlier = individual.earlier if individual.fitness is None else (*individual.earlier, individual.fitness)
        if self.search.early_stopping == "median":
            curve = [replace(result, epochs=result.epochs[: n + 1]).fitness for n in range(len(result.epochs) - 1)]
            earlier = tuple(fitness for fitness in curve if fitness is not None)
        fitness = result.fitness
        if fitness is not None:
            fitness = fitness.with_limits(self.search.limits, self._latency_of(individual))
        return replace(
            individual, jobs=(*individual.jobs, result.key), fitness=fitness, failure=failure, earlier=earlier
        )

    def _latency_of(self, individual: Individual) -> float | None:
        """Seconds an image of an individual's network, measured after its first training, if they count."""
        if individual.fitness is not None or not self.search.needs_latency or self.latency is None:
            return None if individual.fitness is None else individual.fitness.latency
        return self.latency(self.space.network(individual.chromosome))
