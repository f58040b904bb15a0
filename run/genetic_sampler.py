"""The genetic algorithm as a sampler for your own Optuna studies. Needs the package `optuna`.

study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=0))
study.optimize(lambda trial: sum(trial.suggest_int(f"x{n}", 0, 7) for n in range(10)), n_trials=200)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Fitness, Generation, Individual
from records.canonical import content_hash
from records.texts import Chromosome
from search.base import BitStrings
from search.ranking import pareto_order

LARGEST = 1e300  # differences of objectives stay finite


DEFAULTS = EvolutionConfig()
MISSING = object()  # None may be a choice
Choice = CategoricalDistribution | IntDistribution


@dataclass(frozen=True, slots=True)
class ChoiceSpace(BitStrings):
    """Chromosomes that code for one choice of each parameter.

    A parameter with n choices has as many bits as n - 1. They hold the Gray code of a number; the
    numbers are divided evenly among the choices.
    """

    parameters: Mapping[str, Choice]
    phenotypes: dict[Chromosome, str] = field(
        default_factory=dict, compare=False, repr=False
    )  # by chromosome, as they come up
    chromosomes: dict[tuple[Any, ...], Chromosome | None] = field(
        default_factory=dict, compare=False, repr=False
    )  # by values

    @classmethod
    def of(cls, parameters: Mapping[str, Choice]) -> ChoiceSpace:
        return cls(sum(bits_for(each) for each in parameters.values()), parameters)

    def indices(self, chromosome: Chromosome) -> dict[str, int]:
        """The index of the choice of each parameter."""
        found, start = {}, 0
        for name, each in self.parameters.items():
            end = start + bits_for(each)
            found[name] = from_gray(int(chromosome[start:end], 2)) * choices(each) >> (end - start)
            start = end
        return found

    def phenotype(self, chromosome: Chromosome) -> str:
        if chromosome not in self.phenotypes:
            self.phenotypes[chromosome] = " ".join(map(str, self.indices(chromosome).values()))
        return self.phenotypes[chromosome]

    def values(self, chromosome: Chromosome) -> dict[str, Any]:
        """The value of each parameter."""
        return {name: value_at(self.parameters[name], index) for name, index in self.indices(chromosome).items()}

    def chromosome(self, values: Mapping[str, Any]) -> Chromosome | None:
        """The first chromosome that codes for these values; None if one is missing or is no choice."""
        known = tuple(values.get(name, MISSING) for name in self.parameters)
        if known not in self.chromosomes:
            whole = all(name in values and is_choice(each, values[name]) for name, each in self.parameters.items())
            texts = (gray_text(each, values[name]) for name, each in self.parameters.items())
            self.chromosomes[known] = Chromosome("".join(texts)) if whole else None
        return self.chromosomes[known]


def is_choice(parameter: Choice, value: Any) -> bool:
    try:
        return 0 <= index_of(parameter, value) < choices(parameter) and (
            value_at(parameter, index_of(parameter, value)) == value
        )
    except (ValueError, TypeError):
        return False


def gray_text(parameter: Choice, value: Any) -> str:
    """The Gray code of the first number that belongs to a choice."""
    bits = bits_for(parameter)
    place = -(-(index_of(parameter, value) << bits) // choices(parameter))
    return f"{place ^ (place >> 1):0{bits}b}"


def choices(parameter: Choice) -> int:
    """The number of values of a parameter."""
    if isinstance(parameter, CategoricalDistribution):
        return len(parameter.choices)
    return (parameter.high - parameter.low) // parameter.step + 1


def bits_for(parameter: Choice) -> int:
    return (choices(parameter) - 1).bit_length()


def value_at(parameter: Choice, index: int) -> Any:
    if isinstance(parameter, CategoricalDistribution):
        return parameter.choices[index]
    return parameter.low + index * parameter.step


def index_of(parameter: Choice, value: Any) -> int:
    if isinstance(parameter, CategoricalDistribution):
        return int(parameter.to_internal_repr(value))
    return int((value - parameter.low) // parameter.step)


def from_gray(code: int) -> int:
    """The number whose Gray code this is (Gray 1953)."""
    number = code
    while code := code >> 1:
        number ^= code
    return number


class GeneticSampler(BaseSampler):
    """Samples the categorical and integer parameters of a study by the genetic algorithm.

    The parents of a trial are the best `population` distinct complete trials, by NSGA-II if there are
    several objectives. Two parents that win tournaments are crossed and mutated; a known trial is
    mutated further. Values are drawn at random until there are enough parents, and for float parameters
    and parameters that not all trials have. A trial depends only on the seed, its number and the
    earlier trials, so a reloaded study continues as if it had never been interrupted.

    The parameters are those of `EvolutionConfig`. Raises `InputError` (a ValueError) for values that
    are out of range.
    """

    def __init__(
        self,
        *,
        population: int = DEFAULTS.population,
        tournament_size: int = DEFAULTS.tournament_size,
        crossover: str = DEFAULTS.crossover,
        crossover_prob: float = DEFAULTS.crossover_prob,
        mutation_prob: float | None = DEFAULTS.mutation_prob,
        seed: int | None = None,
    ) -> None:
        self.config = EvolutionConfig(
            population=population,
            tournament_size=tournament_size,
            crossover=crossover,
            crossover_prob=crossover_prob,
            mutation_prob=mutation_prob,
            elitism=0,  # the best remain parents
            surrogate="off",
            seed=int.from_bytes(os.urandom(8)) if seed is None else seed,
        )
        self._common = IntersectionSearchSpace()
        self._last = ChoiceSpace.of({})

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The categorical and integer parameters with more than one value that all trials have."""
        common = self._common.calculate(study)
        return {name: each for name, each in common.items() if isinstance(each, Choice) and not each.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for a trial, bred from the best so far; empty while there are too few trials."""
        if not search_space:
            return {}
        space = self._remember({name: each for name, each in search_space.items() if isinstance(each, Choice)})
        trials = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        ranked = best_first([each for each in trials if each.state == TrialState.COMPLETE], study.directions)
        parents = distinct(space, ranked)[: self.config.population]
        if len(parents) < self.config.population:
            return {}
        config = replace(self.config, seed=self._seed(trial))
        generations = [generation(1, distinct(space, trials)), generation(2, parents)]
        (bred,) = GeneticAlgorithm(config, space, generations).ask(1)
        return space.values(bred.chromosome)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value drawn at random."""
        random = RandomSampler(seed=self._seed(trial, param_name) % 2**32)
        return random.sample_independent(study, trial, param_name, param_distribution)

    def _remember(self, parameters: Mapping[str, Choice]) -> ChoiceSpace:
        """The space of these parameters; the last one, with its caches, if it is the same."""
        space, last = ChoiceSpace.of(parameters), self._last
        if last != space:
            self._last = last = space
        return last

    def _seed(self, trial: FrozenTrial, *more: str) -> int:
        return int(content_hash([self.config.seed, trial.number, *more])[:16], 16)


def best_first(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Complete trials by NSGA-II, the youngest of equals first, so that a search drifts over plateaus."""
    youngest_first = sorted(trials, key=lambda trial: -trial.number)
    signs = [-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in directions]
    points = np.array([trial.values for trial in youngest_first]).reshape(-1, len(signs)) * signs
    points = np.clip(points, -LARGEST, LARGEST)
    order = np.argsort(points[:, 0], kind="stable") if len(signs) == 1 else pareto_order(points)
    return [youngest_first[index] for index in order]


def distinct(space: ChoiceSpace, trials: Sequence[FrozenTrial]) -> list[Chromosome]:
    """The distinct chromosomes of trials; trials with other parameters are left out."""
    found = dict.fromkeys(space.chromosome(each.params) for each in trials)
    return [text for text in found if text is not None]


def generation(number: int, chromosomes: Sequence[Chromosome]) -> Generation:
    """A generation of chromosomes, best first."""
    individuals = [
        Individual(
            generation=number, index=place, chromosome=text, origin="random", fitness=Fitness(value=float(-place))
        )
        for place, text in enumerate(chromosomes, 1)
    ]
    return Generation(number=number, individuals=tuple(individuals))
