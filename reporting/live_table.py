"""The live table of a run on a terminal: one header line, then the devices, however many there are. Needs rich."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from job_queue import Attempt

# rich is imported where it draws: without it a run prints lines alone.
if TYPE_CHECKING:
    from rich.console import Console as Terminal
    from rich.console import ConsoleOptions, RenderableType, RenderResult

BAR = 12  # characters
LINES_ABOVE = 5  # of a terminal, left for what is said
LONGEST_NAME = 8  # characters of a name where devices stand side by side
Work = tuple[Attempt, Mapping[str, Any]] | None  # of a device: what it trains, and how far it is


class LiveTable:
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
