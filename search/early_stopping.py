"""Early stopping of poor networks: successive halving within a generation, and the median rule."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import zip_longest

from records import Individual, RunState

RUNGS = 3


def rungs(epochs: int, factor: int) -> tuple[int, ...]:
    """The epochs of each rung: `epochs`/factor², `epochs`/factor, `epochs` (Jamieson & Talwalkar 2016).

    Each rung has at least one epoch and more than the one before. Unlike there, a network is trained
    from scratch at every rung.
    """
    shares = (epochs / factor**power for power in reversed(range(RUNGS)))
    return tuple(sorted({max(1, round(share)) for share in shares}))


def rungs_of(state: RunState) -> tuple[int, ...]:
    """The rungs of a run, in epochs; without halving there is one."""
    search, epochs = state.search, state.training.epochs
    return rungs(epochs, search.reduction_factor) if search.early_stopping == "halving" else (epochs,)


def training_name(individual: Individual, epochs: int, rungs: Sequence[int]) -> str:
    """The name under which a training keeps its weights: the individual's, with the epochs of a lower rung."""
    return individual.name if epochs == rungs[-1] else f"{individual.name}/epochs_{epochs}"


def epochs_spent(state: RunState) -> int:
    """Epochs of all trainings so far, whoever paid for them; a failed one counts as a whole."""
    return sum(len(result.epochs) or state.training.epochs for result in state.results.values())


def promoted(count: int, factor: int) -> int:
    """How many of `count` networks are promoted to the next rung."""
    return -(-count // factor)


def rung_sizes(count: int, epochs: int, factor: int) -> list[tuple[int, int]]:
    """For each rung: how many of `count` new networks reach it, and its epochs."""
    sizes = []
    for length in rungs(epochs, factor):
        sizes.append((count, length))
        count = promoted(count, factor)
    return sizes


def median_curve(curves: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The median score at each epoch, over the trainings that reached it (after Golovin et al. 2017, sec. 3.2)."""
    return tuple(statistics.median(value for value in values if value is not None) for values in zip_longest(*curves))


def affordable(most: int, epochs_left: float, epochs: int, factor: int) -> int:
    """How many new networks, at most `most`, can be trained through all rungs with `epochs_left` epochs in total."""
    costs = (sum(size * length for size, length in rung_sizes(count, epochs, factor)) for count in range(1, most + 1))
    return sum(cost <= epochs_left for cost in costs)
