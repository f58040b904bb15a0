"""How long the trainings of a run will take, from those that it has measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from records import RunState, TrainingResult
from records.texts import NetworkText
from run.training_time import Effort, TrainingTime
from search.early_stopping import rung_sizes
from search_space.architecture import architecture_of
from search_space.space import NetworkSpace


@dataclass(frozen=True, slots=True)
class Measured:
    """How long a training took, on what, and when it began (seconds since 1970)."""

    effort: Effort
    seconds: float
    hardware: str
    started: float


class TimeEstimate:
    """Expects the seconds of trainings, of those in a queue and of those that will follow them.

    `time` is what earlier measurements tell of the seconds of any training.
    """

    def __init__(self, state: RunState, time: TrainingTime | None = None) -> None:
        self.images, self.batch = state.facts.train_images, state.training.batch_size
        self.measured: dict[str, Measured] = {}  # by key, of the trainings that succeeded
        self.queued: dict[str, float] = {}  # expected seconds, by key, of the queue at work, those ended included
        self.later = 0.0  # expected seconds of all that follows it
        self.time = time or TrainingTime()

    def effort(self, network: NetworkText, epochs: int) -> Effort:
        return Effort(architecture_of(network), self.images * epochs, self.batch)

    def seconds(self, network: NetworkText, epochs: int) -> float:
        """The expected seconds of a training; before the first measurement only their order means anything."""
        return self.time.seconds(self.effort(network, epochs))

    def mean_seconds(self, networks: Sequence[NetworkText], epochs: int) -> float:
        """The expected seconds of a training of one of these networks."""
        return sum(self.seconds(network, epochs) for network in networks) / max(1, len(networks))

    def measure(self, network: NetworkText, result: TrainingResult) -> None:
        """Notes how long a training took."""
        if result.status == "done":
            effort, cost = self.effort(network, len(result.epochs)), result.cost
            self.measured[result.key] = Measured(effort, cost.seconds, cost.hardware, cost.started)

    def forget(self) -> None:
        """Forgets all measurements so far."""
        self.measured.clear()

    def new_queue(self) -> None:
        """Begins with a queue of jobs, and learns from all that has been measured so far."""
        measured = [self.measured[key] for key in sorted(self.measured)]
        newest = max(measured, key=lambda each: each.started, default=None)
        # Prices of another kind of device say nothing about this one.
        alike = [(each.effort, each.seconds) for each in measured if newest and each.hardware == newest.hardware]
        self.time, self.queued = TrainingTime(alike), {}

    def look_ahead(self, state: RunState, networks: Sequence[NetworkText], epochs: int, spent: int) -> None:
        """Estimates what follows the trainings of these networks for this number of epochs.

        `spent` are the epochs of all trainings so far. Networks to come are taken to be like these.
        """
        search, full = state.search, state.training.epochs
        sizes = generation_sizes(state, search.population - search.elitism)
        mean = {length: self.mean_seconds(networks, length) for _, length in sizes}
        generations = search.generations - state.generation - 1
        if search.budget is not None:
            cost = sum(size * length for size, length in sizes)
            generations = max(0, round((search.budget * full - spent) / cost) - 1)
        self.later = generations * sum(size * mean[length] for size, length in sizes)
        self.later += sum(size * mean[length] for size, length in sizes if length > epochs)
        self.later += trainings_after(state) * mean[full]

    def expect_after(self, networks: Sequence[NetworkText], trainings: int, epochs: int) -> None:
        """Estimates that this many trainings, of networks like these, and nothing else follow the next queue."""
        self.later = trainings * self.mean_seconds(networks, epochs)

    def remaining(self, ended: set[str]) -> float | None:
        """Seconds of work that are left, on one device; None before the first measurement.

        `ended` are the keys of all jobs that have ended.
        """
        if not self.measured:
            return None
        done = {key: self.measured[key].seconds for key in self.queued if key in self.measured}
        # Before the first measurements expectations are right in proportion only.
        scale = sum(done.values()) / sum(self.queued[key] for key in done) if done else 1.0
        left = sum(seconds for key, seconds in self.queued.items() if key not in ended)
        return scale * (left + self.later)


def trainings_after(state: RunState) -> int:
    """How many full trainings follow the last generation."""
    return state.search.trainings_after(len(NetworkSpace.of(state).coding_loci))


def generation_sizes(state: RunState, count: int) -> list[tuple[int, int]]:
    """How many networks train for how many epochs, rung by rung, in a generation with `count` new ones."""
    search, epochs = state.search, state.training.epochs
    return (
        rung_sizes(count, epochs, search.reduction_factor) if search.early_stopping == "halving" else [(count, epochs)]
    )
