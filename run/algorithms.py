"""The search algorithm that a configuration names."""

from __future__ import annotations

from collections.abc import Sequence

from genetic_algorithm import SteadyState
from records import EvolutionConfig, Generation, InputError
from records.command_line import require_package
from records.search_settings import OPTUNA
from search import baselines  # noqa: F401  its algorithms register themselves
from search.base import SearchAlgorithm, SearchSpace
from search.registry import ALGORITHMS


def algorithms_in_words() -> str:
    """The help text of `--algorithm`."""
    named = ", ".join(f"{each.name} ({each.words})" for each in ALGORITHMS.values())
    return f"search algorithm: {named}, or a sampler of Optuna, such as {OPTUNA}TPESampler"


def check_algorithm(config: EvolutionConfig) -> None:
    """Raises `InputError` for an algorithm that does not exist, or a sampler of Optuna that cannot propose networks."""
    if config.sampler is not None and config.sampler.isidentifier():
        require_package("optuna", f"--algorithm {config.algorithm}")
        # Imported late, like everything that needs Optuna.
        from search.optuna_search import check_sampler

        check_sampler(config)
    elif config.algorithm not in ALGORITHMS:
        raise InputError(
            f"--algorithm must be one of {', '.join(ALGORITHMS)}, or {OPTUNA}NAME with a sampler of Optuna, such as "
            f"{OPTUNA}TPESampler, but is {config.algorithm!r}"
        )


def new_search(config: EvolutionConfig, space: SearchSpace, generations: Sequence[Generation] = ()) -> SearchAlgorithm:
    """The search that a configuration names, continuing after `generations`."""
    if config.sampler is not None:
        # Imported late: it needs Optuna.
        from search.optuna_search import OptunaSearch

        return OptunaSearch(config, space, generations)
    if config.algorithm not in ALGORITHMS:
        check_algorithm(config)
    algorithm, predictor = ALGORITHMS[config.algorithm], None
    if algorithm.uses_model and config.surrogate == "auto":
        # Imported late: scikit-learn takes a second, which a search without a model need not wait for.
        from search.surrogate import FitnessPredictor

        predictor = FitnessPredictor
    kind = SteadyState if config.scheme == "steady_state" else algorithm.kind
    return kind(config, space, generations, predictor)
