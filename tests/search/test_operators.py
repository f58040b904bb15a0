"""Selection, crossover and mutation."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import Individual
from records.texts import Chromosome
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
from tests.genetic_algorithm.searches import relaxed


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
