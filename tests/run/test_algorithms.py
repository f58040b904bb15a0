"""Algorithms by name: which there are, what people read of them, and which names are refused."""

from __future__ import annotations

import pytest

from genetic_algorithm import SteadyState
from records import EvolutionConfig, InputError
from run.algorithms import algorithms_in_words, check_algorithm, new_search
from search.base import BitStrings
from search.registry import ALGORITHMS


def test_the_genetic_algorithm_and_its_baselines_are_there() -> None:
    assert list(ALGORITHMS)[:4] == ["genetic", "aging", "random", "local_search"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_is_accepted_named_in_the_help_and_proposes_individuals(name: str) -> None:
    config = EvolutionConfig(algorithm=name, population=4, elitism=0, surrogate="off")
    check_algorithm(config)
    assert f"{name} ({ALGORITHMS[name].words})" in algorithms_in_words()
    search = new_search(config, BitStrings(12))
    assert type(search) is ALGORITHMS[name].kind
    assert len(search.ask()) == 4


@pytest.mark.parametrize("name", ["annealing", "optuna:", "optuna:1", "Genetic", "genetic "])
def test_a_name_of_no_algorithm_is_refused_with_all_that_there_are(name: str) -> None:
    config = EvolutionConfig(algorithm=name)
    message = f"--algorithm must be one of {', '.join(ALGORITHMS)}, or optuna:NAME .*, but is '{name}'"
    with pytest.raises(InputError, match=message):
        check_algorithm(config)
    if config.sampler is None:
        with pytest.raises(InputError, match=message):
            new_search(config, BitStrings(12))


def test_a_steady_state_is_a_scheme_of_the_genetic_algorithm() -> None:
    config = EvolutionConfig(scheme="steady_state", early_stopping="none", surrogate="off")
    assert type(new_search(config, BitStrings(12))) is SteadyState
