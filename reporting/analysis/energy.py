"""The energy that the GPUs of a run used while they trained."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from records import TrainingResult
from records.costs import Cost, Energy
from reporting.analysis.devices import by_number


@dataclass(frozen=True, slots=True)
class EnergyUsed:
    """The energy that the GPUs of a run used while they trained, by device."""

    joules: Mapping[str, float]
    known: int  # trainings whose energy was measured
    trainings: int

    @property
    def words(self) -> str:
        """The total and that of each GPU in kWh; how many trainings were measured, if not all were."""
        each = ", ".join(f"{device} {_kilowatt_hours(joules)}" for device, joules in self.joules.items())
        missing = "" if self.known == self.trainings else f"; {self.known} of {self.trainings} trainings"
        return f"{_kilowatt_hours(sum(self.joules.values()))} kWh ({each}{missing})"


def energy_used(results: Iterable[TrainingResult]) -> EnergyUsed | None:
    """The energy that a run used; None if none was measured.

    Trainings of earlier runs are left out, and so are those that failed before their clock started. Energy
    that a GPU used while several trainings shared it is counted once.
    """
    timed = [result for result in results if result.cost.started > 0 and not result.cost.reused]
    by_gpu: dict[str, list[tuple[Cost, Energy]]] = {}
    for cost in sorted((result.cost for result in timed), key=lambda cost: cost.started):
        if cost.energy is not None:
            by_gpu.setdefault(cost.energy.gpu, []).append((cost, cost.energy))
    joules: dict[str, float] = {}
    for trainings in by_gpu.values():
        device = re.sub(r"(gpu \d+)\.\d+$", r"\1", trainings[0][0].device)  # "gpu 1.2" is the second worker of "gpu 1"
        joules[device] = joules.get(device, 0.0) + sum(map(covered, _unbroken(trainings)))
    ordered = {device: joules[device] for device in sorted(joules, key=by_number)}
    known = sum(len(trainings) for trainings in by_gpu.values())
    return EnergyUsed(ordered, known, len(timed)) if known else None


def _unbroken(trainings: Iterable[tuple[Cost, Energy]]) -> Iterator[list[tuple[float, float]]]:
    """The intervals of a GPU's energy counter during trainings, which are in the order of their start.

    Split where the driver was reloaded, which resets the counter: that can only happen while nothing trains.
    """
    intervals: list[tuple[float, float]] = []
    latest = highest = 0.0
    for cost, energy in trainings:
        if intervals and cost.started >= latest and energy.before < highest:
            yield intervals
            intervals, highest = [], 0.0
        intervals.append((energy.before, energy.after))
        latest, highest = max(latest, cost.started + cost.seconds), max(highest, energy.before)
    yield intervals


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals; one that ends before it begins is empty."""
    length, reached = 0.0, -math.inf
    for start, end in sorted(intervals):
        length += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return length


def _kilowatt_hours(joules: float) -> str:
    value = joules / 3.6e6
    return f"{value:,.2f}" if value >= 1 else f"{value:.3g}"
