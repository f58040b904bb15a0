"""The predictor: it finds planted structure, knows what it does not know, and is the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Fitness, Generation, Individual
from records.texts import Chromosome
from search.base import BitStrings, SearchSpace
from search.operators import to_bits, to_chromosome
from search.surrogate import FitnessPredictor

ROOT = Path(__file__).parent.parent.parent
SPACE = BitStrings(16)
NOISE = 0.3  # of the spread of the truth


def draw(rng: np.random.Generator, count: int, length: int = 16) -> list[Chromosome]:
    return list(dict.fromkeys(to_chromosome(row) for row in rng.integers(0, 2, (count, length), dtype=np.uint8)))


def told(chromosomes: Sequence[Chromosome], values: Sequence[float | None], epochs: int = 0) -> list[Individual]:
    """Individuals with these fitnesses; None stands for a failure."""
    return [
        Individual(
            generation=1,
            index=index,
            chromosome=chromosome,
            origin="random",
            fitness=None if value is None else Fitness(value=value, epochs=epochs),
        )
        for index, (chromosome, value) in enumerate(zip(chromosomes, values, strict=True), 1)
    ]


class Planted:
    """An additive truth over 16 bits, seen with noise by training."""

    def __init__(self, seed: int, networks: int = 60) -> None:
        self.rng = np.random.default_rng(seed)
        self.weights: NDArray[np.float64] = self.rng.normal(size=16)
        chromosomes = draw(self.rng, networks + 200)
        self.trained, self.others = chromosomes[:networks], chromosomes[networks:]
        spread = float(np.std([self.truth(each) for each in chromosomes]))
        seen = [self.truth(each) + NOISE * spread * float(self.rng.normal()) for each in self.trained]
        self.individuals = told(self.trained, seen)
        self.model = FitnessPredictor(SPACE, self.individuals)

    def truth(self, chromosome: Chromosome) -> float:
        return float(to_bits(chromosome) @ self.weights)


@pytest.mark.parametrize("seed", range(5))
def test_networks_that_were_never_trained_are_ranked_as_they_are(seed: int) -> None:
    planted = Planted(seed)
    forecasts = planted.model.forecasts(planted.others)
    truth = [planted.truth(each) for each in planted.others]
    means = [forecast.mean for forecast in forecasts]
    assert spearmanr(means, truth).statistic > 0.85
    assert np.mean(np.abs(np.array(means) - truth)) < 0.5 * np.std(truth)


@pytest.mark.parametrize("seed", range(3))
def test_truth_lies_within_two_deviations_of_most_forecasts(seed: int) -> None:
    planted = Planted(seed)
    forecasts = planted.model.forecasts(planted.others)
    errors = [planted.truth(each) - forecast.mean for each, forecast in zip(planted.others, forecasts, strict=True)]
    within = [abs(error) < 2 * forecast.deviation for error, forecast in zip(errors, forecasts, strict=True)]
    assert np.mean(within) > 0.8


def test_more_evidence_is_a_smaller_deviation() -> None:
    few, many = Planted(0, networks=20), Planted(0, networks=200)
    assert np.mean([each.deviation for each in many.model.forecasts(many.others)]) < np.mean(
        [each.deviation for each in few.model.forecasts(few.others)]
    )
    alone = FitnessPredictor(SPACE, told([Chromosome(f"{n:016b}") for n in range(8)], list(range(8))))
    known, strange = alone.forecasts([Chromosome("0" * 16), Chromosome("1" * 16)])
    assert known.deviation < strange.deviation


@pytest.mark.parametrize("seed", range(3))
def test_the_chosen_are_distinct_and_from_the_good_region(seed: int) -> None:
    planted = Planted(seed)
    chosen = planted.model.choose(planted.others, 10)
    assert len(set(chosen)) == 10
    truth = np.array([planted.truth(each) for each in planted.others])
    assert truth[chosen].mean() > np.quantile(truth, 0.8)


@given(count=st.integers(0, 12), wanted=st.integers(0, 15), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_no_more_are_chosen_than_there_are_and_none_twice(count: int, wanted: int, seed: int) -> None:
    model = FitnessPredictor(SPACE, by_ones(draw(np.random.default_rng(seed), 12)))
    if count == 0:
        return
    offered = draw(np.random.default_rng(seed + 100), count)
    chosen = model.choose(offered, wanted)
    assert len(chosen) == len(set(chosen)) == min(wanted, len(offered))
    assert all(0 <= index < len(offered) for index in chosen)


def by_ones(chromosomes: Sequence[Chromosome]) -> list[Individual]:
    return told(chromosomes, [each.count("1") / 16 for each in chromosomes])


def test_of_near_twins_one_is_chosen_and_then_another_region() -> None:
    """What a first training would tell of its neighbour is not paid for again."""
    planted = Planted(1, networks=12)
    expected = planted.model.optimism(planted.others)
    order = list(np.argsort(-expected, kind="stable"))
    chosen = planted.model.choose(planted.others, 20)
    assert chosen[0] == order[0]
    assert chosen != order[:20]  # the plain order would take neighbours


SCRIPT = """
import numpy as np
from tests.search.test_surrogate import Planted
planted = Planted(3)
forecasts = planted.model.forecasts(planted.others)
print([(each.mean.hex(), each.deviation.hex()) for each in forecasts])
print(planted.model.choose(planted.others, 12), [v.hex() for v in planted.model.optimism(planted.others).tolist()])
print([value.hex() for value in planted.model.estimates(planted.individuals)])
"""


def test_the_same_bits_in_every_process_and_with_any_number_of_threads() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads, seed in (("1", "0"), ("3", "1"))
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


# Rungs


def two_rungs(seed: int, networks: int = 60) -> tuple[list[Individual], NDArray[np.float64]]:
    """Networks that all trained for 1 epoch (to a third of their accuracy), every third, the better ones, for 9."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=16)
    chromosomes = draw(rng, networks)
    quality = np.array([to_bits(each) @ weights for each in chromosomes])
    quality = 0.5 + 0.4 * (quality - quality.mean()) / abs(quality - quality.mean()).max()
    threshold = np.quantile(quality, 2 / 3)
    individuals = []
    for index, (chromosome, value) in enumerate(zip(chromosomes, quality.tolist(), strict=True), 1):
        short, long = Fitness(value=value / 3, epochs=1), Fitness(value=value, epochs=9)
        goes_on = value > threshold
        individuals.append(
            Individual(
                generation=1,
                index=index,
                chromosome=chromosome,
                origin="random",
                fitness=long if goes_on else short,
                earlier=(short,) if goes_on else (),
            )
        )
    return individuals, quality


@pytest.mark.parametrize("seed", range(3))
def test_short_and_long_trainings_are_compared_on_one_scale(seed: int) -> None:
    individuals, quality = two_rungs(seed)
    model = FitnessPredictor(SPACE, individuals)
    forecasts = [forecast.mean for forecast in model.forecasts([each.chromosome for each in individuals])]
    # Networks that only trained for 1 epoch are expected at 9 to reach what the longer ones say they would.
    upper = quality > np.median(quality)
    assert np.abs(np.array(forecasts) - quality)[upper].max() < 0.12
    assert spearmanr(forecasts, quality).statistic > 0.9


def test_a_short_training_is_not_taken_for_a_poor_network() -> None:
    individuals, quality = two_rungs(0)
    best = int(np.argmax(quality))
    # The best network of all, known by its short training alone.
    cut = replace(individuals[best], fitness=individuals[best].earlier[0], earlier=())
    model = FitnessPredictor(SPACE, [*individuals[:best], cut, *individuals[best + 1 :]])
    forecast = model.forecasts([cut.chromosome])[0]
    assert cut.fitness is not None
    assert forecast.mean > np.quantile(quality, 0.8) > cut.fitness.value


# What may not break it


def test_a_failure_counts_as_the_worst() -> None:
    rng = np.random.default_rng(5)
    chromosomes = draw(rng, 60)
    values: list[float | None] = [
        None if each[0] == "1" else 0.5 + 0.02 * each.count("1") + 0.01 * float(rng.normal()) for each in chromosomes
    ]
    model = FitnessPredictor(SPACE, told(chromosomes, values))
    others = draw(rng, 100)
    forecasts = {each: forecast.mean for each, forecast in zip(others, model.forecasts(others), strict=True)}
    failing = [forecasts[each] for each in others if each[0] == "1"]
    sound = [forecasts[each] for each in others if each[0] == "0"]
    assert np.mean(failing) < np.mean(sound) - 0.02
    chosen = [others[index] for index in model.choose(others, 10)]
    assert sum(each[0] == "0" for each in chosen) >= 9


@pytest.mark.parametrize("values", [[0.5] * 12, [None] * 12, [None] * 11 + [0.5], [0.1] * 11 + [0.9]])
def test_results_that_tell_nothing_do_not_break_it(values: list[float | None]) -> None:
    chromosomes = draw(np.random.default_rng(0), 40)
    model = FitnessPredictor(SPACE, told(chromosomes[:12], values))
    forecasts = model.forecasts(chromosomes)
    assert all(np.isfinite((each.mean, each.deviation)).all() for each in forecasts)
    assert all(each.deviation > 0 for each in forecasts)
    assert len(set(model.choose(chromosomes, 10))) == 10
    if len(set(values)) == 1:
        expected = values[0] or 0.0
        assert [each.mean for each in forecasts] == pytest.approx([expected] * len(chromosomes), abs=1e-6)


@given(
    st.lists(st.none() | st.floats(-10, 10), min_size=8, max_size=20),
    st.lists(st.sampled_from([1, 3, 9]), min_size=20, max_size=20),
)
@settings(deadline=None, max_examples=40)
def test_any_results_give_finite_forecasts(values: list[float | None], epochs: list[int]) -> None:
    chromosomes = draw(np.random.default_rng(1), 40)
    individuals = [
        replace(each, fitness=each.fitness and replace(each.fitness, epochs=length))
        for each, length in zip(told(chromosomes[: len(values)], values), epochs, strict=False)
    ]
    model = FitnessPredictor(SPACE, individuals)
    forecasts = model.forecasts(chromosomes)
    assert np.isfinite([(each.mean, each.deviation) for each in forecasts]).all()
    assert np.isfinite(model.estimates(individuals)).all()
    assert len(set(model.choose(chromosomes, 5))) == 5


def test_a_network_that_lives_on_counts_once() -> None:
    planted = Planted(2)
    elites = [replace(each, generation=2, origin="elite") for each in planted.individuals[:5]]
    again = FitnessPredictor(SPACE, [*planted.individuals, *elites])
    assert again.forecasts(planted.others) == planted.model.forecasts(planted.others)


def test_an_estimate_lies_between_what_was_measured_and_what_was_expected() -> None:
    planted = Planted(4)
    expected = [each.mean for each in planted.model.forecasts(planted.trained)]
    estimates = planted.model.estimates(planted.individuals)
    for individual, mean, estimate in zip(planted.individuals, expected, estimates, strict=True):
        assert individual.fitness is not None
        low, high = sorted((mean, individual.fitness.value))
        assert low <= estimate <= high
    truth = np.array([planted.truth(each) for each in planted.trained])
    measured = np.array([each.fitness.value for each in planted.individuals if each.fitness])
    assert np.abs(np.array(estimates) - truth).mean() < np.abs(measured - truth).mean()


def test_a_generation_after_1000_results_on_64_bits_is_asked_for_in_seconds() -> None:
    """The promise is 2 s; the margin is for machines that are busy."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=64)
    space: SearchSpace = BitStrings(64)
    generations = []
    for number in range(1, 51):
        chromosomes = draw(rng, 20, 64)
        individuals = told(chromosomes, [float(to_bits(each) @ weights) for each in chromosomes])
        generations.append(
            Generation(number=number, individuals=tuple(replace(each, generation=number) for each in individuals))
        )
    engine = GeneticAlgorithm(EvolutionConfig(population=20), space, generations, FitnessPredictor)
    clock = time.perf_counter()
    asked = engine.ask()
    assert time.perf_counter() - clock < 8
    assert all(each.forecast is not None for each in asked if each.origin != "elite")
