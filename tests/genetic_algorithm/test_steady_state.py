"""Breeding without generations: pure, never a network twice, from the best whose results were taken."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genetic_algorithm import SteadyState
from records import EvolutionConfig, Fitness, Individual
from run.algorithms import new_search
from search.base import ENOUGH, BitStrings, SearchSpace
from search.ranking import rank
from search.surrogate import FitnessPredictor
from search_space.encoding import Encoding
from search_space.space import NetworkSpace

NETWORKS = NetworkSpace(Encoding((1, 8, 8), 10))
SPACES: list[SearchSpace] = [BitStrings(3), BitStrings(6), BitStrings(40), NETWORKS]
relaxed = settings(deadline=None, max_examples=40)


def rugged(space: SearchSpace, individual: Individual) -> Individual:
    """A fitness that is a function of the network alone, without any slope; one in six fails."""
    number = zlib.crc32(space.phenotype(individual.chromosome).encode())
    if number % 6 == 0:
        return replace(individual, failure="diverged: planted")
    fitness = Fitness(value=number // 7 % 50, loss=number // 31 % 2, parameters=1 + number // 63 % 9)
    return replace(individual, fitness=fitness)


def settings_of(**changed: Any) -> EvolutionConfig:
    plain: dict[str, Any] = {
        "scheme": "steady_state",
        "early_stopping": "none",
        "surrogate": "off",
        "population": 4,
        "elitism": 0,
    }
    return EvolutionConfig(**{"generations": 6, "tournament_size": 2, **plain, **changed})


@st.composite
def configurations(draw: st.DrawFn) -> EvolutionConfig:
    population = draw(st.integers(2, 8))
    return settings_of(
        population=population,
        tournament_size=draw(st.integers(1, population)),
        objectives=draw(st.sampled_from([("accuracy",), ("accuracy", "parameters")])),
        seed=draw(st.integers(0, 2**40)),
    )


@dataclass
class Devices:
    """So many trainings at once, of which a generator says which ends next."""

    engine: SteadyState
    count: int
    choose: Callable[[Sequence[str]], str]
    running: list[Individual] = field(default_factory=list)
    waiting: list[Individual] = field(default_factory=list)

    def step(self) -> bool:
        """The end of one training, after every device has one; False if nothing runs."""
        while len(self.running) < self.count:
            individual = self.waiting.pop(0) if self.waiting else self.engine.breed()
            if individual is None:
                break
            self.running.append(individual)
        if not self.running:
            return False
        name = self.choose([each.name for each in self.running])
        ended = next(each for each in self.running if each.name == name)
        self.running.remove(ended)
        self.engine.take(rugged(self.engine.space, ended))
        while (members := self.engine.complete()) is not None:
            self.engine.tell(members)
        return True


def begin(config: EvolutionConfig, space: SearchSpace, devices: int, choose: Callable[[Sequence[str]], str]) -> Devices:
    engine = new_search(config, space)
    assert isinstance(engine, SteadyState)
    engine.replay(engine.ask(), ())
    return Devices(engine, devices, choose, waiting=engine.pending)


def whole_search(config: EvolutionConfig, space: SearchSpace, devices: int, seed: int) -> SteadyState:
    found = begin(config, space, devices, random.Random(seed).choice)
    while found.step():
        pass
    return found.engine


def in_order(names: Sequence[str]) -> Callable[[Sequence[str]], str]:
    """Ends trainings in this order."""
    left = iter(names)
    return lambda running: next(left)


def what_is_bred(engine: SteadyState) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(each.name, each.chromosome, each.origin, each.parents) for each in engine.bred]


@given(configurations(), st.sampled_from(SPACES), st.integers(1, 9), st.integers(0, 99))
@relaxed
def test_the_same_order_of_results_gives_the_same_individuals(
    config: EvolutionConfig, space: SearchSpace, devices: int, seed: int
) -> None:
    first = whole_search(config, space, devices, seed)
    again = begin(config, space, devices, in_order([each.name for each in first.taken]))
    while again.step():
        pass
    assert what_is_bred(again.engine) == what_is_bred(first)
    assert again.engine.generations == first.generations


@given(configurations(), st.sampled_from(SPACES), st.integers(1, 9), st.integers(0, 99), st.data())
@relaxed
def test_a_search_that_goes_on_from_what_was_recorded_is_one_that_never_stopped(
    config: EvolutionConfig, space: SearchSpace, devices: int, seed: int, data: st.DataObject
) -> None:
    whole = whole_search(config, space, devices, seed)
    names = [each.name for each in whole.taken]
    stop = data.draw(st.integers(0, len(names)))
    stopped = begin(config, space, devices, in_order(names))
    for _ in range(stop):
        stopped.step()
    before = stopped.engine
    rebuilt = SteadyState(config, space, before.generations)
    closed = len(rebuilt.bred)
    rebuilt.replay(before.bred[closed:], before.taken)
    assert rebuilt.pending == before.pending
    rest = Devices(rebuilt, devices, in_order(names[stop:]), waiting=rebuilt.pending)
    while rest.step():
        pass
    assert what_is_bred(rebuilt) == what_is_bred(whole)
    assert rebuilt.generations == whole.generations


@given(configurations(), st.sampled_from(SPACES), st.integers(1, 9), st.integers(0, 99))
@relaxed
def test_no_network_is_bred_twice_not_even_while_it_trains(
    config: EvolutionConfig, space: SearchSpace, devices: int, seed: int
) -> None:
    engine = whole_search(config, space, devices, seed)
    networks = [space.phenotype(each.chromosome) for each in engine.bred]
    assert len(networks) == len(set(networks))
    assert sorted(each.name for each in engine.taken) == sorted(each.name for each in engine.bred)


def test_another_order_of_results_is_another_search() -> None:
    bred = {tuple(what_is_bred(whole_search(settings_of(), NETWORKS, 3, seed))) for seed in range(5)}
    assert len(bred) > 1


def test_with_one_device_there_is_one_order() -> None:
    bred = {tuple(what_is_bred(whole_search(settings_of(), NETWORKS, 1, seed))) for seed in range(5)}
    assert len(bred) == 1


def test_both_schemes_begin_with_the_same_networks() -> None:
    config = settings_of()
    first = new_search(replace(config, scheme="generations"), NETWORKS).ask()
    assert what_is_bred(whole_search(config, NETWORKS, 2, 0))[:4] == [
        (each.name, each.chromosome, each.origin, each.parents) for each in first
    ]


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "parameters")])
def test_parents_are_the_best_of_all_that_have_ended(objectives: tuple[str, ...]) -> None:
    config = settings_of(objectives=objectives)
    found = begin(config, NETWORKS, 3, random.Random(0).choice)
    engine = found.engine
    while found.step():
        ended = [each for each in engine.taken if each.fitness is not None]
        if len(objectives) == 1:
            assert engine._parents() == rank(ended, objectives)[: config.population]
        assert not any(each.failure for each in engine._parents())


def test_an_offspring_has_parents_that_had_ended_and_were_among_the_best() -> None:
    config = settings_of(generations=20)
    engine = SteadyState(config, NETWORKS)
    engine.replay(engine.ask(), ())
    for each in engine.pending:
        engine.take(rugged(NETWORKS, each))
    while (bred := engine.breed()) is not None:
        ended = [each for each in engine.taken if each.fitness is not None]
        assert set(bred.parents) <= {each.name for each in rank(ended, ("accuracy",))[:4]}
        assert bred.parents
        engine.take(rugged(NETWORKS, bred))
    assert len(engine.bred) == 80


def test_individuals_are_numbered_as_if_in_generations_which_close_in_order() -> None:
    engine = whole_search(settings_of(generations=3), NETWORKS, 5, 1)
    assert [each.name for each in engine.bred] == [f"gen{g}/ind{n}" for g in (1, 2, 3) for n in (1, 2, 3, 4)]
    assert [[each.name for each in one.individuals] for one in engine.generations] == [
        [f"gen{g}/ind{n}" for n in (1, 2, 3, 4)] for g in (1, 2, 3)
    ]
    assert engine.complete() is None


def test_a_generation_is_not_complete_while_one_of_it_trains() -> None:
    slow = begin(
        settings_of(generations=3), NETWORKS, 2, lambda running: running[-1] if len(running) > 1 else running[0]
    )
    for _ in range(11):
        assert slow.step()
    assert slow.engine.pending[0].name == "gen1/ind1"
    assert slow.engine.generations == []
    assert slow.step()
    assert len(slow.engine.generations) == 3
    assert not slow.step()


def test_a_budget_counts_trainings_and_may_end_a_generation_early() -> None:
    config = settings_of(budget=10)
    engine = whole_search(config, NETWORKS, 3, 0)
    assert len(engine.bred) == 10
    assert [len(each.individuals) for each in engine.generations] == [4, 4, 2]
    more = SteadyState(replace(config, budget=13), NETWORKS, engine.generations)
    more.replay((), engine.taken)
    names = []
    while (bred := more.breed()) is not None:
        names.append(bred.name)
    assert names == ["gen4/ind1", "gen4/ind2", "gen4/ind3"]


def test_a_budget_below_the_population_trains_no_more() -> None:
    engine = whole_search(settings_of(budget=3, finalists=0), NETWORKS, 2, 0)
    assert sorted(each.name for each in engine.taken) == ["gen1/ind1", "gen1/ind2", "gen1/ind3"]


def test_a_space_that_is_known_ends_the_search() -> None:
    engine = whole_search(settings_of(generations=20), BitStrings(4), 3, 0)
    assert engine.is_spent
    assert sorted(each.chromosome for each in engine.bred) == sorted(f"{n:04b}" for n in range(16))


def test_failures_are_withdrawn_from_the_end_of_the_order_alone() -> None:
    engine = SteadyState(settings_of(), NETWORKS)
    engine.replay(engine.ask(), ())
    first, *others = engine.pending
    engine.take(replace(first, fitness=Fitness(value=0.5)))
    for each in others:
        engine.take(replace(each, failure="error: planted"))
    engine.withdraw(4)
    assert [each.name for each in engine.taken] == [first.name]
    assert engine.pending == others


def test_the_model_is_made_anew_once_in_so_many_results_and_at_the_end() -> None:
    known: list[int] = []

    class Counted(FitnessPredictor):
        def __init__(self, space: SearchSpace, individuals: Sequence[Individual]) -> None:
            known.append(len(individuals))
            super().__init__(space, individuals)

    config = settings_of(generations=7)
    engine = SteadyState(config, NETWORKS, predictor=Counted)
    engine.replay(engine.ask(), ())
    devices = Devices(engine, 3, random.Random(0).choice, waiting=engine.pending)
    while devices.step():
        pass
    assert known == [ENOUGH, 2 * ENOUGH, 3 * ENOUGH]
    assert all(each.forecast is not None for each in engine.bred[ENOUGH + 3 :])
    networks = [NETWORKS.phenotype(each.chromosome) for each in engine.bred]
    assert len(networks) == len(set(networks)) == 28
    assert len(engine.finalists(3)) == 3
    assert known[-1] == 28
