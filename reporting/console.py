"""What a person sees while a run works: a live table on a terminal (with rich), one plain line per event elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from job_queue import Attempt
from records import RunState, TrainingResult
from records.words import duration, printable
from reporting.live_table import LiveTable, Work
from reporting.terminal import PlainTerminal, standard_output, wrapped
from reporting.watcher import Watcher

# Whatever imports rich is imported where it draws: without it a run prints lines alone.
if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.console import RenderableType
    from rich.live import Live

REFRESHES_PER_SECOND = 4
LONGEST_REASON = 200  # characters of a failure's reason; all of it is in the job's file


def eta(seconds: float | None) -> str:
    """An expected time in words; it is no better than a second."""
    if seconds is None:
        return "ETA –"
    whole = math.ceil(seconds)
    return f"ETA {f'{whole} s' if whole < 60 else duration(whole)}" if whole > 0 else "ETA soon"


class Console(Watcher):
    """Shows a run to a person: with `quiet` only what is said `always`."""

    def __init__(self, quiet: bool = False, terminal: Terminal | PlainTerminal | None = None) -> None:
        self.quiet = quiet
        self.terminal = terminal or standard_output()
        self._live: Live | None = None
        self._slots: dict[str, Work] = {}
        self._generation, self._of = 0, ""
        self._done = self._total = self._failed = 0
        self._end: float | None = None  # of the run, as expected, on the monotonic clock
        self._best: float | None = None
        self._known: list[float] = []  # fitness of those in this generation that are not trained
        self._reached: dict[str, float] = {}  # fitness of the others so far, by individual
        self._widest = len("individual")  # of the names shown, so that columns stay where they are
        self._measure = "accuracy"
        self._notes: set[str] = set()  # said already
        self.trainings = 0  # that ended in this session

    def say(self, message: str, always: bool = False, wrap: bool = True) -> None:
        """One line, above the table where there is one; with `--quiet` only what is `always` said.

        On a terminal it is wrapped between words, unless it is to be copied.
        """
        if always or not self.quiet:
            text = printable(message)
            if wrap and self.terminal.is_terminal and len(text) > self.terminal.width:
                text = wrapped(text, self.terminal.width)
            self.terminal.print(text, markup=False, emoji=False)

    def said(self, message: str, always: bool = False) -> None:
        self.say(message, always)

    def run_began(self, state: RunState, slots: Sequence[str]) -> None:
        """Begins the live table, on a terminal and with rich."""
        self._measure = state.training.measure
        self._slots = dict.fromkeys(slots)
        self._of = f"/{state.search.generations}" if state.search.budget is None else ""
        if self.terminal.is_terminal and not self.quiet and not isinstance(self.terminal, PlainTerminal):
            from rich.live import Live

            self._live = Live(
                console=self.terminal,
                get_renderable=self.picture,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
            )
            self._live.start()

    def run_ended(self) -> None:
        """Ends the live table and gives the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def generation_began(self, number: int, known: Sequence[float], to_train: int) -> None:
        self._generation, self._known, self._reached, self._failed = number, list(known), {}, 0
        self.say(
            f"generation {number}{self._of}: {to_train} to train" + (f", {len(known)} known already" if known else "")
        )

    def queue_began(self, trainings: int) -> None:
        self._done, self._total = 0, trainings

    def time_left(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def generation_ended(self, state: RunState, seconds: float, busy: float | None) -> None:
        generation = state.generations[-1]
        values = [individual.fitness.value for individual in generation.individuals if individual.fitness]
        best = generation.best
        if best.fitness is None:
            return
        self._best = max(self._best or 0.0, *values)
        self.say(
            f"generation {generation.number}{self._of} in {duration(seconds)}: "
            f"best {best.fitness.value:.4f} ({best.name}), mean {sum(values) / len(values):.4f}"
            + ("" if busy is None else f", {busy:.0%} busy")
        )

    def training_began(self, slot: str, attempt: Attempt) -> None:
        self._slots[slot] = (attempt, {})
        self._widest = max(self._widest, len(attempt.name))

    def training_progressed(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        previous = self._slots.get(slot)
        self._slots[slot] = (attempt, {**(previous[1] if previous else {}), **progress})

    def training_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        if slot in self._slots:  # else it was lost on a cluster before it was anywhere
            self._slots[slot] = None
        self.say(f"{attempt.name}: {status} ({cut(reason)}); try {attempt.number + 1} follows")

    def training_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        shown = self._slots.get(slot)
        if shown is not None and shown[0].key == attempt.key:  # else the slot has its next job already
            self._slots[slot] = None
        self._done += 1
        self.trainings += 1
        if result.status != "done":
            self._failed += 1
            tries = "after 1 try" if attempt.number == 1 else f"after {attempt.number} tries"
            self.say(f"{attempt.name}: failed, {result.status} {tries} ({cut(result.reason)})")
            return
        outcome = "trained"
        if result.fitness is not None:
            outcome = f"{self._measure} {result.fitness.value:.4f}"
            if attempt.name.startswith("gen"):  # finalists are of no generation
                self._reached[attempt.name.partition("/epochs_")[0]] = result.fitness.value
            self._best = max(self._best or 0.0, result.fitness.value)
        self.say(
            f"{attempt.name}: {outcome}, {duration(result.cost.seconds)}, "
            f"{result.cost.images_per_second:,.0f} images/s ({self._done}/{self._total})"
        )
        if result.cost.note and result.cost.note not in self._notes:
            self._notes.add(result.cost.note)
            self.say(f"note: {result.cost.note}")

    def remaining(self) -> float | None:
        """Seconds that are left, as expected; None if nothing is known."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def picture(self) -> RenderableType:
        """The live table: one header line, then the devices, however many there are."""
        return LiveTable(self._header(), self._slots, self._widest, self._measure)

    def _header(self) -> list[str]:
        values = [*self._known, *self._reached.values()]
        return [
            f"generation {self._generation}{self._of}",
            f"{self._done}/{self._total} trained" + (f", {self._failed} failed" if self._failed else ""),
            f"best {self._best:.4f}" if self._best is not None else "best –",
            f"mean {sum(values) / len(values):.4f}" if values else "mean –",
            eta(self.remaining()),
        ]


def cut(reason: str) -> str:
    """A reason that is short enough for a screen."""
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"
