"""The engine: a pure function of configuration, seed and fitness that finds what is best and asks nothing twice."""

from __future__ import annotations

import itertools
import math
import random
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Fitness, Generation, Individual
from records.texts import Chromosome
from search.base import BitStrings, SearchSpace
from search.operators import (
    CROSSOVERS,
    Bits,
    mutate,
    one_point_crossover,
    to_bits,
    to_chromosome,
    tournament_selection,
    two_point_crossover,
    uniform_crossover,
)
from search_space.encoding import Encoding
from search_space.space import NetworkSpace

NETWORKS = NetworkSpace(Encoding((1, 8, 8), 10))
Evaluate = Callable[[Individual], Individual]


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


def one_max(individual: Individual) -> Individual:
    return individual.evaluated(individual.chromosome.count("1"))


def rugged(space: SearchSpace) -> Evaluate:
    """A fitness without any slope, a function of the network: few values, many ties, one in six fails."""

    def evaluate(individual: Individual) -> Individual:
        number = zlib.crc32(space.phenotype(individual.chromosome).encode())
        if number % 6 == 0:
            return individual.evaluated(None)
        return individual.evaluated(number // 7 % 4, loss=number // 31 % 2, parameters=number // 63 % 2)

    return evaluate


@dataclass
class Search:
    """One search: what was asked for in each generation, and the engine that asked."""

    engine: GeneticAlgorithm
    asked: list[list[Individual]] = field(default_factory=list)
    exhausted: list[bool] = field(default_factory=list)  # after each `ask`

    def run(self, generations: int, evaluate: Evaluate) -> Search:
        for _ in range(generations):
            self.asked.append(self.engine.ask())
            self.exhausted.append(self.engine.is_exhausted)
            self.engine.tell([evaluate(individual) for individual in self.asked[-1]])
        return self


def search(config: EvolutionConfig, space: SearchSpace, generations: int, evaluate: Evaluate | None = None) -> Search:
    return Search(GeneticAlgorithm(config, space)).run(generations, evaluate or rugged(space))


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
relaxed = settings(deadline=None, max_examples=30)


def every_network(space: SearchSpace) -> set[str]:
    return {space.phenotype(Chromosome("".join(bits))) for bits in itertools.product("01", repeat=space.length)}


# OneMax


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


# A pure function


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


# What is asked for


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


def sections(crossover: str) -> list[int]:
    """Of each pure crossover: how often one goes over from one parent to the other, where the parents differ."""
    config = EvolutionConfig(population=30, crossover=crossover, crossover_prob=1.0, mutation_prob=0.0)
    found = []
    for before, after in itertools.pairwise(search(config, BitStrings(40), 3, one_max).asked):
        chromosomes = {individual.name: individual.chromosome for individual in before}
        for individual in after:
            if individual.origin == "crossover":
                first, second = (chromosomes[name] for name in individual.parents)
                bits = zip(individual.chromosome, first, second, strict=True)
                sources = [bit == one for bit, one, other in bits if one != other]
                found.append(sum(here != there for here, there in itertools.pairwise(sources)))
    return found


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


# Elites and the best


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


# Small spaces


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


# Telling


@pytest.mark.parametrize("number", [0, 2, 3])
def test_individuals_of_another_generation_are_refused(number: int) -> None:
    engine = search(EvolutionConfig(population=2, tournament_size=1, elitism=0), BitStrings(8), 0).engine
    stranger = Individual(generation=number, index=1, chromosome=Chromosome("0" * 8), origin="random").evaluated(1.0)
    with pytest.raises(ValueError, match=rf"up to 2 individuals of generation 1, .* found \[\({number}, 1\)\]"):
        engine.tell([stranger])
    assert engine.generations == []


def test_a_mixture_of_generations_and_nothing_at_all_are_refused() -> None:
    engine = search(EvolutionConfig(), BitStrings(20), 1, one_max).engine
    second = [one_max(individual) for individual in engine.ask()]
    for told in ([], [*engine.generations[0].individuals[:1], *second[1:]], engine.generations[0].individuals):
        with pytest.raises(ValueError, match="generation 2"):
            engine.tell(told)
    engine.tell(second)
    assert [each.number for each in engine.generations] == [1, 2]


# Selection


def ranked(count: int, failed: int = 0) -> list[Individual]:
    """Individuals from best to worst; the last `failed` of them failed."""
    return sorted(
        (
            Individual(generation=1, index=index, chromosome=Chromosome(f"{index:08b}"), origin="random").evaluated(
                None if index > count - failed else float(count - index)
            )
            for index in range(1, count + 1)
        ),
        key=lambda individual: individual.rank,
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_each_rank_wins_a_tournament_as_often_as_drawing_without_replacement_makes_it(size: int) -> None:
    individuals, rng, draws = ranked(10), np.random.default_rng(20), 4000
    won = Counter(tournament_selection(rng, individuals, size).index for _ in range(draws))
    for index in range(1, 11):
        probability = math.comb(10 - index, size - 1) / math.comb(10, size)
        assert abs(won[index] / draws - probability) < 0.035  # over 4 standard errors


def test_a_tournament_of_all_is_won_by_the_best() -> None:
    individuals, rng = ranked(6), np.random.default_rng(1)
    assert all(tournament_selection(rng, individuals, 6) is individuals[0] for _ in range(50))


@given(st.integers(1, 12), st.data())
@relaxed
def test_a_failed_individual_loses_every_tournament(count: int, data: st.DataObject) -> None:
    failed = data.draw(st.integers(0, count - 1))
    size = data.draw(st.integers(failed + 1, count))  # room for one that did not fail
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    winner = tournament_selection(rng, ranked(count, failed), size)
    assert winner.fitness is not None


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


# Operators

bit_arrays = st.text("01", min_size=1, max_size=40).map(Chromosome).map(to_bits)
pairs_of_parents = st.integers(1, 40).flatmap(
    lambda length: st.tuples(*[st.text("01", min_size=length, max_size=length).map(Chromosome).map(to_bits)] * 2)
)
generators = st.integers(0, 2**32).map(np.random.default_rng)


@pytest.mark.parametrize("name", CROSSOVERS)
def test_a_crossover_takes_every_bit_from_a_parent_and_leaves_the_parents_alone(name: str) -> None:
    @given(generators, pairs_of_parents)
    @relaxed
    def holds(rng: np.random.Generator, parents: tuple[Bits, Bits]) -> None:
        first, second = parents
        kept = first.copy(), second.copy()
        child = CROSSOVERS[name](rng, first, second)
        assert child.shape == first.shape
        assert child.dtype == np.uint8
        assert ((child == first) | (child == second)).all()
        assert (first == kept[0]).all()
        assert (second == kept[1]).all()

    holds()


def children(name: str, length: int, count: int) -> Counter[str]:
    """Children of a parent of zeros and one of ones."""
    rng = np.random.default_rng(3)
    zeros, ones = np.zeros(length, np.uint8), np.ones(length, np.uint8)
    return Counter(to_chromosome(CROSSOVERS[name](rng, zeros, ones)) for _ in range(count))


def test_uniform_crossover_makes_every_mixture_equally_often() -> None:
    made = children("uniform", 3, 4000)
    assert len(made) == 8
    assert all(abs(count / 4000 - 1 / 8) < 0.025 for count in made.values())


def test_one_point_crossover_makes_every_cut_equally_often_and_nothing_else() -> None:
    made = children("one_point", 5, 4000)
    assert made.keys() == {"01111", "00111", "00011", "00001"}
    assert all(abs(count / 4000 - 1 / 4) < 0.03 for count in made.values())


def test_two_point_crossover_makes_every_section_and_nothing_else() -> None:
    made = children("two_point", 4, 4000)
    sections = {"0" * start + "1" * (end - start) + "0" * (4 - end) for start in range(5) for end in range(start, 5)}
    assert made.keys() == sections


def test_a_single_bit_can_be_crossed() -> None:
    rng, zero, one = np.random.default_rng(0), np.zeros(1, np.uint8), np.ones(1, np.uint8)
    for crossover in (uniform_crossover, one_point_crossover, two_point_crossover):
        assert crossover(rng, zero, one).tolist() in ([0], [1])


@given(generators, bit_arrays)
@relaxed
def test_mutation_with_0_changes_nothing_and_with_1_everything(rng: np.random.Generator, bits: Bits) -> None:
    kept = bits.copy()
    assert (mutate(rng, bits, 0.0) == bits).all()
    assert (mutate(rng, bits, 1.0) == 1 - bits).all()
    assert (bits == kept).all()


@pytest.mark.parametrize("probability", [0.01, 0.3, 0.8])
def test_mutation_flips_each_bit_as_often_as_it_should(probability: float) -> None:
    rng, bits = np.random.default_rng(7), np.tile(np.array([0, 1], np.uint8), 10)
    flips = np.array([mutate(rng, bits, probability) != bits for _ in range(2000)])
    error = math.sqrt(probability * (1 - probability) / 2000)
    assert (abs(flips.mean(axis=0) - probability) < 4.5 * error).all()


@given(st.text("01", max_size=50))
@relaxed
def test_bits_and_chromosome_are_each_others_inverse(chromosome: Chromosome) -> None:
    bits = to_bits(chromosome)
    assert bits.tolist() == [int(bit) for bit in chromosome]
    assert to_chromosome(bits) == chromosome
