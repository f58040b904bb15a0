"""Several objectives: fronts and crowding as another implementation has them, limits before all else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance  # type: ignore[import-untyped]
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting  # type: ignore[import-untyped]

from records import Fitness, Individual
from records.objectives import OBJECTIVES
from records.texts import Chromosome, JobKey
from search.ranking import (
    Points,
    crowding_distance,
    dominance,
    front_numbers,
    objective_points,
    pareto_front,
    pareto_order,
    rank,
)

CASES = 1000
relaxed = settings(deadline=None, max_examples=100)


def random_points(seed: int) -> Points:
    """Up to 40 points of 2 to 4 objectives; every second case is full of ties."""
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, 41)), int(rng.integers(2, 5))
    return rng.integers(0, 5, shape).astype(float) if seed % 2 else rng.normal(size=shape)


def for_all_cases(check: Callable[[Points], None]) -> None:
    for seed in range(CASES):
        try:
            check(random_points(seed))
        except AssertionError as error:
            raise AssertionError(f"case {seed}: {error}") from error


def test_fronts_are_those_of_pymoo() -> None:
    def check(points: Points) -> None:
        fronts = NonDominatedSorting().do(points)
        expected = np.full(len(points), -1)
        for number, members in enumerate(fronts):
            expected[members] = number
        assert front_numbers(points).tolist() == expected.tolist()

    for_all_cases(check)


def test_crowding_distances_are_those_of_pymoo() -> None:
    def check(points: Points) -> None:
        unique = np.unique(points, axis=0)
        if len(unique) > 1:  # one alone has no neighbours
            expected = calc_crowding_distance(unique) * points.shape[1]
            np.testing.assert_allclose(crowding_distance(unique), expected, rtol=1e-12)

    for_all_cases(check)


def test_of_equal_points_one_alone_has_room() -> None:
    def check(points: Points) -> None:
        doubled = np.concatenate([points, points])
        unique, first = np.unique(doubled, axis=0, return_index=True)
        room = crowding_distance(doubled)
        assert room[first].tolist() == crowding_distance(unique).tolist()
        assert not np.delete(room, first).any()

    for_all_cases(check)


def test_the_order_is_by_front_and_then_by_room() -> None:
    def check(points: Points) -> None:
        order, fronts = pareto_order(points), front_numbers(points)
        assert sorted(order) == list(range(len(points)))
        assert np.all(np.diff(fronts[order]) >= 0)
        for front in range(fronts.max() + 1):
            members = [index for index in order if fronts[index] == front]
            alone = np.flatnonzero(fronts == front)
            room = dict(zip(alone.tolist(), crowding_distance(points[alone]).tolist(), strict=True))
            assert [room[index] for index in members] == sorted(room.values(), reverse=True)

    for_all_cases(check)


def test_no_points_have_no_order() -> None:
    assert pareto_order(objective_points([], ("accuracy", "flops"))) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
@relaxed
def test_a_point_dominates_what_is_nowhere_better_and_somewhere_worse(rows: list[tuple[int, int]]) -> None:
    found = dominance(np.array(rows, dtype=float))
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            expected = all(a <= b for a, b in zip(one, other, strict=True)) and one != other
            assert found[i, j] == expected


# Individuals

fitnesses = st.builds(
    Fitness,
    value=st.integers(0, 3).map(lambda value: value / 4),
    loss=st.sampled_from([0.0, 1.0]),
    parameters=st.integers(1, 4),
    flops=st.integers(1, 3),
    latency=st.sampled_from([0.1, 0.2]),
    epochs=st.sampled_from([1, 3]),
    violation=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    measured=st.tuples(
        *(st.tuples(st.just(name), st.sampled_from([1.0, 2.0])) for name, each in OBJECTIVES.items() if each.measured)
    ),
)
objective_names = st.lists(st.sampled_from(list(OBJECTIVES)[1:]), min_size=1, unique=True).map(
    lambda others: ("accuracy", *others)
)


@st.composite
def populations(draw: st.DrawFn) -> list[Individual]:
    found = draw(st.lists(st.none() | fitnesses, max_size=12))
    return [
        Individual(
            generation=1,
            index=index,
            chromosome=Chromosome(f"{index:04b}"),
            origin="random",
            jobs=(JobKey(f"job{index}"),),
            fitness=each,
        )
        for index, each in enumerate(found, 1)
    ]


def dominates(one: Fitness, other: Fitness, names: tuple[str, ...]) -> bool:
    pairs = [(one.objective(name), other.objective(name)) for name in names]
    return all(mine <= theirs for mine, theirs in pairs) and any(mine < theirs for mine, theirs in pairs)


@given(populations(), objective_names)
@relaxed
def test_limits_come_first_then_epochs_then_dominance(individuals: list[Individual], names: tuple[str, ...]) -> None:
    ranked = rank(individuals, names)
    assert sorted(each.name for each in ranked) == sorted(each.name for each in individuals)
    for place, better in enumerate(ranked):
        for worse in ranked[place + 1 :]:
            if worse.fitness is None:
                continue
            assert better.fitness is not None  # a failure beats nobody
            one, other = better.fitness, worse.fitness
            assert (one.violation, -one.epochs) <= (other.violation, -other.epochs)
            if (one.violation, one.epochs) == (other.violation, other.epochs):
                if one.violation == 0:
                    assert not dominates(other, one, names)
                else:
                    assert better.rank < worse.rank


@given(populations())
@relaxed
def test_with_one_objective_the_order_is_that_of_the_records(individuals: list[Individual]) -> None:
    assert rank(individuals, ("accuracy",)) == sorted(individuals, key=lambda individual: individual.rank)


@given(populations(), objective_names)
@relaxed
def test_no_member_of_the_front_is_dominated_and_every_outsider_is(
    individuals: list[Individual], names: tuple[str, ...]
) -> None:
    front = pareto_front(individuals, names)
    sound = [(each, each.fitness) for each in individuals if each.fitness and each.fitness.violation == 0]
    longest = max((fitness.epochs for _, fitness in sound), default=0)
    eligible = {each.name: fitness for each, fitness in sound if fitness.epochs == longest}
    members = [each.name for each in front]
    assert set(members) <= eligible.keys()
    assert bool(members) == bool(eligible)
    for name, fitness in eligible.items():
        is_dominated = any(dominates(eligible[member], fitness, names) for member in members)
        assert is_dominated != (name in members)
    assert [each.name for each in sorted(front, key=lambda individual: individual.rank)] == members


def test_a_network_that_lives_on_stands_on_the_front_once() -> None:
    first = Individual(
        generation=1,
        index=1,
        chromosome=Chromosome("0"),
        origin="random",
        jobs=(JobKey("a"),),
        fitness=Fitness(value=0.5, parameters=3),
    )
    elite = replace(first, generation=2, origin="elite")
    twin = replace(first, index=2, jobs=(JobKey("b"),))
    assert pareto_front([first, elite, twin], ("accuracy", "parameters")) == [first, twin]


def test_where_no_network_keeps_the_limits_there_is_no_front() -> None:
    passed = Individual(
        generation=1, index=1, chromosome=Chromosome("0"), origin="random", fitness=Fitness(value=0.5, violation=0.1)
    )
    assert pareto_front([passed], ("accuracy", "flops")) == []
    assert pareto_front([], ("accuracy", "flops")) == []
