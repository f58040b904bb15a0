"""Which search a configuration asks for."""

from __future__ import annotations

from collections.abc import Sequence

from genetic_algorithm import GeneticAlgorithm, SteadyState
from records import EvolutionConfig, Generation
from search.base import SearchAlgorithm, SearchSpace
from search.baselines import AgingEvolution, LocalSearch, RandomSearch

ALGORITHMS: dict[str, type[SearchAlgorithm]] = {
    "genetic": GeneticAlgorithm,
    "aging": AgingEvolution,
    "random": RandomSearch,
    "local_search": LocalSearch,
}


def new_search(config: EvolutionConfig, space: SearchSpace, generations: Sequence[Generation] = ()) -> SearchAlgorithm:
    """The search that a configuration asks for, going on after `generations`."""
    predictor = None
    if config.algorithm == "genetic" and config.surrogate == "auto":
        # Imported late: scikit-learn takes a second, which a search without a model need not wait for.
        from search.surrogate import FitnessPredictor

        predictor = FitnessPredictor
    if config.sampler is not None:
        # Imported late: it needs Optuna.
        from search.optuna_search import OptunaSearch

        return OptunaSearch(config, space, generations)
    algorithm = SteadyState if config.scheme == "steady_state" else ALGORITHMS[config.algorithm]
    return algorithm(config, space, generations, predictor)
