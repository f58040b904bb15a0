"""How far a run has come: the level of each generation, and what had been spent when each individual was evaluated."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from records import Generation, Individual, RunState
from records.individuals import all_individuals
from reporting.analysis.accuracies import accuracies_by_epochs


@dataclass(frozen=True, slots=True)
class Spent:
    """An individual, and what the run had spent when it was evaluated."""

    individual: Individual
    trainings: float  # in units of full trainings; shorter ones count by their share of the epochs
    device_hours: float


def spending(state: RunState) -> list[Spent]:
    """Every individual with the total cost of its trainings and those of all individuals before it."""
    seen: set[str] = set()
    found: list[Spent] = []
    trainings = hours = 0.0
    for individual in all_individuals(state.generations):
        for key in individual.jobs:
            if key not in seen:
                seen.add(key)
                result = state.results[key]
                # A failed training counts as a full one, as it does for a budget.
                trainings += (len(result.epochs) or state.training.epochs) / state.training.epochs
                hours += 0.0 if result.cost.reused else result.cost.seconds / 3600
        found.append(Spent(individual, trainings, hours))
    return found


@dataclass(frozen=True, slots=True)
class Level:
    """The accuracies of a generation after the same number of epochs, without failures."""

    generation: int
    mean: float
    quartiles: tuple[float, float, float]


def levels(generations: Sequence[Generation], epochs: int) -> list[Level]:
    """The level of each generation after this number of epochs; generations of failures alone are left out."""
    found = []
    for generation in generations:
        curves = [accuracies_by_epochs(individual) for individual in generation.individuals]
        values = [curve[epochs] for curve in curves if epochs in curve]
        if values:
            low, middle, high = (float(value) for value in np.percentile(values, [25, 50, 75]))
            found.append(Level(generation.number, statistics.fmean(values), (low, middle, high)))
    return found
