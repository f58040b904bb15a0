"""The genetic algorithm in generations: pure, never asking twice, true to its operators."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Fitness, Generation, Individual
from records.texts import Chromosome
from search.base import BitStrings, SearchSpace
from search.operators import (
    CROSSOVERS,
    to_chromosome,
)
from search_space.encoding import Encoding
from search_space.space import NetworkSpace
from tests.builders import one_max
from tests.genetic_algorithm.searches import relaxed, rugged, search, sections

NETWORKS = NetworkSpace(Encoding((1, 8, 8), 10))


@dataclass(frozen=True)
class Striped:
    """Bit strings of which only every second bit counts."""

    length: int

    @property
    def coding_loci(self) -> tuple[int, ...]:
        return tuple(range(0, self.length, 2))

    @property
    def alleles(self) -> tuple[tuple[object, ...], ...]:
        return (("0", "1"),) * len(self.coding_loci)

    def traits(self, chromosome: Chromosome) -> tuple[object, ...]:
        return tuple(chromosome[::2])

    def chromosome_of(self, traits: Sequence[object]) -> Chromosome:
        return Chromosome("".join(f"{trait}0" for trait in traits)[: self.length])

    def phenotype(self, chromosome: Chromosome) -> str:
        return chromosome[::2]

    def size(self, chromosome: Chromosome) -> Fitness:
        return Fitness(value=0.0)


@st.composite
def configurations(draw: st.DrawFn) -> EvolutionConfig:
    population = draw(st.integers(2, 9))
    return EvolutionConfig(
        population=population,
        crossover=draw(st.sampled_from(sorted(CROSSOVERS))),
        crossover_prob=draw(st.sampled_from([0.0, 0.5, 0.9, 1.0])),
        mutation_prob=draw(st.sampled_from([None, 0.0, 0.1, 1.0])),
        tournament_size=draw(st.integers(1, population)),
        elitism=draw(st.integers(0, population - 1)),
        seed=draw(st.integers(0, 2**40)),
    )


SMALL_SPACES: list[SearchSpace] = [BitStrings(1), BitStrings(3), BitStrings(5), Striped(1), Striped(6), Striped(8)]
SPACES: list[SearchSpace] = [*SMALL_SPACES, BitStrings(40), NETWORKS]
spaces = st.sampled_from(SPACES)


def every_network(space: SearchSpace) -> set[str]:
    return {space.phenotype(Chromosome("".join(bits))) for bits in itertools.product("01", repeat=space.length)}


def generations_to_the_optimum(config: EvolutionConfig, length: int) -> int:
    engine = GeneticAlgorithm(config, BitStrings(length))
    while engine.best is None or engine.best.chromosome != "1" * length:
        if len(engine.generations) == config.generations:
            return config.generations + 1
        engine.tell([one_max(individual) for individual in engine.ask()])
    return len(engine.generations)


def test_one_max_of_100_bits_is_solved_within_100_generations_by_each_of_20_seeds() -> None:
    configs = [EvolutionConfig(generations=100, population=50, seed=seed) for seed in range(20)]
    needed = [generations_to_the_optimum(config, 100) for config in configs]
    assert max(needed) <= 100


@pytest.mark.parametrize("crossover", ["one_point", "two_point"])
def test_one_max_is_solved_by_the_other_crossovers_as_well(crossover: str) -> None:
    configs = [EvolutionConfig(generations=100, population=50, seed=seed, crossover=crossover) for seed in range(4)]
    assert max(generations_to_the_optimum(config, 100) for config in configs) <= 100


@given(configurations(), spaces)
@relaxed
def test_an_engine_rebuilt_after_any_generation_asks_for_the_same(config: EvolutionConfig, space: SearchSpace) -> None:
    whole = search(config, space, 6)
    for number, asked in enumerate(whole.asked):
        rebuilt = GeneticAlgorithm(config, space, whole.engine.generations[:number])
        assert rebuilt.ask() == asked
        assert rebuilt.is_exhausted == whole.exhausted[number]


@given(configurations(), spaces, st.integers(0, 3))
@relaxed
def test_asking_twice_gives_the_same_individuals(config: EvolutionConfig, space: SearchSpace, generations: int) -> None:
    engine = search(config, space, generations).engine
    assert engine.ask() == engine.ask()


@given(configurations(), spaces, st.integers(0, 2**32 - 1))
@relaxed
def test_global_randomness_does_not_matter(config: EvolutionConfig, space: SearchSpace, number: int) -> None:
    asked = []
    for seed in (number, number // 2 + 1):
        random.seed(seed)
        np.random.seed(seed)
        asked.append(search(config, space, 3).asked)
    assert asked[0] == asked[1]


@given(configurations(), st.sampled_from([BitStrings(40), NETWORKS]), st.randoms(use_true_random=False))
@relaxed
def test_the_order_in_which_individuals_are_told_does_not_matter(
    config: EvolutionConfig, space: SearchSpace, shuffler: random.Random
) -> None:
    orderly, shuffled = GeneticAlgorithm(config, space), GeneticAlgorithm(config, space)
    for _ in range(4):
        individuals = [rugged(space)(individual) for individual in orderly.ask()]
        assert shuffled.ask() == orderly.ask()
        orderly.tell(individuals)
        shuffler.shuffle(individuals)
        shuffled.tell(individuals)


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_a_generation_draws_from_the_generator_of_seed_and_number(seed: int) -> None:
    """This is documented: it makes a search repeatable by other programs and later versions."""
    first = GeneticAlgorithm(EvolutionConfig(seed=seed), BitStrings(40)).ask()[0]
    drawn = np.random.default_rng([seed, 1]).integers(0, 2, 40, dtype=np.uint8)
    assert first.chromosome == to_chromosome(drawn)


def test_another_seed_searches_elsewhere() -> None:
    first = {
        tuple(
            individual.chromosome for individual in GeneticAlgorithm(EvolutionConfig(seed=seed), BitStrings(40)).ask()
        )
        for seed in range(50)
    }
    assert len(first) == 50


def test_another_fitness_leads_to_other_offspring() -> None:
    config = EvolutionConfig(elitism=0)
    ones = search(config, BitStrings(40), 2, one_max)
    zeros = search(config, BitStrings(40), 2, lambda individual: individual.evaluated(individual.chromosome.count("0")))
    assert ones.asked[0] == zeros.asked[0]
    assert ones.asked[1] != zeros.asked[1]


@given(configurations(), spaces)
@relaxed
def test_a_generation_is_full_numbered_and_of_sound_chromosomes(config: EvolutionConfig, space: SearchSpace) -> None:
    for number, asked in enumerate(search(config, space, 4).asked, start=1):
        assert [individual.name for individual in asked] == [
            f"gen{number}/ind{index}" for index in range(1, config.population + 1)
        ]
        for individual in asked:
            assert len(individual.chromosome) == space.length
            assert set(individual.chromosome) <= {"0", "1"}
            assert individual.fitness is None
            assert individual.failure is None
            assert individual.jobs == ()


@given(configurations(), spaces)
@relaxed
def test_no_network_is_asked_for_twice_as_a_new_one(config: EvolutionConfig, space: SearchSpace) -> None:
    seen: set[str] = set()
    for asked in search(config, space, 6).asked:
        before = set(seen)
        for individual in asked:
            network = space.phenotype(individual.chromosome)
            if individual.origin == "elite":
                assert network in before
            elif individual.origin == "known":
                assert network in seen
            else:
                assert network not in seen
            seen.add(network)


@given(configurations(), spaces)
@relaxed
def test_parents_are_named_and_live_in_the_generation_before(config: EvolutionConfig, space: SearchSpace) -> None:
    asked = search(config, space, 4).asked
    assert {individual.origin for individual in asked[0]} <= {"random", "known"}
    assert all(individual.parents == () for individual in asked[0])
    for before, after in itertools.pairwise(asked):
        chromosomes = {individual.name: individual.chromosome for individual in before}
        for individual in after:
            assert set(individual.parents) <= chromosomes.keys()
            assert len(set(individual.parents)) == len(individual.parents)
            count = {"elite": 1, "mutation": 1, "crossover": 2, "crossover+mutation": 2}.get(individual.origin)
            assert len(individual.parents) == count if count else individual.origin == "known"
            if individual.origin == "elite":
                assert individual.chromosome == chromosomes[individual.parents[0]]


@given(configurations(), st.sampled_from([BitStrings(40), NETWORKS]))
@relaxed
def test_a_pure_crossover_takes_every_bit_from_one_of_its_parents(config: EvolutionConfig, space: SearchSpace) -> None:
    for before, after in itertools.pairwise(search(config, space, 4).asked):
        chromosomes = {individual.name: individual.chromosome for individual in before}
        for individual in after:
            if individual.origin == "crossover":
                first, second = (chromosomes[name] for name in individual.parents)
                pairs = zip(individual.chromosome, first, second, strict=True)
                assert all(bit in pair for bit, *pair in pairs)


def test_the_configured_crossover_is_the_one_that_is_used() -> None:
    assert set(sections("one_point")) == {1}
    assert max(sections("two_point")) == 2
    assert min(sections("uniform")) >= 2


def test_all_ways_to_make_an_individual_occur_and_are_named() -> None:
    individuals = itertools.chain(*search(EvolutionConfig(population=20), BitStrings(60), 5, one_max).asked)
    origins = Counter(individual.origin for individual in individuals)
    assert origins.keys() == {"random", "elite", "mutation", "crossover", "crossover+mutation"}
    assert origins["random"] == 20
    assert origins["elite"] == 2 * 4


def test_without_crossover_every_offspring_is_a_mutation_of_one_parent() -> None:
    _, *bred = search(EvolutionConfig(crossover_prob=0.0, elitism=0), BitStrings(40), 6, one_max).asked
    assert {individual.origin for asked in bred for individual in asked} == {"mutation"}


def test_with_certain_crossover_every_offspring_has_two_parents() -> None:
    _, *bred = search(EvolutionConfig(crossover_prob=1.0, elitism=0), BitStrings(40), 6, one_max).asked
    assert all(len(individual.parents) == 2 for asked in bred for individual in asked)


@pytest.mark.parametrize("probability", [0.25, 0.9])
def test_offspring_are_crossed_as_often_as_crossover_prob_says(probability: float) -> None:
    crossed = [
        len(individual.parents) == 2
        for seed in range(20)
        for individual in search(
            EvolutionConfig(population=52, crossover_prob=probability, seed=seed), BitStrings(60), 2, one_max
        ).asked[1][2:]
    ]
    assert len(crossed) == 1000
    assert abs(mean(crossed) - probability) < 0.05


def distances(mutation_prob: float | None, length: int) -> list[int]:
    """Bits in which 1000 offspring that were not crossed differ from their parents."""
    found = []
    for seed in range(20):
        config = EvolutionConfig(
            population=50, elitism=0, crossover_prob=0.0, mutation_prob=mutation_prob, tournament_size=1, seed=seed
        )
        before, after = search(config, BitStrings(length), 2, one_max).asked
        chromosomes = {individual.name: individual.chromosome for individual in before}
        for individual in after:
            parent = chromosomes[individual.parents[0]]
            found.append(sum(bit != other for bit, other in zip(individual.chromosome, parent, strict=True)))
    return found


def test_by_default_one_bit_is_flipped_on_average() -> None:
    """Offspring equal to a parent are mutated on, so that one flip or more is what is left: 1 / (1 - 1/e)."""
    found = distances(None, 60)
    assert min(found) >= 1
    assert abs(mean(found) - 1 / (1 - math.exp(-1))) < 0.15


def test_mutation_prob_sets_the_share_of_flipped_bits() -> None:
    assert abs(mean(distances(0.25, 60)) - 15) < 0.5


def test_offspring_that_neither_cross_nor_mutate_are_mutated_on_until_they_are_new() -> None:
    assert min(distances(0.0, 60)) >= 1


def test_with_certain_mutation_an_offspring_is_the_opposite_of_its_parent() -> None:
    config = EvolutionConfig(elitism=0, crossover_prob=0.0, mutation_prob=1.0)
    before, after = search(config, BitStrings(40), 2, one_max).asked
    chromosomes = {individual.name: individual.chromosome for individual in before}
    taken = set(chromosomes.values())
    for individual in after:
        opposite = chromosomes[individual.parents[0]].translate(str.maketrans("01", "10"))
        assert individual.chromosome == opposite or opposite in taken
        taken.add(individual.chromosome)
    assert len(taken) == 20


@given(configurations(), spaces)
@relaxed
def test_elites_are_the_best_different_networks_of_the_generation_before(
    config: EvolutionConfig, space: SearchSpace
) -> None:
    whole = search(config, space, 5)
    for before, after in zip(whole.engine.generations, whole.asked[1:], strict=False):
        fit = [
            (
                (-individual.fitness.value, individual.fitness.loss, individual.fitness.parameters),
                -individual.index,  # of equals the youngest
                individual.chromosome,
            )
            for individual in before.individuals
            if individual.fitness is not None
        ]
        best = {space.phenotype(chromosome): chromosome for *_, chromosome in sorted(fit, reverse=True)}
        order = list(dict.fromkeys(space.phenotype(chromosome) for *_, chromosome in sorted(fit)))
        elites = [individual.chromosome for individual in after if individual.origin == "elite"]
        assert elites == [best[network] for network in order][: config.elitism]
        assert [individual.chromosome for individual in after[: len(elites)]] == elites


def generation(values: Sequence[float | None], chromosomes: Sequence[str]) -> Generation:
    return Generation(
        number=1,
        individuals=tuple(
            Individual(generation=1, index=index, chromosome=Chromosome(chromosome), origin="random").evaluated(value)
            for index, (value, chromosome) in enumerate(zip(values, chromosomes, strict=True), start=1)
        ),
    )


def test_copies_of_one_network_are_one_elite() -> None:
    told = generation([0.9, 0.9, 0.9, 0.5], ["10101010", "11101010", "10111010", "00000000"])
    engine = GeneticAlgorithm(EvolutionConfig(population=4, elitism=3), Striped(8), [told])
    elites = [individual for individual in engine.ask() if individual.origin == "elite"]
    assert [(elite.chromosome, elite.parents) for elite in elites] == [
        ("10111010", ("gen1/ind3",)),  # of equals the youngest
        ("00000000", ("gen1/ind4",)),
    ]


def test_a_failed_individual_is_never_an_elite() -> None:
    told = generation([None, 0.1, None, None], ["0000", "0111", "1011", "1111"])
    engine = GeneticAlgorithm(EvolutionConfig(population=4, elitism=3), BitStrings(4), [told])
    assert [individual.parents for individual in engine.ask() if individual.origin == "elite"] == [("gen1/ind2",)]


def test_a_failed_individual_is_never_the_best_beside_one_that_was_trained() -> None:
    told = generation([None, -5.0, None], ["00", "10", "11"])
    engine = GeneticAlgorithm(EvolutionConfig(population=3), BitStrings(2), [told])
    assert engine.best == told.individuals[1]


def test_a_search_goes_on_after_a_generation_that_failed_as_a_whole() -> None:
    config = EvolutionConfig(population=6, elitism=3)
    engine = search(config, BitStrings(20), 1, lambda individual: individual.evaluated(None)).engine
    asked = engine.ask()
    assert len(asked) == 6
    assert not any(individual.origin == "elite" for individual in asked)
    engine.tell([one_max(individual) for individual in asked])
    assert engine.best is not None
    assert engine.best.generation == 2


def test_without_elitism_nobody_is_carried_over() -> None:
    asked = search(EvolutionConfig(elitism=0), BitStrings(40), 4, one_max).asked
    assert not any(individual.origin == "elite" for generation in asked for individual in generation)


def test_there_is_no_best_before_the_first_generation_was_told() -> None:
    engine = GeneticAlgorithm(EvolutionConfig(), BitStrings(40))
    engine.ask()
    assert engine.best is None


@given(configurations(), spaces)
@relaxed
def test_the_best_has_the_highest_fitness_of_all_and_is_never_lost(config: EvolutionConfig, space: SearchSpace) -> None:
    engine = GeneticAlgorithm(config, space)
    values: list[float] = []
    for _ in range(5):
        told = [rugged(space)(individual) for individual in engine.ask()]
        engine.tell(told)
        values += [individual.fitness.value for individual in told if individual.fitness is not None]
        if engine.best is None:
            assert not values  # the first may all have failed
        else:
            assert engine.best.fitness is not None
            assert engine.best.fitness.value == max(values)


def test_an_elite_does_not_take_the_place_of_its_original_as_the_best() -> None:
    engine = search(EvolutionConfig(), BitStrings(40), 1, one_max).engine
    first = engine.best
    for _ in range(2):
        engine.tell(
            [
                individual.evaluated(0) if individual.origin != "elite" else one_max(individual)
                for individual in engine.ask()
            ]
        )
    assert engine.best == first


def test_with_elites_the_best_of_a_generation_never_gets_worse() -> None:
    engine = search(EvolutionConfig(elitism=1), BitStrings(60), 15, one_max).engine
    values = [each.best.chromosome.count("1") for each in engine.generations]
    assert values == sorted(values)


@given(configurations(), st.sampled_from(SMALL_SPACES))
@relaxed
def test_a_known_network_is_asked_for_only_when_no_new_one_is_left(config: EvolutionConfig, space: SearchSpace) -> None:
    networks, seen = every_network(space), set[str]()
    whole = search(config, space, 8)
    for asked, exhausted in zip(whole.asked, whole.exhausted, strict=True):
        assert exhausted == (seen == networks)
        for individual in asked:
            assert individual.origin != "known" or seen == networks
            seen.add(space.phenotype(individual.chromosome))


@pytest.mark.parametrize("space", [BitStrings(3), Striped(6)])
def test_a_space_of_8_networks_is_seen_whole_then_said_to_be_exhausted(space: SearchSpace) -> None:
    config = EvolutionConfig(population=4, elitism=1, tournament_size=2)
    whole = search(config, space, 4)
    new = [
        space.phenotype(individual.chromosome)
        for asked in whole.asked
        for individual in asked
        if individual.origin not in ("elite", "known")
    ]
    assert sorted(new) == sorted(every_network(space))
    assert whole.exhausted == [False, False, False, True]
    assert [individual.origin for individual in whole.asked[3]] == ["elite", "known", "known", "known"]


def test_a_space_smaller_than_the_population_is_filled_with_known_networks_at_once() -> None:
    asked = GeneticAlgorithm(EvolutionConfig(population=9), BitStrings(2)).ask()
    assert len(asked) == 9
    assert Counter(individual.origin for individual in asked) == {"random": 4, "known": 5}
    assert {individual.chromosome for individual in asked} == {"00", "01", "10", "11"}


def test_a_large_space_is_not_said_to_be_exhausted() -> None:
    assert search(EvolutionConfig(), NETWORKS, 5).exhausted == [False] * 5


def test_a_failed_individual_is_nobodys_parent_where_every_tournament_holds_a_trained_one() -> None:
    told = generation([None, 0.2, None, 0.1, 0.0, 0.3], ["000000", "000001", "000011", "000111", "001111", "011111"])
    for seed in range(50):
        config = EvolutionConfig(population=6, elitism=0, tournament_size=3, crossover_prob=0.5, seed=seed)
        parents = {
            name for individual in GeneticAlgorithm(config, BitStrings(6), [told]).ask() for name in individual.parents
        }
        assert parents.isdisjoint({"gen1/ind1", "gen1/ind3"})


@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_larger_tournament_selects_better_parents(size: int) -> None:
    places = []
    for seed in range(20):
        config = EvolutionConfig(population=50, elitism=0, crossover_prob=0.0, tournament_size=size, seed=seed)
        engine = search(config, BitStrings(60), 1, one_max).engine
        order = sorted(engine.generations[0].individuals, key=lambda individual: individual.rank)
        names = [individual.name for individual in order]
        places += [names.index(individual.parents[0]) for individual in engine.ask()]
    assert len(places) == 1000
    assert abs(mean(places) - (51 / (size + 1) - 1)) < 2  # the expected minimum of `size` places of 50
