"""What the devices of a run did over time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from records import TrainingResult
from records.texts import JobKey

PAUSE = 60.0  # seconds without any training after which the run counts as stopped


@dataclass(frozen=True, slots=True)
class Bar:
    """A training on its device. Times are in seconds since the run began, without the pauses of the run."""

    device: str
    start: float
    end: float
    key: JobKey
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """The trainings of a run on its devices over time."""

    bars: tuple[Bar, ...]
    devices: tuple[str, ...]
    pauses: tuple[tuple[float, float], ...]  # when the run was stopped, and for how many seconds

    @property
    def seconds(self) -> float:
        """From the start of the first training to the end of the last one, without pauses."""
        return max((bar.end for bar in self.bars), default=0.0)

    @property
    def busy(self) -> float:
        """The total seconds of all trainings."""
        return sum(bar.end - bar.start for bar in self.bars)

    @property
    def utilisation(self) -> float:
        """The share of the devices' time in which they trained."""
        return self.busy / (self.seconds * len(self.devices)) if self.bars else 0.0


def timeline(results: Iterable[TrainingResult]) -> Timeline:
    """The trainings of a run by device.

    Trainings of earlier runs are left out, and so are those that failed before their clock started.
    """
    timed = [result for result in results if result.cost.started > 0 and not result.cost.reused]
    timed.sort(key=lambda result: result.cost.started)
    bars: list[Bar] = []
    pauses: list[tuple[float, float]] = []
    shift = timed[0].cost.started if timed else 0.0
    latest = 0.0
    for result in timed:
        start = result.cost.started - shift
        if start - latest > PAUSE:
            pauses.append((latest, start - latest))
            shift += start - latest
            start = latest
        bars.append(Bar(result.cost.device, start, start + result.cost.seconds, result.key, result.status == "done"))
        latest = max(latest, bars[-1].end)
    return Timeline(tuple(bars), tuple(sorted({bar.device for bar in bars}, key=by_number)), tuple(pauses))


def by_number(device: str) -> list[tuple[int, str]]:
    """Sort key under which "gpu 10" comes after "gpu 9"."""
    parts = ("".join(group) for _, group in itertools.groupby(device, str.isdigit))
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]
