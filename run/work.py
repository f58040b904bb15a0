"""A run at work: its state and the parts that act on it. Both loops drive one, and so does what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from records import Individual, RunState, TrainingJob
from records.canonical import VERSION
from records.objectives import quantity
from records.runs import ModelInfo
from reporting.watcher import Watcher
from run.algorithms import new_search
from run.history import History
from run.jobs import Jobs
from run.trainings import Means, Trainings
from search.early_stopping import median_curve
from search.ranking import pareto_front
from search_space.space import NetworkSpace
from storage.checkpoint import save_state
from storage.directory import RunDirectory


class Work:
    """The state of a run, the engine that proposes networks, its jobs, its trainings, and the files that follow.

    Only a loop moves the state on, by `save`.
    """

    def __init__(self, run: RunDirectory, state: RunState, means: Means, watcher: Watcher) -> None:
        self.run, self.state, self.means, self.watcher = run, state, means, watcher
        self.space = NetworkSpace.of(state)
        self.engine = new_search(state.search, self.space, state.generations)
        self.jobs = Jobs(state, self.space, means.latency)
        self.trainings = Trainings(run, state, means, watcher)
        self.history = History(state, self.space, self.trainings)

    def begin(self) -> None:
        """Writes again what follows from the state, and tells the watchers where the run stands."""
        self.history.write(self.individuals(), self.individuals())
        self.watcher.run_began(self.state, [slot.name for slot in self.means.workers.slots])

    def individuals(self) -> list[Individual]:
        """All evaluated individuals, in order of generation and index."""
        return self.engine.individuals()

    def front(self) -> list[Individual]:
        """The networks that no other beats in all objectives; none where there is but one objective."""
        objectives = self.state.search.objectives
        return pareto_front(self.individuals(), objectives) if len(objectives) > 1 else []

    def info(self, individual: Individual) -> ModelInfo:
        """What goes with the weights of an individual."""
        return self.history.info(individual)

    def job(self, individual: Individual, epochs: int) -> TrainingJob:
        """The training of an individual for a number of epochs, as the generation that it belongs to asks for it."""
        stops = self.state.search.early_stopping == "median"
        return self.jobs.job(individual, epochs, self._median_before(individual.generation) if stops else ())

    def _median_before(self, generation: int) -> tuple[float, ...]:
        """The median accuracy at each epoch, of all networks trained in earlier generations."""
        keys = {
            each.jobs[-1]: None
            for earlier in self.engine.generations[: generation - 1]
            for each in earlier.individuals
            if each.fitness is not None
        }
        return median_curve([[epoch.score or 0.0 for epoch in self.trainings.results[key].epochs] for key in keys])

    def last_job(self, individual: Individual) -> TrainingJob:
        """The last job of an evaluated individual, which another may have been the first to need."""
        first = next(each for each in self.individuals() if each.jobs == individual.jobs)
        return self.job(first, self.jobs.rungs[len(first.jobs) - 1])

    def save(self, **changes: Any) -> None:
        """Moves the state on to that with these changes, and writes the checkpoint of its last generation."""
        self.state = replace(self.state, version=VERSION, **changes)
        save_state(self.run, self.state)

    def generation_ended(self, members: Sequence[Individual], seconds: float, busy: float | None = None) -> None:
        """What follows a generation whose state is saved: it is told, weights are pruned, files are written."""
        self.watcher.generation_ended(self.state, seconds, busy)
        self._say_what_passes_limits()
        self.prune()
        self.history.write(members, self.individuals())

    def prune(self) -> None:
        """Removes the weights that `--keep_models` does not keep; those of the best, and of the front, stay."""
        if self.engine.best is not None:
            kept = [self.engine.best, *self.front()]
            self.history.prune(self.engine.generations, self.means.limits.models_kept, kept)

    def _say_what_passes_limits(self) -> None:
        """Where no network keeps the limits, which one comes closest."""
        limits, generation = self.state.search.limits, self.engine.generations[-1]
        closest = generation.best.fitness
        if closest is not None and closest.violation > 0:
            found = ", ".join(
                f"{quantity(name, closest.objective(name))} (limit {quantity(name, limit)})"
                for name, limit in limits.items()
                if closest.objective(name) > limit
            )
            self.watcher.said(
                f"no network of generation {generation.number} keeps the limits; "
                f"{generation.best.name} comes closest with {found}"
            )
