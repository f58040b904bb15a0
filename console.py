"""What a person sees while a run works: a live table on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from job_queue import Attempt
from records import Generation, TrainingResult

REFRESHES_PER_SECOND = 4
LEVELS = "▁▂▃▄▅▆▇█"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.2 s, 3:05 min, 2:07:30 h."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def printable(text: str) -> str:
    """Text from files and data without characters that would command the terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Console:
    """Shows a run. It is told what happens, as an observer of the workers, and decides nothing."""

    def __init__(self, quiet: bool = False, terminal: Terminal | None = None) -> None:
        self.quiet = quiet
        self.terminal = terminal or Terminal(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._slots: dict[str, tuple[Attempt, Mapping[str, Any]] | None] = {}
        self._generation, self._of = 0, ""
        self._done = self._total = 0
        self._end: float | None = None  # of the run, as expected, on the monotonic clock
        self._best: float | None = None
        self._values: list[float] = []  # fitness of this generation so far
        self._notes: set[str] = set()  # said already

    def say(self, message: str, always: bool = False) -> None:
        """One line, above the table where there is one; with `--quiet` only what is `always` said."""
        if always or not self.quiet:
            self.terminal.print(printable(message), markup=False, emoji=False)

    def open(self, slots: list[str], generations: int | None) -> None:
        """Begins the live table, on a terminal. `generations` is None where a budget ends the run."""
        self._slots, self._of = dict.fromkeys(slots), "" if generations is None else f"/{generations}"
        if self.terminal.is_terminal and not self.quiet:
            self._live = Live(
                console=self.terminal,
                get_renderable=self.picture,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
            )
            self._live.start()

    def close(self) -> None:
        """Ends the live table and gives the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def generation_started(self, number: int, values: list[float], to_train: int) -> None:
        """`values` are known fitnesses; `to_train` networks are new."""
        self._generation, self._values = number, list(values)
        known = len(values)
        self.say(f"generation {number}{self._of}: {to_train} to train" + (f", {known} known already" if known else ""))

    def expect(self, to_train: int) -> None:
        """So many trainings follow now."""
        self._done, self._total = 0, to_train

    def foresee(self, seconds: float | None) -> None:
        """The run is expected to last so many seconds more; None if nothing is known."""
        self._end = None if seconds is None else time.monotonic() + seconds

    def generation_ended(self, generation: Generation, seconds: float, busy: float) -> None:
        """`busy` is the share of the devices' time in which they trained."""
        values = [individual.fitness.value for individual in generation.individuals if individual.fitness]
        best = generation.best
        if best.fitness is None:
            return
        self._best = max(self._best or 0.0, *values)
        self.say(
            f"generation {generation.number}{self._of} in {duration(seconds)}: "
            f"best {best.fitness.value:.4f} ({best.name}), mean {sum(values) / len(values):.4f}, "
            f"devices {busy:.0%} busy"
        )

    def job_started(self, slot: str, attempt: Attempt) -> None:
        self._slots[slot] = (attempt, {})

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        previous = self._slots.get(slot)
        self._slots[slot] = (attempt, {**(previous[1] if previous else {}), **progress})

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        self._slots[slot] = None
        self.say(f"{attempt.name}: {status} ({reason}); try {attempt.number + 1} follows")

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        shown = self._slots.get(slot)
        if shown is not None and shown[0].key == attempt.key:  # else the slot has its next job already
            self._slots[slot] = None
        self._done += 1
        if result.status != "done":
            self.say(f"{attempt.name}: failed, {result.status} after {attempt.number} tries ({result.reason})")
            return
        outcome = "trained"
        if result.fitness is not None:
            outcome = f"validation accuracy {result.fitness.value:.4f}"
            self._values.append(result.fitness.value)
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
        """The live table: one header line, then one row per device."""
        remaining = self.remaining()
        parts = [
            f"generation {self._generation}{self._of}",
            f"{self._done}/{self._total} trained",
            f"best {self._best:.4f}" if self._best is not None else "best –",
            f"mean {sum(self._values) / len(self._values):.4f}" if self._values else "mean –",
            f"ETA {duration(remaining)}" if remaining is not None else "ETA –",
        ]
        header = Text(" · ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")
        # One row is left free, in which the terminal shows its cursor.
        room = self.terminal.size.height - 3
        if len(self._slots) <= room:
            return Group(header, self._table(len(self._slots)))
        strip = self._strip(self.terminal.size.width)
        return Group(header, *strip, self._table(max(0, room - len(strip))))

    def _table(self, rows: int) -> Table:
        """One row per device, for the first of them."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("device", no_wrap=True)
        table.add_column("individual", no_wrap=True)
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column("", width=12)
        table.add_column("accuracy", justify="right", no_wrap=True)
        table.add_column("images/s", justify="right", no_wrap=True)
        for slot, work in list(self._slots.items())[:rows]:
            table.add_row(Text(slot), *_cells(work))
        return table

    def _strip(self, width: int) -> list[Text]:
        """Lines with one sign per device: how far its training is, or a dot where it has none."""
        signs = "".join(
            "·" if work is None else LEVELS[min(int(_progress(*work) * len(LEVELS)), len(LEVELS) - 1)]
            for work in self._slots.values()
        )
        training = sum(work is not None for work in self._slots.values())
        words = f"{training} of {len(signs)} devices train  "
        first, rest = signs[: width - len(words)], signs[width - len(words) :]
        return [Text(words + first), *(Text(rest[start : start + width]) for start in range(0, len(rest), width))]


def _progress(attempt: Attempt, progress: Mapping[str, Any]) -> float:
    """The share of its epochs that a training has behind it."""
    return float(progress.get("epoch", 0)) / attempt.job.protocol.epochs


def _cells(work: tuple[Attempt, Mapping[str, Any]] | None) -> list[RenderableType]:
    """The columns of a device: individual, epoch, bar, accuracy so far, images/s."""
    if work is None:
        return ["–", "", "", "", ""]
    attempt, progress = work
    epochs, epoch = attempt.job.protocol.epochs, progress.get("epoch", 0)
    accuracy, rate = progress.get("accuracy"), progress.get("images_per_second")
    return [
        attempt.name,
        f"{min(int(epoch) + 1, epochs)}/{epochs}",
        ProgressBar(total=epochs, completed=epoch, width=12),
        "" if accuracy is None else f"{accuracy:.4f}",
        "" if rate is None else f"{rate:,.0f}",
    ]
