"""Fitness, individuals and generations."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from records import (
    Fitness,
    Generation,
    Individual,
)
from records.texts import Chromosome


@pytest.mark.parametrize(("value", "loss"), [(math.nan, 0.0), (0.5, math.nan), (0.5, math.inf), (-math.inf, 0.0)])
def test_a_fitness_that_is_not_finite_is_refused(value: float, loss: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Fitness(value=value, loss=loss)


def individual(chromosome: Chromosome, value: float | None, loss: float = 0.0, parameters: int = 0) -> Individual:
    return Individual(generation=2, index=7, chromosome=chromosome, origin="mutation").evaluated(
        value, loss, parameters
    )


def test_an_individual_is_named_by_generation_and_index() -> None:
    assert individual(Chromosome("01"), 0.5).name == "gen2/ind7"


def test_evaluating_adds_the_fitness_and_changes_nothing_else() -> None:
    asked = Individual(
        generation=2, index=7, chromosome=Chromosome("01"), origin="crossover", parents=("gen1/ind1", "gen1/ind2")
    )
    evaluated = asked.evaluated(0.5, loss=1.5, parameters=9)
    assert evaluated.fitness == Fitness(value=0.5, loss=1.5, parameters=9)
    assert replace(evaluated, fitness=None) == asked
    assert asked.evaluated(None) == asked


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (individual(Chromosome("11"), 0.6, 9.0, 99), individual(Chromosome("00"), 0.5, 0.1, 1)),
        (individual(Chromosome("11"), 0.5, 0.1, 99), individual(Chromosome("00"), 0.5, 0.2, 1)),
        (individual(Chromosome("11"), 0.5, 0.1, 10), individual(Chromosome("00"), 0.5, 0.1, 11)),
        (individual(Chromosome("01"), 0.5, 0.1, 10), individual(Chromosome("10"), 0.5, 0.1, 10)),
        (individual(Chromosome("11"), 0.0, 99.0, 99), individual(Chromosome("00"), None)),
        (individual(Chromosome("11"), -5.0), individual(Chromosome("00"), None)),
        (individual(Chromosome("00"), None), individual(Chromosome("11"), None)),
    ],
)
def test_ties_go_to_lower_loss_then_fewer_parameters_then_the_smaller_chromosome(
    better: Individual, worse: Individual
) -> None:
    assert better.rank < worse.rank
    assert Generation(number=2, individuals=(worse, better)).best is better
    assert Generation(number=2, individuals=(better, worse)).best is better


RICH = Fitness(value=0.5, loss=0.1, parameters=300, flops=2000, epochs=3)


def test_a_limit_that_is_kept_costs_nothing_and_one_that_is_passed_its_share() -> None:
    assert RICH.with_limits({"parameters": 300, "flops": 5000}, None) == RICH
    passed = RICH.with_limits({"parameters": 200, "flops": 1000, "latency": 0.02}, latency=0.01)
    assert passed.violation == pytest.approx(0.5 + 1.0)
    assert passed == replace(RICH, latency=0.01, violation=passed.violation)


def test_an_objective_that_was_not_measured_is_an_error() -> None:
    assert [RICH.objective(name) for name in ("accuracy", "parameters", "flops")] == [-0.5, 300, 2000]
    with pytest.raises(ValueError, match=r"latency of .* was not measured"):
        RICH.objective("latency")
    with pytest.raises(ValueError, match=r"latency of .* was not measured"):
        RICH.with_limits({"latency": 1.0}, None)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (replace(RICH, value=0.1, epochs=1), replace(RICH, violation=0.01)),  # limits come first
        (replace(RICH, violation=0.1), replace(RICH, violation=0.2, value=0.9)),
        (replace(RICH, value=0.1), replace(RICH, epochs=1, value=0.9)),  # then the longer training
        (replace(RICH, value=0.6, loss=9.0), RICH),
    ],
)
def test_limits_come_before_epochs_and_epochs_before_accuracy(better: Fitness, worse: Fitness) -> None:
    assert better.rank < worse.rank
