"""Individuals, their fitness, and generations of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from records.fields import optional
from records.objectives import ACCURACY, OBJECTIVES
from records.texts import Chromosome, JobKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitness:
    """The result of a network by which selection ranks it.

    Networks within the limits rank first, then those trained for more epochs, then those with the
    higher `value`; ties go to the lower `loss`, then to fewer `parameters`. `violation` is the sum of
    the relative excesses over the limits (Deb 2000: the smaller violation wins). `latency` is in
    seconds for one image, None if it was not measured.
    """

    value: float
    loss: float = 0.0
    parameters: int = 0
    flops: int = 0
    latency: float | None = None
    epochs: int = 0
    violation: float = 0.0
    measured: tuple[tuple[str, float], ...] = optional(())  # the objectives that `Objective.measured` finds

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.loss)):
            raise ValueError(f"fitness must be finite, but is {self}; a failed training has None")

    @property
    def rank(self) -> tuple[float, int, float, float, int]:
        """Sort key, best first."""
        return (self.violation, -self.epochs, -self.value, self.loss, self.parameters)

    def objective(self, name: str) -> float:
        """An objective, to be minimised. Raises ValueError for one that was not measured."""
        if name == ACCURACY:
            return -self.value
        objective = OBJECTIVES[name]
        value: float | None = dict(self.measured).get(name) if objective.measured else getattr(self, name)
        if value is None:
            raise ValueError(f"the {name} of {self} is unknown: {objective.unmeasured}")
        return -value if objective.is_maximised else value

    def with_limits(self, limits: dict[str, float], latency: float | None) -> Fitness:
        """The same with its latency, and with the violation of these limits."""
        measured = replace(self, latency=latency)
        passed = (measured.objective(name) / limit - 1 for name, limit in limits.items())
        return replace(measured, violation=sum(max(0.0, share) for share in passed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The surrogate model's prediction of a network's fitness before its training: mean and standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Individual:
    """A member of a generation: its chromosome, its origin, its result."""

    generation: int
    index: int
    chromosome: Chromosome
    origin: str  # random, elite, crossover, mutation, crossover+mutation, known, SAMPLER, SAMPLER+mutation
    parents: tuple[str, ...] = ()  # names of individuals, as `name` gives them
    jobs: tuple[JobKey, ...] = ()  # keys
    fitness: Fitness | None = None
    failure: str | None = None  # the status and reason of a failed training
    earlier: tuple[Fitness, ...] = ()  # of the shorter trainings before the last
    forecast: Forecast | None = None

    @property
    def name(self) -> str:
        return f"gen{self.generation}/ind{self.index}"

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sort key, best first. It is unique, so the order of individuals never depends on chance."""
        place = (self.chromosome, self.generation, self.index)
        return (True, *place) if self.fitness is None else (False, *self.fitness.rank, *place)

    def evaluated(self, value: float | None, loss: float = 0.0, parameters: int = 0) -> Individual:
        """This individual with its fitness; None marks a failed evaluation."""
        return replace(self, fitness=None if value is None else Fitness(value=value, loss=loss, parameters=parameters))


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One evaluated generation."""

    number: int
    individuals: tuple[Individual, ...]

    @property
    def best(self) -> Individual:
        return min(self.individuals, key=lambda individual: individual.rank)


def all_individuals(generations: Iterable[Generation]) -> list[Individual]:
    """The individuals of all generations, in order of generation and index."""
    return [individual for generation in generations for individual in generation.individuals]


def best_measured(individuals: Iterable[Individual]) -> Individual | None:
    """The individual with the best fitness as measured, whatever a model makes of it; None if none has a fitness."""
    found = (individual for individual in individuals if individual.fitness is not None)
    return min(found, key=lambda individual: individual.rank, default=None)
