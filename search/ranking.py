"""Multi-objective ranking by NSGA-II (Deb et al. 2002): dominance, non-dominated sorting, crowding distance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from records import Fitness, Individual

Points = NDArray[np.float64]  # (individuals, objectives), all to be minimised


def dominance(points: Points) -> NDArray[np.bool_]:
    """(n, n): whether the row's point dominates the column's: no worse in any objective, better in at least one."""
    no_worse = np.asarray((points[:, None] <= points[None]).all(2))
    return no_worse & ~no_worse.T


def front_numbers(points: Points) -> NDArray[np.int64]:
    """(n,): the front of each point: 0 if none dominates it, 1 if only points of front 0 do, and so on (sec. III-A)."""
    dominates = dominance(points)
    dominators = dominates.sum(0)
    numbers = np.full(len(points), -1)
    front = 0
    while (numbers < 0).any():
        members = (numbers < 0) & (dominators == 0)
        numbers[members] = front
        dominators = dominators - dominates[members].sum(0)
        front += 1
    return numbers


def crowding_distance(points: Points) -> Points:
    """(n,): the crowding distance of each point of one front (sec. III-B); infinite at the ends of each objective.

    An objective in which all points are equal contributes nothing. Of equal points, all but the first
    have distance 0.
    """
    unique, first = np.unique(points, axis=0, return_index=True)
    room = np.zeros(len(unique))
    for column in unique.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        if spread > 0:
            room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread  # crowding-distance-assignment
            room[order[[0, -1]]] = np.inf
    distance = np.zeros(len(points))
    distance[first] = room
    return distance


def pareto_order(points: Points) -> list[int]:
    """Indices in the crowded-comparison order (sec. III-B): by front, then by descending crowding distance."""
    fronts = front_numbers(points)
    room = np.zeros(len(points))
    for front in range(int(fronts.max(initial=-1)) + 1):
        members = fronts == front
        room[members] = crowding_distance(points[members])
    return [int(index) for index in np.lexsort((-room, fronts))]


def objective_points(fitnesses: Sequence[Fitness], objectives: Sequence[str]) -> Points:
    """(networks, objectives): the values of the objectives, all to be minimised."""
    return np.array([[fitness.objective(name) for name in objectives] for fitness in fitnesses]).reshape(
        len(fitnesses), len(objectives)
    )


def rank(individuals: Sequence[Individual], objectives: Sequence[str]) -> list[Individual]:
    """Individuals, best first. With several objectives, comparable individuals are ordered by `pareto_order`.

    Individuals are comparable if they are within the limits and trained for the same number of epochs.
    Otherwise `Individual.rank` decides: within the limits first, then more epochs, failures last.
    """
    ordered = sorted(individuals, key=lambda individual: individual.rank)
    if len(objectives) == 1:
        return ordered
    ranked: list[Individual] = []
    for comparable, group in groupby(ordered, key=_class):
        members = list(group)
        if comparable is not None and comparable[0] == 0:
            fitnesses = [member.fitness for member in members if member.fitness is not None]
            members = [members[index] for index in pareto_order(objective_points(fitnesses, objectives))]
        ranked += members
    return ranked


def _class(individual: Individual) -> tuple[float, int] | None:
    fitness = individual.fitness
    return None if fitness is None else (fitness.violation, fitness.epochs)


def pareto_front(individuals: Sequence[Individual], objectives: Sequence[str]) -> list[Individual]:
    """The non-dominated individuals among those within the limits that trained longest, by descending accuracy.

    It is empty if no individual is within the limits. Of several copies of a network the first is taken.
    """
    sound: dict[str, tuple[Individual, Fitness]] = {}
    for individual in individuals:
        if individual.fitness is not None and individual.fitness.violation == 0:
            sound.setdefault(
                individual.jobs[-1] if individual.jobs else individual.name, (individual, individual.fitness)
            )
    longest = max((fitness.epochs for _, fitness in sound.values()), default=0)
    members = [pair for pair in sound.values() if pair[1].epochs == longest]
    if not members:
        return []
    numbers = front_numbers(objective_points([fitness for _, fitness in members], objectives))
    front = [individual for (individual, _), number in zip(members, numbers, strict=True) if number == 0]
    return sorted(front, key=lambda individual: individual.rank)
