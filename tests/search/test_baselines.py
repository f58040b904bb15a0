"""Every search behind `ask` and `tell`: pure, never asking twice, each true to its name."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Individual
from run.algorithms import new_search
from search.base import BitStrings, SearchAlgorithm, SearchSpace
from search.baselines import LIFETIME, SAMPLE, AgingEvolution, LocalSearch, RandomSearch
from search.registry import ALGORITHMS
from search_space.encoding import Encoding
from search_space.space import NetworkSpace
from tests.builders import one_max, rugged

NETWORKS = NetworkSpace(Encoding((1, 8, 8), 10))
SPACES: list[SearchSpace] = [BitStrings(3), BitStrings(6), BitStrings(40), NETWORKS]
NAMES = sorted(ALGORITHMS)
LIMIT = 60_000  # parameters; one network in eighteen has as few
relaxed = settings(deadline=None, max_examples=25)


def step(engine: SearchAlgorithm) -> list[Individual]:
    """Takes the engine one generation on; returns what was asked for."""
    asked = engine.ask()
    engine.tell([rugged(engine.space, individual) for individual in asked])
    return asked


@st.composite
def configurations(draw: st.DrawFn) -> EvolutionConfig:
    population = draw(st.integers(2, 8))
    return EvolutionConfig(
        population=population,
        algorithm=draw(st.sampled_from(NAMES)),
        surrogate="off",
        elitism=draw(st.integers(0, population - 1)),
        tournament_size=draw(st.integers(1, population)),
        objectives=draw(st.sampled_from([("accuracy",), ("accuracy", "parameters")])),
        seed=draw(st.integers(0, 2**40)),
    )


@given(configurations(), st.sampled_from(SPACES), st.integers(0, 6))
@relaxed
def test_an_engine_rebuilt_from_its_generations_goes_on_as_one_that_never_stopped(
    config: EvolutionConfig, space: SearchSpace, stop: int
) -> None:
    whole = new_search(config, space)
    asked = [step(whole) for _ in range(8)]
    rebuilt = new_search(config, space, whole.generations[:stop])
    assert [step(rebuilt) for _ in range(8 - stop)] == asked[stop:]


@given(configurations(), st.sampled_from(SPACES))
@relaxed
def test_asking_twice_gives_the_same(config: EvolutionConfig, space: SearchSpace) -> None:
    engine = new_search(config, space)
    for _ in range(4):
        first = engine.ask()
        assert engine.ask() == first
        engine.tell([rugged(space, individual) for individual in first])


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_is_another_search(name: str) -> None:
    asked = [
        new_search(EvolutionConfig(algorithm=name, surrogate="off", seed=seed), BitStrings(40)).ask() for seed in (0, 1)
    ]
    assert asked[0] != asked[1]


@given(configurations(), st.sampled_from(SPACES))
@relaxed
def test_a_known_network_is_never_asked_for_while_there_are_new_ones(
    config: EvolutionConfig, space: SearchSpace
) -> None:
    engine, seen = new_search(config, space), set[str]()
    networks = 2**space.length if space.length <= 6 else 10**9
    for _ in range(12):
        for individual in engine.ask():
            network = space.phenotype(individual.chromosome)
            if individual.origin not in ("elite", "known"):
                assert network not in seen
            if individual.origin == "known":
                assert len(seen) == networks
            seen.add(network)
        step(engine)
    if networks <= 12 * (config.population - config.elitism):
        assert len(seen) == networks
        assert engine.ask()
        assert engine.is_exhausted


@given(configurations(), st.sampled_from([BitStrings(6), BitStrings(40)]))
@relaxed
def test_parents_were_evaluated_before_and_generations_are_full(config: EvolutionConfig, space: SearchSpace) -> None:
    engine, names = new_search(config, space), set[str]()
    for number in range(1, 7):
        asked = step(engine)
        assert [each.name for each in asked] == [f"gen{number}/ind{n}" for n in range(1, config.population + 1)]
        for individual in asked:
            assert set(individual.parents) <= names
        names |= {each.name for each in asked}


@given(configurations(), st.integers(0, 9))
@relaxed
def test_no_more_new_ones_are_asked_for_than_a_budget_allows(config: EvolutionConfig, most: int) -> None:
    engine = new_search(config, BitStrings(40))
    for _ in range(3):
        step(engine)
    full, asked = engine.ask(), engine.ask(most)
    carried = [each for each in full if each.origin == "elite"]
    new = [each for each in asked if each.origin != "elite"]
    assert len(new) == min(most, len(full) - len(carried))
    assert asked[: len(carried)] == carried
    if config.algorithm != "genetic" or len(new) == len(full) - len(carried):
        assert asked == full[: len(asked)]
    if asked:
        engine.tell([rugged(engine.space, each) for each in asked])
        assert engine.generations[-1].individuals == tuple(rugged(engine.space, each) for each in asked)


# Each by its name


def test_names_stand_for_algorithms() -> None:
    expected = {
        "genetic": GeneticAlgorithm,
        "aging": AgingEvolution,
        "random": RandomSearch,
        "local_search": LocalSearch,
    }
    assert set(expected) <= set(ALGORITHMS)
    for name, kind in expected.items():
        assert type(new_search(EvolutionConfig(algorithm=name), BitStrings(5))) is kind


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("surrogate", ["auto", "off"])
def test_only_the_genetic_algorithm_has_a_predictor(name: str, surrogate: str) -> None:
    engine = new_search(EvolutionConfig(algorithm=name, surrogate=surrogate), BitStrings(12))
    for _ in range(3):
        step(engine)
    forecasts = [each.forecast for each in engine.ask() if each.origin != "elite"]
    assert (engine.predictor is not None) == (name == "genetic" and surrogate == "auto")
    assert [forecast is not None for forecast in forecasts] == [engine.predictor is not None] * len(forecasts)


def test_random_search_has_no_parents_and_takes_every_bit_equally_often() -> None:
    engine = new_search(EvolutionConfig(algorithm="random", population=50), BitStrings(40))
    asked = [each for _ in range(6) for each in step(engine)]
    assert all((each.origin, each.parents) == ("random", ()) for each in asked)
    for locus in range(40):
        share = sum(each.chromosome[locus] == "1" for each in asked) / len(asked)
        assert abs(share - 0.5) < 0.15  # five standard errors


def test_parents_of_aging_evolution_are_of_the_last_generations_alone() -> None:
    for seed in range(5):
        engine = new_search(EvolutionConfig(algorithm="aging", population=6, seed=seed), BitStrings(30))
        ages = set[int]()
        for number in range(1, 15):
            # The first generations are the best that there will ever be, and die nevertheless.
            asked = engine.ask()
            for each in asked:
                for parent in each.parents:
                    ages.add(number - int(parent.partition("/")[0].removeprefix("gen")))
            engine.tell([each.evaluated(-number) for each in asked])
        assert ages <= set(range(1, LIFETIME + 1))
        assert LIFETIME in ages


def test_offspring_of_aging_evolution_are_one_bit_from_their_parent() -> None:
    engine = new_search(EvolutionConfig(algorithm="aging", population=8), BitStrings(40))
    chromosomes: dict[str, str] = {}
    single = 0
    for number in range(1, 9):
        for each in step(engine):
            chromosomes[each.name] = each.chromosome
            assert each.origin == ("random" if number == 1 else "mutation")
            for parent in each.parents:
                single += distance(each.chromosome, chromosomes[parent]) == 1
    assert single >= 50  # of 56; where the neighbour is known, it is mutated on


def distance(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def test_the_worst_of_those_alive_has_no_offspring_in_aging_evolution() -> None:
    engine = new_search(EvolutionConfig(algorithm="aging", population=8, seed=1), BitStrings(30))
    engine.tell([each.evaluated(each.index) for each in engine.ask()])
    parents = [int(each.parents[0].partition("ind")[2]) for each in engine.ask()]
    draws = 8 // SAMPLE
    assert all(parent >= draws for parent in parents)  # the best of two is never the worst of all


def local(seed: int, length: int = 12) -> SearchAlgorithm:
    return new_search(EvolutionConfig(algorithm="local_search", population=4, seed=seed), BitStrings(length))


@pytest.mark.parametrize("seed", range(5))
def test_local_search_flips_one_bit_of_the_best_since_the_last_restart(seed: int) -> None:
    engine = local(seed)
    since: list[Individual] = []
    restarts = 0
    for _ in range(40):
        summit = min(since, key=lambda each: each.rank, default=None)
        asked = engine.ask()
        neighbours = [each for each in asked if each.origin == "mutation"]
        for each in neighbours:
            assert summit is not None
            assert each.parents == (summit.name,)
            assert distance(each.chromosome, summit.chromosome) == 1
        evaluated = [rugged(engine.space, each) for each in asked]
        if not neighbours:
            # It restarts when every neighbour of the summit is known, and only then.
            if summit is not None:
                known = {each.chromosome for each in engine.individuals()}
                flips = (
                    summit.chromosome[:n] + ("1" if bit == "0" else "0") + summit.chromosome[n + 1 :]
                    for n, bit in enumerate(summit.chromosome)
                )
                assert set(flips) <= known
                restarts += 1
            since = []
        since += evaluated
        engine.tell(evaluated)
    assert restarts > 0


def test_local_search_climbs_a_slope_without_a_step_back() -> None:
    engine = local(0, length=20)
    heights = []
    for _ in range(40):
        engine.tell([one_max(each) for each in engine.ask()])
        best = engine.best
        assert best is not None
        assert best.fitness is not None
        heights.append(best.fitness.value)
    assert heights[-1] == 20
    assert all(before <= after for before, after in pairwise(heights))


@pytest.mark.parametrize("name", NAMES)
def test_limits_that_are_known_before_training_are_kept_from_the_first_generation_on(name: str) -> None:
    config = EvolutionConfig(algorithm=name, surrogate="off", max_parameters=LIMIT, population=8)
    engine, free = new_search(config, NETWORKS), new_search(replace(config, max_parameters=None), NETWORKS)
    assert max(NETWORKS.size(each.chromosome).parameters for each in step(free)) > LIMIT
    for _ in range(5):
        for each in step(engine):
            assert NETWORKS.size(each.chromosome).parameters <= LIMIT
