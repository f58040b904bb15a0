"""The accuracies of individuals: those that can be compared, and the best so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from records import Fitness, Individual
from search.surrogate import Rungs


def accuracies_by_epochs(individual: Individual) -> dict[int, float]:
    """The accuracy of an individual after each of its trainings, by their number of epochs."""
    fitnesses: tuple[Fitness | None, ...] = (*individual.earlier, individual.fitness)
    return {fitness.epochs: fitness.value for fitness in fitnesses if fitness is not None}


def common_epochs(individuals: Iterable[Individual]) -> int:
    """The epochs of the longest training that all individuals completed; 0 if none has succeeded.

    With early stopping, it is the only length after which all can be compared.
    """
    lengths = [set(curve) for each in individuals if (curve := accuracies_by_epochs(each))]
    return max(set.intersection(*lengths), default=0) if lengths else 0


def longest_epochs(individuals: Sequence[Individual]) -> int:
    """The epochs of the longest training that succeeded; 0 if none has."""
    return max((each.fitness.epochs for each in individuals if each.fitness), default=0)


def best_so_far(individuals: Iterable[Individual]) -> Iterator[float | None]:
    """The accuracy of the best individual up to each one, as selection ranks them; None before the first success."""
    best: Individual | None = None
    for individual in individuals:
        if individual.fitness is not None and (best is None or individual.rank < best.rank):
            best = individual
        yield None if best is None or best.fitness is None else best.fitness.value


def comparable(individuals: Sequence[Individual]) -> dict[str, float]:
    """The accuracy of each individual by name, rescaled to that of the longest training."""
    rungs = Rungs(individuals)
    aligned = {each.name: rungs.aligned(each) for each in individuals}
    return {name: float(rungs.restored(np.array(value))) for name, value in aligned.items() if value is not None}
