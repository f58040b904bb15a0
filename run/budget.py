"""How many individuals a run's budget still pays for."""

from __future__ import annotations

from records import RunState
from search.early_stopping import affordable, epochs_spent


def individuals_left(state: RunState) -> int | None:
    """How many new individuals the budget allows in the next generation; None where generations are counted."""
    search, epochs = state.search, state.training.epochs
    if search.budget is None:
        return None
    left = (search.budget - search.final_trainings) * epochs - epochs_spent(state)
    if search.early_stopping == "halving":
        return affordable(search.population, left, epochs, search.reduction_factor)
    return max(0, min(search.population, int(left // epochs)))


def is_over(state: RunState) -> bool:
    """Whether no generation follows."""
    left = individuals_left(state)
    return state.generation >= state.search.generations if left is None else left == 0
