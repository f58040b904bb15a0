"""The settings of the search."""

from __future__ import annotations

import math
from dataclasses import dataclass

from records.fields import require, require_sound, setting
from records.objectives import ACCURACY, OBJECTIVES
from records.training_settings import MOST_EPOCHS

OPTUNA = "optuna:"  # followed by the name of a sampler
AUTO_FINALISTS = 3
MOST_GENERATIONS, MOST_POPULATION, MOST_INDIVIDUALS, MOST_SEEDS = 1_000_000, 100_000, 100_000_000, 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolutionConfig:
    """The settings of the search. Raises `InputError` for values that are out of range or contradict each other."""

    generations: int = setting(20, "number of generations", resume=True, most=MOST_GENERATIONS)
    budget: int | None = setting(
        None,
        "total number of full trainings, in place of --generations; shorter ones count by their epochs (default: none)",
        resume=True,
        most=MOST_INDIVIDUALS,
    )
    population: int = setting(10, "individuals in each generation", most=MOST_POPULATION)
    algorithm: str = setting(
        "genetic",
        "search algorithm",
    )
    scheme: str = setting(
        "generations",
        "generations: a whole generation is trained before the next is bred; steady_state: a new offspring is bred "
        "whenever a device becomes idle, so the search depends on the order in which trainings end",
        ("generations", "steady_state"),
    )
    crossover: str = setting("uniform", "crossover operator", ("uniform", "one_point", "two_point"))
    crossover_prob: float = setting(0.9, "probability of crossover, 0 to 1")
    mutation_prob: float | None = setting(None, "probability that a bit is flipped, 0 to 1 (default: 1/length)")
    tournament_size: int = setting(3, "tournament size for the selection of parents")
    elitism: int = setting(
        2, "number of best individuals copied unchanged into the next generation (not with --scheme steady_state)"
    )
    surrogate: str = setting(
        "auto",
        "auto: a surrogate model of the results so far selects which offspring of the genetic algorithm are trained",
        ("auto", "off"),
    )
    early_stopping: str = setting(
        "halving",
        "halving: every network trains for few epochs, and the best train again for more; median: a training whose "
        "score falls below the median is stopped; must be none with --scheme steady_state",
        ("none", "halving", "median"),
    )
    reduction_factor: int = setting(3, "with halving: 1/N of the networks are promoted, to N times as many epochs")
    objectives: tuple[str, ...] = setting(
        (ACCURACY,), "objectives to optimise; accuracy is always the first", tuple(OBJECTIVES)
    )
    max_parameters: int | None = setting(
        None, "limit on parameters; networks over a limit rank below all others (default: none)"
    )
    max_flops: int | None = setting(None, "limit on FLOPs for one image (default: none)")
    max_latency: float | None = setting(
        None, "limit on the measured latency of one image, in milliseconds (default: none)"
    )
    finalists: int | None = setting(
        None,
        f"number of the best networks to train again with new seeds; the best mean wins (default: {AUTO_FINALISTS} if "
        "that takes at most a tenth of the run's trainings, otherwise 0)",
        resume=True,
    )
    final_seeds: int = setting(3, "new seeds for each finalist", resume=True, most=MOST_SEEDS)
    final_epochs: int | None = setting(
        None,
        "train the best network once more for this many epochs, on training and validation images (default: no)",
        resume=True,
        most=MOST_EPOCHS,
    )
    ablation: bool = setting(
        False,
        "after the last generation, train every network that differs from the best in one bit, with --final_seeds "
        "new seeds each (in addition to --budget)",
        resume=True,
    )
    seed: int = setting(0, "seed of the search; data splits and trainings do not depend on it")
    encoding: str = setting(
        "standard",
        "what the bits of a chromosome mean: standard, extended (also residual connections, learning rate, ...), or a "
        "JSON file with your own gene table (see docs/encoding.md)",
    )

    def __post_init__(self) -> None:
        require_sound(self)
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
            why = "with --scheme steady_state, in which no training waits for others (or use --scheme generations)"
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
        """The number of finalists; by default 0 in a run of few individuals."""
        if self.finalists is not None:
            return self.finalists
        run = self.budget or self.generations * self.population
        return AUTO_FINALISTS if 10 * AUTO_FINALISTS * self.final_seeds <= run else 0

    @property
    def final_trainings(self) -> int:
        """The number of trainings of all finalists."""
        return self.finalists_trained * self.final_seeds

    def trainings_after(self, loci: int) -> int:
        """The most trainings that can follow the last generation, for a gene table with this number of coding loci."""
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
