"""The settings of the search."""

from __future__ import annotations

import math
from dataclasses import dataclass

from records.fields import require, require_choices, setting
from records.objectives import ACCURACY, OBJECTIVES

OPTUNA = "optuna:"  # and the name of a sampler
AUTO_FINALISTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolutionConfig:
    """The settings of the search. Raises `InputError` for values that have no meaning."""

    generations: int = setting(20, "generations to evolve, counted from 1", resume=True)
    budget: int | None = setting(
        None, "end after so many full trainings instead; shorter ones count by their epochs (default: no)", resume=True
    )
    population: int = setting(10, "individuals in each generation")
    algorithm: str = setting(
        "genetic",
        "the search algorithm by its name in `search.registry`, or a sampler of Optuna",
    )
    scheme: str = setting(
        "generations",
        "generations: each is bred when the one before has ended; steady_state: whenever a device falls free an "
        "offspring is bred for it, so the search depends on which training ends first",
        ("generations", "steady_state"),
    )
    crossover: str = setting("uniform", "crossover operator", ("uniform", "one_point", "two_point"))
    crossover_prob: float = setting(0.9, "probability that two parents are crossed, 0 to 1")
    mutation_prob: float | None = setting(None, "probability that a bit is flipped, 0 to 1 (default: 1/length)")
    tournament_size: int = setting(3, "individuals drawn for each tournament")
    elitism: int = setting(2, "best individuals carried over unchanged; none with --scheme steady_state")
    surrogate: str = setting(
        "auto",
        "auto: a model of the results so far screens the offspring of the genetic algorithm",
        ("auto", "off"),
    )
    early_stopping: str = setting(
        "halving",
        "halving: all train for few epochs, the best go on to more; median: a training under the median ends; "
        "none with --scheme steady_state",
        ("none", "halving", "median"),
    )
    reduction_factor: int = setting(3, "of halving: one in so many goes on, to so many times the epochs")
    objectives: tuple[str, ...] = setting(
        (ACCURACY,), "what to optimise: accuracy, and any of the others", tuple(OBJECTIVES)
    )
    max_parameters: int | None = setting(
        None, "a limit: networks of more parameters lose to all that keep it (default: none)"
    )
    max_flops: int | None = setting(None, "the same for FLOPs of one image (default: none)")
    max_latency: float | None = setting(
        None, "the same for milliseconds to classify one image, as measured (default: none)"
    )
    finalists: int | None = setting(
        None,
        f"train so many of the best again with fresh seeds, and pick by the mean (default: {AUTO_FINALISTS}, "
        "where their trainings are at most a tenth of the run's individuals)",
        resume=True,
    )
    final_seeds: int = setting(3, "fresh seeds for each finalist", resume=True)
    final_epochs: int | None = setting(
        None,
        "train the best once more for this many epochs, on training and validation data (default: no)",
        resume=True,
    )
    ablation: bool = setting(
        False,
        "after the last generation, train every network that differs from the best in one bit, with --final_seeds "
        "fresh seeds each (beyond --budget)",
        resume=True,
    )
    seed: int = setting(0, "seed of the search (splits and trainings do not depend on it)")
    encoding: str = setting(
        "standard",
        "what the bits of a chromosome mean: standard (19 bits), extended (33 bits: also residual connections, "
        "learning rate, ...), or a JSON file with a gene table of your own (see docs/encoding.md)",
    )

    def __post_init__(self) -> None:
        require_choices(self)
        self._check_search()
        self._check_objectives()
        self._check_lengths()

    def _check_search(self) -> None:
        require(bool(self.algorithm), "algorithm", "the name of an algorithm", "empty")
        require(bool(self.encoding), "encoding", "standard, extended or a JSON file", "empty")
        require(self.generations >= 1, "generations", "at least 1", self.generations)
        require(self.population >= 2, "population", "at least 2", self.population)
        for name in ("crossover_prob", "mutation_prob"):
            value = getattr(self, name)
            require(value is None or 0 <= value <= 1, name, "between 0 and 1", value)
        expected = f"between 1 and the population ({self.population})"
        require(1 <= self.tournament_size <= self.population, "tournament_size", expected, self.tournament_size)
        expected = f"at least 0 and under the population ({self.population})"
        require(0 <= self.elitism < self.population, "elitism", expected, self.elitism)
        require(self.reduction_factor >= 2, "reduction_factor", "at least 2", self.reduction_factor)
        if self.scheme == "steady_state":
            why = "with --scheme steady_state, whose networks wait for no others (or use --scheme generations)"
            require(self.early_stopping == "none", "early_stopping", f"none {why}", self.early_stopping)
            require(self.algorithm == "genetic", "algorithm", f"genetic {why}", self.algorithm)

    def _check_objectives(self) -> None:
        is_sound = self.objectives[:1] == (ACCURACY,) and len(set(self.objectives)) == len(self.objectives)
        expected = f"{ACCURACY} and then any of {', '.join(list(OBJECTIVES)[1:])}, each once"
        require(is_sound, "objectives", expected, " ".join(self.objectives))
        for name in ("max_parameters", "max_flops"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, "at least 1", value)
        latency = self.max_latency
        require(latency is None or (math.isfinite(latency) and latency > 0), "max_latency", "a number over 0", latency)

    def _check_lengths(self) -> None:
        for name in ("budget", "final_seeds", "final_epochs"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, "at least 1", value)
        if self.finalists is not None:
            most = self.budget or self.generations * self.population
            expected = f"between 0 and the number of individuals ({most})"
            require(0 <= self.finalists <= most, "finalists", expected, self.finalists)
        if self.budget is not None:
            expected = f"more than what the finalists take ({self.finalists_trained} × {self.final_seeds})"
            require(self.budget > self.final_trainings, "budget", expected, self.budget)
        require(self.seed >= 0, "seed", "0 or more", self.seed)

    @property
    def sampler(self) -> str | None:
        """The name of the sampler of Optuna that proposes the networks; None where none does."""
        return self.algorithm.removeprefix(OPTUNA) if self.algorithm.startswith(OPTUNA) else None

    @property
    def finalists_trained(self) -> int:
        """How many finalists there are; where nobody said, none in a run of few individuals."""
        if self.finalists is not None:
            return self.finalists
        run = self.budget or self.generations * self.population
        return AUTO_FINALISTS if 10 * AUTO_FINALISTS * self.final_seeds <= run else 0

    @property
    def final_trainings(self) -> int:
        """How many trainings the finalists take together."""
        return self.finalists_trained * self.final_seeds

    def trainings_after(self, loci: int) -> int:
        """How many trainings follow the last generation, at most, where so many loci code for something."""
        return self.final_trainings + (self.final_seeds * (loci + 1) if self.ablation else 0)

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by objective, in the unit of the fitness."""
        flags = {name: each.limit for name, each in OBJECTIVES.items() if each.limit is not None}
        found = {name: getattr(self, flag) for name, flag in flags.items()}
        return {name: limit / OBJECTIVES[name].limit_scale for name, limit in found.items() if limit is not None}

    @property
    def size_limits(self) -> dict[str, float]:
        """The limits that a network is known to keep or to exceed before it is trained."""
        return {name: limit for name, limit in self.limits.items() if OBJECTIVES[name].proxy is None}

    @property
    def needs_latency(self) -> bool:
        return "latency" in self.objectives or "latency" in self.limits
