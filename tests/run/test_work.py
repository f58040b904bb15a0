"""A run at work: limits, and the latency of networks."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.faults.small_run import (
    birth,
)
from tests.small_runs import evolve, value


def test_a_network_over_a_limit_loses_to_all_within(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, max_parameters=500_000, population=8))
    for each in run.individuals():
        result = run.state.results[each.jobs[-1]]
        assert each.fitness is not None
        assert each.fitness.violation == pytest.approx(max(0.0, result.parameters / 500_000 - 1))
    assert any(value(each) and each.fitness and each.fitness.violation > 0 for each in run.individuals())
    best = run.work.engine.best
    assert best is not None
    within = [each for each in run.individuals() if each.fitness and each.fitness.violation == 0]
    assert value(best) == max(value(each) for each in within)
    assert not [line for line in run.lines if "keeps the limits" in line]


@pytest.mark.parametrize("surrogate", ["off", "auto"])
def test_where_no_network_keeps_the_limits_the_closest_is_named(surrogate: str, tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, max_parameters=10, max_flops=7, population=9, surrogate=surrogate))
    for generation in run.state.generations:
        closest = min(generation.individuals, key=lambda each: each.fitness.violation if each.fitness else math.inf)
        assert closest.fitness is not None
        assert (
            f"no network of generation {generation.number} keeps the limits; {closest.name} comes closest with "
            f"{closest.fitness.parameters:,} parameters (limit 10 parameters), "
            f"{closest.fitness.flops / 1e6:,.2f} MFLOPs (limit 0.00 MFLOPs)"
        ) in run.lines


def test_latency_is_measured_once_for_each_network_where_it_counts(tmp_path: Path) -> None:
    measured: list[str] = []

    def latency(network: str) -> float:
        measured.append(network)
        return 0.001 * (1 + len(measured))

    state = birth(0, "rich", objectives=("accuracy", "latency"), max_latency=5.0)
    run = evolve(tmp_path / "run", state, latency=latency)
    distinct = {run.work.space.phenotype(each.chromosome) for each in run.individuals()}
    assert len(measured) == len(set(measured)) == len(distinct) == 15
    for each in run.individuals():
        assert each.fitness is not None
        assert each.fitness.latency == pytest.approx(
            0.001 * (2 + measured.index(run.work.space.network(each.chromosome)))
        )
        assert each.fitness.violation == pytest.approx(max(0.0, (each.fitness.latency or 0.0) / 0.005 - 1))
    again = evolve(tmp_path / "run", latency=latency)
    assert again.state.generations == run.state.generations
    assert len(measured) == 15  # what was measured is in the state


def test_latency_is_not_measured_where_nobody_asks(tmp_path: Path) -> None:
    def latency(network: str) -> float:
        raise AssertionError

    run = evolve(tmp_path, birth(0), latency=latency)
    assert all(each.fitness and each.fitness.latency is None for each in run.individuals())
