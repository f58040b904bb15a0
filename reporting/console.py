"""What a person sees while a run works: a live table on a terminal (with rich), one plain line per event elsewhere."""

from __future__ import annotations

import importlib.util
import math
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from job_queue import Attempt
from records import Generation, TrainingResult

# Whatever imports rich is imported where it draws: without it a run prints lines alone.
if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.console import ConsoleOptions, RenderableType, RenderResult
    from rich.live import Live

REFRESHES_PER_SECOND = 4
LONGEST_REASON = 200  # characters of a failure's reason; all of it is in the job's file
BAR = 12  # characters
LINES_ABOVE = 5  # of a terminal, left for what is said
LONGEST_NAME = 8  # characters of a name where devices stand side by side
Work = tuple[Attempt, Mapping[str, Any]] | None  # of a device: what it trains, and how far it is


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


def wrapped(line: str, width: int) -> str:
    """A line broken between words, where it is wider than the terminal; under its text, if that has a title.

    A title ends with two spaces or more. Paths stay whole.
    """
    title = re.match(r"(\S.*?)? {2,}(?=\S)", line)
    indent = " " * (title.end() if title and title.end() <= width // 2 else 2)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def time_left(seconds: float | None) -> str:
    """An expected time in words; it is no better than a second."""
    if seconds is None:
        return "ETA –"
    whole = math.ceil(seconds)
    return f"ETA {f'{whole} s' if whole < 60 else duration(whole)}" if whole > 0 else "ETA soon"


class PlainTerminal:
    """Standard output where rich is not installed: prints lines as they are, and draws nothing."""

    @property
    def is_terminal(self) -> bool:
        return sys.stdout.isatty()

    @property
    def width(self) -> int:
        return shutil.get_terminal_size().columns

    def print(self, text: str, markup: bool = False, emoji: bool = False) -> None:
        print(text, flush=True)


def standard_output() -> Terminal | PlainTerminal:
    """What a command prints to: rich's terminal, if rich is installed."""
    if importlib.util.find_spec("rich") is None:
        return PlainTerminal()
    from rich.console import Console as Terminal

    return Terminal(highlight=False, soft_wrap=True)


class Console:
    """Shows a run. It is told what happens, as an observer of the workers, and decides nothing."""

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

    def say(self, message: str, always: bool = False, wrap: bool = True) -> None:
        """One line, above the table where there is one; with `--quiet` only what is `always` said.

        On a terminal it is wrapped between words, unless it is to be copied.
        """
        if always or not self.quiet:
            text = printable(message)
            if wrap and self.terminal.is_terminal and len(text) > self.terminal.width:
                text = wrapped(text, self.terminal.width)
            self.terminal.print(text, markup=False, emoji=False)

    def open(self, slots: list[str], generations: int | None, measure: str = "accuracy") -> None:
        """Begins the live table, on a terminal and with rich. `generations` is None where a budget ends the run.

        `measure` is what fitness is, in words.
        """
        self._measure = measure
        self._slots, self._of = dict.fromkeys(slots), "" if generations is None else f"/{generations}"
        if self.terminal.is_terminal and not self.quiet and not isinstance(self.terminal, PlainTerminal):
            from rich.live import Live

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
        self._generation, self._known, self._reached, self._failed = number, list(values), {}, 0
        known = len(values)
        self.say(f"generation {number}{self._of}: {to_train} to train" + (f", {known} known already" if known else ""))

    def expect(self, to_train: int) -> None:
        """So many trainings follow now."""
        self._done, self._total = 0, to_train

    def foresee(self, seconds: float | None) -> None:
        """The run is expected to last so many seconds more; None if nothing is known."""
        self._end = None if seconds is None else time.monotonic() + seconds

    def generation_ended(self, generation: Generation, seconds: float, busy: float | None) -> None:
        """`busy` is the share of the devices' time in which they trained; None where they trained for others, too."""
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

    def job_started(self, slot: str, attempt: Attempt) -> None:
        self._slots[slot] = (attempt, {})
        self._widest = max(self._widest, len(attempt.name))

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        previous = self._slots.get(slot)
        self._slots[slot] = (attempt, {**(previous[1] if previous else {}), **progress})

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        if slot in self._slots:  # else it was lost on a cluster before it was anywhere
            self._slots[slot] = None
        self.say(f"{attempt.name}: {status} ({cut(reason)}); try {attempt.number + 1} follows")

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        shown = self._slots.get(slot)
        if shown is not None and shown[0].key == attempt.key:  # else the slot has its next job already
            self._slots[slot] = None
        self._done += 1
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
        return _Picture(self._header(), self._slots, self._widest, self._measure)

    def _header(self) -> list[str]:
        values = [*self._known, *self._reached.values()]
        return [
            f"generation {self._generation}{self._of}",
            f"{self._done}/{self._total} trained" + (f", {self._failed} failed" if self._failed else ""),
            f"best {self._best:.4f}" if self._best is not None else "best –",
            f"mean {sum(values) / len(values):.4f}" if values else "mean –",
            time_left(self.remaining()),
        ]


def cut(reason: str) -> str:
    """A reason that is short enough for a screen."""
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"


class _Picture:
    """The header and the devices, in no more lines and columns than the terminal has.

    Each device is a row where two thirds of the lines are enough, so that what is said above can be
    read; else several stand side by side; what is still too much is counted.
    """

    def __init__(self, header: Sequence[str], slots: Mapping[str, Work], widest: int, measure: str) -> None:
        self.header, self.slots, self.widest = header, slots, widest
        self.measure = measure.partition(" ")[0]  # accuracy or balanced, equally wide

    def __rich_console__(self, console: Terminal, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        width, height = options.max_width, options.size.height
        yield Text(header_line(self.header, width), style="bold", no_wrap=True, overflow="ellipsis")
        if len(self.slots) + 2 <= 2 * height // 3:
            yield self.table(width)
        else:
            yield self.grid(width, max(2, height - LINES_ABOVE - 2))

    def table(self, width: int) -> RenderableType:
        """A row for each device; what there is no room for is left out: the bar, the speed."""
        from rich.table import Table
        from rich.text import Text

        device = max(len("device"), *map(len, self.slots)) if self.slots else 0
        needed = device + self.widest + len("  100/100  accuracy  images/s") + 4
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
        table.add_column("device", no_wrap=True)
        table.add_column("individual", no_wrap=True, min_width=min(self.widest, width // 3))
        table.add_column("epoch", justify="right", no_wrap=True, min_width=len("100/100"))
        columns = [True, True, True, needed + BAR + 2 <= width, True, needed <= width]
        if columns[3]:
            table.add_column("", width=BAR)
        table.add_column(self.measure, justify="right", no_wrap=True)
        if columns[5]:
            table.add_column("images/s", justify="right", no_wrap=True)
        for slot, work in self.slots.items():
            cells = [Text(slot), *_cells(work)]
            table.add_row(*(cell for cell, is_shown in zip(cells, columns, strict=True) if is_shown))
        return table

    def grid(self, width: int, lines: int) -> RenderableType:
        """Devices side by side, in columns from top to bottom, each with what it works on."""
        from rich.text import Text

        cells = [brief(slot, work) for slot, work in self.slots.items()]
        wide = max(map(len, [*cells, *(f"{slot} ind100 1/1" for slot in self.slots)]))
        across = max(1, (width + 2) // (wide + 2))
        shown = cells if len(cells) <= across * lines else cells[: across * (lines - 1)]
        rows = -(-len(shown) // across)
        working = sum(work is not None for work in self.slots.values())
        text = [f"{len(cells)} devices, {working} at work"]
        for row in range(rows):
            text.append("  ".join(cell.ljust(wide) for cell in shown[row::rows]).rstrip())
        if len(shown) < len(cells):
            hidden = list(self.slots.values())[len(shown) :]
            text.append(f"and {len(hidden)} more, {sum(work is not None for work in hidden)} at work")
        return Text("\n".join(text), no_wrap=True, overflow="ellipsis")


def header_line(parts: Sequence[str], width: int) -> str:
    """The header in one line; the mean, then the best are left out where it would be too long."""
    line = " · ".join(parts)
    for name in ("mean", "best"):
        if len(line) > width:
            line = " · ".join(parts := [part for part in parts if not part.startswith(name)])
    return line


def _epochs(attempt: Attempt, progress: Mapping[str, Any]) -> str:
    epochs = attempt.job.protocol.epochs
    return f"{min(int(progress.get('epoch', 0)) + 1, epochs)}/{epochs}"


def brief(slot: str, work: Work) -> str:
    """A device and what it works on, in few characters: the header says which generation it is."""
    if work is None:
        return f"{slot} –"
    name = work[0].name.split("/")[1] if "/" in work[0].name else work[0].name
    epochs = _epochs(*work)
    return f"{slot} {name[:LONGEST_NAME]} {epochs.rjust(2 * len(epochs.partition('/')[2]) + 1)}"


def _cells(work: Work) -> list[RenderableType]:
    """The columns of a device: individual, epoch, bar, accuracy so far, images/s."""
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    if work is None:
        return ["–", "", "", "", ""]
    attempt, progress = work
    accuracy, rate = progress.get("accuracy"), progress.get("images_per_second")
    return [
        Text(attempt.name),
        _epochs(attempt, progress),
        ProgressBar(total=attempt.job.protocol.epochs, completed=progress.get("epoch", 0), width=BAR),
        "" if accuracy is None else f"{accuracy:.4f}",
        "" if rate is None else f"{rate:,.0f}",
    ]
