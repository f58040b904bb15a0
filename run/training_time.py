"""Predicts how long a training takes: from its FLOPs before the first one, corrected by those measured since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space.architecture import Architecture
from search_space.cost import model_cost

# Seconds for a FLOP on maps that are not small, for one on small maps, for a value that is kept, for a weight in
# one step, and for a layer of one step; on one core with AMX. On another device all of them are others by about the
# same factor, which one measured training tells.
PRIOR = np.array([1.2e-12, 2.5e-12, 2e-9, 2e-9, 4e-4])
TRUST = 0.3  # in the prior's proportions, against the residuals of the trainings measured


@dataclass(frozen=True, slots=True)
class Effort:
    """What a training has to do: images seen, steps made, and the network that it is done with."""

    architecture: Architecture
    images: int  # seen in all epochs
    batch: int

    @property
    def features(self) -> NDArray[np.float64]:
        """FLOPs on larger and on small maps, values kept, weights and layers, of all images and steps."""
        cost, steps = model_cost(self.architecture), self.images / self.batch
        # Forward, and twice as much backward.
        work = [3 * (cost.flops - cost.small_flops), 3 * cost.small_flops, cost.activations]
        launches = [cost.parameters, cost.layers]
        return np.array([*(value * self.images for value in work), *(value * steps for value in launches)], float)


class TrainingTime:
    """Seconds of a training, as a sum of what it has to do, each part at a price.

    The prices minimise the relative errors on what was measured, held near the prior's proportions
    (ridge regression, Hoerl & Kennard 1970), so that one measurement is enough to begin with. A pure
    function of the measurements, their order included.
    """

    def __init__(self, measured: Sequence[tuple[Effort, float]] = ()) -> None:
        self._prices = PRIOR
        if not measured:
            return
        features = np.stack([effort.features for effort, _ in measured])  # (n, 5)
        seconds = np.array([max(value, 1e-6) for _, value in measured])
        prior = PRIOR * np.median(seconds / (features @ PRIOR))
        # In units of the prior, and of each training's seconds: relative to both.
        matrix = np.vstack([features * prior / seconds[:, None], TRUST * np.eye(len(PRIOR))])
        target = np.concatenate([np.ones(len(seconds)), np.full(len(PRIOR), TRUST)])
        factors = np.linalg.lstsq(matrix, target, rcond=None)[0]
        self._prices = prior * np.clip(factors, 0.01, 100.0)

    def seconds(self, effort: Effort) -> float:
        """The expected seconds of a training; before the first measurement only their order means anything."""
        return float(effort.features @ self._prices)
