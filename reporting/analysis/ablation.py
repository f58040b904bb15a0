"""What an ablation found: the difference between each neighbour of the best network and the best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from records.runs import Ablation, Neighbour


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two means and the half-width of its 95% interval; None where either has a single value."""

    mean: float
    half: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.half is not None and abs(self.mean) > self.half


def difference(values: Sequence[float], reference: Sequence[float]) -> Difference | None:
    """The mean of values minus that of a reference, with unequal variances (Welch 1947); None without values."""
    if not values or not reference:
        return None
    mean = statistics.fmean(values) - statistics.fmean(reference)
    if min(len(values), len(reference)) < 2:
        return Difference(mean, None)
    parts = [(statistics.variance(each) / len(each), len(each) - 1) for each in (values, reference)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Difference(mean, 0.0)
    # Shares are squared, not the parts themselves, whose squares underflow for variances below 1e-162.
    freedom = 1 / sum((part / variance) ** 2 / degrees for part, degrees in parts)
    return Difference(mean, float(stdtrit(freedom, 0.975)) * math.sqrt(variance))


def by_effect(ablation: Ablation) -> list[tuple[Neighbour, Difference]]:
    """The trained neighbours that are different networks, with their difference to the best; the largest loss first."""
    found = [
        (each, apart)
        for each in ablation.neighbours
        if not each.is_same_network and (apart := difference(each.accuracies, ablation.accuracies)) is not None
    ]
    return sorted(found, key=lambda pair: pair[1].mean)
