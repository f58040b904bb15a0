"""What a run tells those who watch it: the console, TensorBoard, Optuna, figures, or whatever else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from job_queue import Attempt
from records import RunState, TrainingResult


class Watcher:
    """Is told what happens in a run, and decides nothing. Each method does nothing until it is overridden.

    All calls come from the thread of the run, which waits for them: a watcher should be quick. An
    exception that a watcher raises stops the run like any other fault; the run can be resumed.
    `slot` is the name of the place where a training runs, such as "gpu 0" or "cpu 2".
    """

    def said(self, message: str, always: bool = False) -> None:
        """One line of text for a person; with `always` it is shown even where little is wanted, as a warning is."""

    def run_began(self, state: RunState, slots: Sequence[str]) -> None:
        """The run begins, or goes on, from a state; trainings run on these slots."""

    def generation_began(self, number: int, known: Sequence[float], to_train: int) -> None:
        """A generation begins: the fitness of networks that are known already, and how many are new."""

    def queue_began(self, trainings: int) -> None:
        """This many trainings follow now."""

    def training_began(self, slot: str, attempt: Attempt) -> None:
        """A training was handed to a slot."""

    def training_progressed(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        """How far a training is: epochs done (in fractions), images per second, and after each epoch its figures."""

    def training_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        """A training failed and will be retried."""

    def training_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        """A training is done or has failed for good; its result is on disk."""

    def time_left(self, seconds: float | None) -> None:
        """How long the run is expected to take from now on; None while nothing has been measured."""

    def generation_ended(self, state: RunState, seconds: float, busy: float | None) -> None:
        """The last generation of `state` is evaluated and saved, after this many seconds.

        `busy` is the share of the slots' time that was spent on training; None where generations overlap.
        """

    def run_ended(self) -> None:
        """The run ends, for whatever reason."""


class Watchers(Watcher):
    """Tells several watchers, in their order."""

    def __init__(self, watchers: Iterable[Watcher] = ()) -> None:
        self._watchers = tuple(watchers)

    def said(self, message: str, always: bool = False) -> None:
        for each in self._watchers:
            each.said(message, always)

    def run_began(self, state: RunState, slots: Sequence[str]) -> None:
        for each in self._watchers:
            each.run_began(state, slots)

    def generation_began(self, number: int, known: Sequence[float], to_train: int) -> None:
        for each in self._watchers:
            each.generation_began(number, known, to_train)

    def queue_began(self, trainings: int) -> None:
        for each in self._watchers:
            each.queue_began(trainings)

    def training_began(self, slot: str, attempt: Attempt) -> None:
        for each in self._watchers:
            each.training_began(slot, attempt)

    def training_progressed(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        for each in self._watchers:
            each.training_progressed(slot, attempt, progress)

    def training_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        for each in self._watchers:
            each.training_retried(slot, attempt, status, reason)

    def training_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        for each in self._watchers:
            each.training_ended(slot, attempt, result)

    def time_left(self, seconds: float | None) -> None:
        for each in self._watchers:
            each.time_left(seconds)

    def generation_ended(self, state: RunState, seconds: float, busy: float | None) -> None:
        for each in self._watchers:
            each.generation_ended(state, seconds, busy)

    def run_ended(self) -> None:
        for each in self._watchers:
            each.run_ended()
