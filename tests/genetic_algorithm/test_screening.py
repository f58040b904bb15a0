"""The genetic algorithm with its predictor, with limits, and with several objectives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Fitness, Individual
from records.texts import Chromosome
from run.algorithms import new_search
from search.base import ENOUGH, BitStrings, SearchAlgorithm, SearchSpace
from search.operators import to_bits
from search.ranking import pareto_front
from search.surrogate import FitnessPredictor
from search_space.encoding import Encoding
from search_space.space import NetworkSpace

NETWORKS = NetworkSpace(Encoding((1, 8, 8), 10))
LIMIT = 60_000  # parameters; one network in eighteen has as few
TWO = ("accuracy", "parameters")
Evaluate = Callable[[Individual], Individual]


@dataclass(frozen=True, slots=True)
class Sized(BitStrings):
    """Bit strings that have as many parameters as ones."""

    def size(self, chromosome: Chromosome) -> Fitness:
        return Fitness(value=0.0, parameters=1 + chromosome.count("1"), flops=1 + chromosome.count("1"))


def planted(length: int, seed: int) -> tuple[Evaluate, str]:
    """An additive fitness of random weights, and the best string."""
    weights = np.random.default_rng(1000 + seed).normal(size=length)

    def evaluate(individual: Individual) -> Individual:
        return individual.evaluated(float(to_bits(individual.chromosome) @ weights))

    return evaluate, "".join("1" if weight > 0 else "0" for weight in weights)


def traded(individual: Individual) -> Individual:
    """Accuracy grows with the ones, and more with those in front; so do parameters."""
    ones = individual.chromosome.count("1")
    value = sum((len(individual.chromosome) - n) * (bit == "1") for n, bit in enumerate(individual.chromosome))
    return replace(individual, fitness=Fitness(value=value, parameters=1 + ones, flops=1 + ones))


def run(engine: SearchAlgorithm, generations: int, evaluate: Evaluate) -> list[list[Individual]]:
    asked = []
    for _ in range(generations):
        asked.append(engine.ask())
        engine.tell([evaluate(each) for each in asked[-1]])
    return asked


@st.composite
def configurations(draw: st.DrawFn) -> EvolutionConfig:
    population = draw(st.integers(3, 10))
    return EvolutionConfig(
        population=population,
        elitism=draw(st.integers(0, population - 1)),
        tournament_size=draw(st.integers(1, 3)),
        objectives=draw(st.sampled_from([("accuracy",), TWO, ("accuracy", "flops", "latency")])),
        seed=draw(st.integers(0, 2**40)),
    )


relaxed = settings(deadline=None, max_examples=8)


def with_latency(individual: Individual) -> Individual:
    fitness = traded(individual).fitness
    assert fitness is not None
    if individual.chromosome.endswith("1101"):
        return individual  # failed
    return replace(individual, fitness=replace(fitness, latency=0.001 * fitness.flops))


@given(configurations(), st.integers(0, 4))
@relaxed
def test_a_rebuilt_engine_goes_on_as_one_that_never_stopped(config: EvolutionConfig, stop: int) -> None:
    space = Sized(14)
    whole = new_search(config, space)
    asked = run(whole, 5, with_latency)
    rebuilt = new_search(config, space, whole.generations[:stop])
    assert run(rebuilt, 5 - stop, with_latency) == asked[stop:]


@given(configurations())
@relaxed
def test_offspring_are_new_and_have_parents_that_were_evaluated(config: EvolutionConfig) -> None:
    space, seen, names = Sized(14), set[str](), set[str]()
    for asked in run(new_search(config, space), 5, with_latency):
        assert len(asked) == config.population
        for each in asked:
            assert set(each.parents) <= names
            if each.origin != "elite":
                assert each.chromosome not in seen
            count = {"random": 0, "elite": 1, "mutation": 1, "crossover": 2, "crossover+mutation": 2}[each.origin]
            assert len(each.parents) == count
            seen.add(each.chromosome)
        names |= {each.name for each in asked}


def test_forecasts_are_recorded_as_soon_as_there_are_results_enough() -> None:
    config = EvolutionConfig(population=5, elitism=1)
    evaluate, _ = planted(20, 0)
    engine = new_search(config, BitStrings(20))
    known = set[str]()
    for asked in run(engine, 5, evaluate):
        for each in asked:
            assert (each.forecast is not None) == (len(known) >= ENOUGH and each.origin != "elite")
        known |= {each.chromosome for each in asked}
    model = FitnessPredictor(BitStrings(20), engine.individuals())
    asked = engine.ask()
    new = [each for each in asked if each.origin != "elite"]
    assert [each.forecast for each in new] == model.forecasts([each.chromosome for each in new])


def trainings_to_the_optimum(config: EvolutionConfig, length: int, seed: int, most: int = 400) -> int:
    evaluate, optimum = planted(length, seed)
    engine = new_search(config, BitStrings(length))
    count = 0
    while count < most:
        asked = engine.ask()
        count += sum(each.origin != "elite" for each in asked)
        engine.tell([evaluate(each) for each in asked])
        if any(each.chromosome == optimum for each in asked):
            break
    return count


def test_a_predictor_halves_the_trainings_to_a_planted_optimum() -> None:
    needed = {
        surrogate: mean(
            trainings_to_the_optimum(EvolutionConfig(population=10, surrogate=surrogate, seed=seed), 20, seed)
            for seed in range(6)
        )
        for surrogate in ("auto", "off")
    }
    assert needed["auto"] < needed["off"] / 2


def test_a_small_space_is_seen_whole_with_a_predictor_as_well() -> None:
    config = EvolutionConfig(population=8, elitism=2)
    engine = new_search(config, BitStrings(5))
    asked = run(engine, 6, planted(5, 0)[0])
    new = [each.chromosome for generation in asked for each in generation if each.origin not in ("elite", "known")]
    assert len(new) == len(set(new)) == 32
    engine.ask()
    assert engine.is_exhausted


def test_a_budget_asks_the_predictor_for_the_most_promising_alone() -> None:
    evaluate, _ = planted(20, 0)
    engine = new_search(EvolutionConfig(population=10, elitism=2), BitStrings(20))
    run(engine, 2, evaluate)
    asked = engine.ask(3)
    assert [each.origin == "elite" for each in asked] == [True, True, False, False, False]
    assert [each.origin for each in engine.ask(0)] == ["elite", "elite"]
    assert all(each.forecast is None for each in engine.ask(0))


@pytest.mark.parametrize("objectives", [("accuracy",), TWO])
@pytest.mark.parametrize("seed", range(3))
def test_networks_over_a_limit_are_not_asked_for(objectives: tuple[str, ...], seed: int) -> None:
    config = EvolutionConfig(population=8, max_parameters=LIMIT, objectives=objectives, seed=seed)

    def evaluate(individual: Individual) -> Individual:
        size = NETWORKS.size(individual.chromosome)
        fitness = replace(size, value=size.parameters % 997 / 997)
        return replace(individual, fitness=fitness.with_limits(config.limits, None))

    for generation in run(new_search(config, NETWORKS), 4, evaluate):
        for each in generation:
            assert NETWORKS.size(each.chromosome).parameters <= LIMIT


def test_a_limit_that_only_measuring_shows_is_learned_from_selection() -> None:
    """Latency is not known before a training, but those that pass the limit lose to all within."""
    config = EvolutionConfig(population=10, max_latency=5.0, surrogate="off", generations=30)
    space = Sized(16)

    def evaluate(individual: Individual) -> Individual:
        fitness = traded(individual).fitness
        assert fitness is not None
        return replace(individual, fitness=fitness.with_limits(config.limits, 0.001 * fitness.flops))

    engine = new_search(config, space)
    run(engine, 15, evaluate)
    best = engine.best
    assert best is not None
    assert best.fitness is not None
    assert best.fitness.violation == 0
    assert best.chromosome.count("1") == 4


# Several objectives


def front_of(engine: SearchAlgorithm) -> set[tuple[float, int]]:
    return {
        (each.fitness.value, each.fitness.parameters)
        for each in pareto_front(engine.individuals(), TWO)
        if each.fitness is not None
    }


@pytest.mark.parametrize("surrogate", ["auto", "off"])
def test_the_front_of_two_objectives_moves_towards_the_true_one(surrogate: str) -> None:
    length = 10
    config = EvolutionConfig(population=12, elitism=4, objectives=TWO, surrogate=surrogate)
    engine = new_search(config, Sized(length))
    true_front = {(sum(range(length, length - ones, -1)), 1 + ones) for ones in range(length + 1)}
    reached = []
    for _ in range(12):
        run(engine, 1, traded)
        reached.append(len(front_of(engine) & true_front))
    assert reached == sorted(reached)  # what is found is never lost
    assert reached[0] < reached[-1]
    assert reached[-1] >= (11 if surrogate == "auto" else 6)


@pytest.mark.parametrize("surrogate", ["auto", "off"])
def test_elites_are_not_dominated_by_anything_that_was_ever_trained(surrogate: str) -> None:
    config = EvolutionConfig(population=10, elitism=3, objectives=TWO, surrogate=surrogate, seed=4)
    engine = new_search(config, Sized(20))
    for number in range(8):
        front = {each.chromosome for each in pareto_front(engine.individuals(), TWO)}
        asked = engine.ask()
        elites = [each for each in asked if each.origin == "elite"]
        assert number == 0 or len(elites) == 3
        if len(front) >= 3:
            assert {each.chromosome for each in elites} <= front
        engine.tell([traded(each) for each in asked])


def test_elites_of_two_objectives_come_from_all_generations() -> None:
    engine = new_search(EvolutionConfig(population=6, elitism=2, objectives=TWO, surrogate="off"), Sized(20))
    first = engine.ask()
    # The ends of the front are found at once; nothing later comes near them.
    told = [replace(each, fitness=Fitness(value=0.1, parameters=50)) for each in first]
    told[0] = replace(first[0], fitness=Fitness(value=0.9, parameters=40))
    told[1] = replace(first[1], fitness=Fitness(value=0.2, parameters=1))
    engine.tell(told)
    known = {each.chromosome: each.fitness for each in told}
    for _ in range(5):
        asked = engine.ask()
        elites = {each.chromosome for each in asked if each.origin == "elite"}
        assert elites == {first[0].chromosome, first[1].chromosome}
        engine.tell([replace(each, fitness=known.get(each.chromosome, told[2].fitness)) for each in asked])


# Finalists


def finalist_engine(predictor: bool) -> GeneticAlgorithm:
    space: SearchSpace = BitStrings(16)
    engine = GeneticAlgorithm(
        EvolutionConfig(population=30, elitism=2), space, predictor=FitnessPredictor if predictor else None
    )
    weights = np.arange(1, 17)
    lucky = engine.ask()[-1].chromosome

    def evaluate(each: Individual) -> Individual:
        value = float(to_bits(each.chromosome) @ weights) / 136
        return each.evaluated(value + (0.9 if each.chromosome == lucky else 0.0))

    run(engine, 3, evaluate)
    return engine


def test_finalists_are_distinct_and_the_best_first_without_a_predictor() -> None:
    engine = finalist_engine(predictor=False)
    finalists = engine.finalists(6)
    assert len({each.chromosome for each in finalists}) == 6
    values = [each.fitness.value for each in finalists if each.fitness]
    assert values == sorted(values, reverse=True)
    assert finalists[0].chromosome == (engine.best.chromosome if engine.best else "")
    assert len(engine.finalists(1000)) == len({each.chromosome for each in engine.individuals()})


def test_a_finalist_that_was_only_lucky_is_put_behind_others() -> None:
    engine = finalist_engine(predictor=True)
    best = engine.best
    assert best is not None
    assert best.fitness is not None
    assert best.fitness.value > 1  # the lucky one
    places = [each.chromosome for each in engine.finalists(1000)]
    truth = [float(to_bits(each) @ np.arange(1, 17)) for each in places]
    assert truth[0] > float(to_bits(best.chromosome) @ np.arange(1, 17))


def test_finalists_trained_as_long_as_the_best_and_keep_the_limits() -> None:
    engine = new_search(EvolutionConfig(population=8, tournament_size=1, surrogate="off"), BitStrings(10))
    fitnesses = [
        Fitness(value=0.5, epochs=9),
        Fitness(value=0.4, epochs=9),
        Fitness(value=0.9, epochs=3),
        Fitness(value=0.95, epochs=9, violation=0.1),
        None,
        Fitness(value=0.7, epochs=3),
        Fitness(value=0.6, epochs=9),
        Fitness(value=0.3, epochs=1),
    ]
    engine.tell([replace(each, fitness=fitness) for each, fitness in zip(engine.ask(), fitnesses, strict=True)])
    assert [each.index for each in engine.finalists(5)] == [7, 1, 2]
