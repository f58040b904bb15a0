"""Several objectives at once: dominance, non-dominated sorting, crowding (NSGA-II, Deb et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from records import Fitness, Individual

Points = NDArray[np.float64]  # (individuals, objectives), all to be minimised


def dominance(points: Points) -> NDArray[np.bool_]:
    """(n, n): whether the row's point is nowhere worse than the column's, and better somewhere."""
    no_worse = np.asarray((points[:, None] <= points[None]).all(2))
    return no_worse & ~no_worse.T


def front_numbers(points: Points) -> NDArray[np.int64]:
    """(n,): 0 for the points that none dominates, 1 for those that only these dominate, and so on (Deb, sec. III-A)."""
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
    """(n,): how much room each point of one front has, the ends of each objective without bound (Deb, sec. III-B).

    The sum over the objectives of the gap between the point's two neighbours, as a share of the
    range of the front; an objective in which all are equal adds nothing. Of equal points all but the
    first have no room.
    """
    unique, first = np.unique(points, axis=0, return_index=True)
    room = np.zeros(len(unique))
    for column in unique.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        if spread > 0:
            room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
            room[order[[0, -1]]] = np.inf
    distance = np.zeros(len(points))
    distance[first] = room
    return distance


def pareto_order(points: Points) -> list[int]:
    """Indices, best first: by front, and within a front by room; ties in the order given."""
    fronts = front_numbers(points)
    room = np.zeros(len(points))
    for front in range(int(fronts.max(initial=-1)) + 1):
        members = fronts == front
        room[members] = crowding_distance(points[members])
    return [int(index) for index in np.lexsort((-room, fronts))]


def objective_points(fitnesses: Sequence[Fitness], objectives: Sequence[str]) -> Points:
    """The objectives of several networks as points, all to be minimised."""
    return np.array([[fitness.objective(name) for name in objectives] for fitness in fitnesses]).reshape(
        len(fitnesses), len(objectives)
    )


def rank(individuals: Sequence[Individual], objectives: Sequence[str]) -> list[Individual]:
    """Individuals, best first. With several objectives dominance decides among those that are comparable.

    Comparable are those that keep the limits and trained for equally many epochs; the others go by
    `Individual.rank`: within the limits first, then who trained longer, failures last.
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
    """Those that no other beats in all objectives, of the longest trained that keep the limits, by accuracy.

    Where none keeps the limits there is no front. Of equal networks the first is taken.
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
