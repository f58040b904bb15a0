"""What is said of a run's course, against small runs that can be counted by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import Fitness, Generation, Individual, RunState, TrainingResult
from records.individuals import Forecast, all_individuals
from records.texts import Chromosome, JobKey
from records.trainings import Cost, Energy, Epoch
from reporting.analysis.run_analysis import (
    PAUSE,
    accuracies_by_epochs,
    allele_frequencies,
    best_so_far,
    common_epochs,
    comparable,
    covered,
    descent,
    diversity,
    energy_used,
    entropy,
    levels,
    lineage,
    main_line,
    original,
    outcomes,
    savings,
    spending,
    timeline,
)
from search_space.genes import STANDARD
from search_space.space import NetworkSpace
from tests.faults.small_run import birth
from tests.run.test_loop import evolve


def fitness(value: float, epochs: int = 1) -> Fitness:
    return Fitness(value=value, epochs=epochs)


ZEROS = Chromosome("0" * 19)


def individual(
    generation: int,
    index: int,
    values: Sequence[float] = (),
    chromosome: Chromosome = ZEROS,
    origin: str = "random",
    parents: tuple[str, ...] = (),
    forecast: Forecast | None = None,
) -> Individual:
    """One with accuracies after 1, 2, … epochs; none is a failure."""
    reached = [fitness(value, epochs) for epochs, value in enumerate(values, 1)]
    return Individual(
        generation=generation,
        index=index,
        chromosome=chromosome,
        origin=origin,
        parents=parents,
        jobs=(JobKey(f"{generation}-{index}"),),
        fitness=reached[-1] if reached else None,
        failure=None if reached else "crashed: boom",
        earlier=tuple(reached[:-1]),
        forecast=forecast,
    )


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunState]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        folder: Path = tmp_path_factory.mktemp("halved")
        yield evolve(folder, birth(0, "rich")).state


# Progress


def test_all_are_compared_after_the_longest_training_that_all_have_gone_through() -> None:
    assert common_epochs([individual(1, 1, [0.1, 0.2, 0.3]), individual(1, 2, [0.1, 0.2])]) == 2
    assert common_epochs([individual(1, 1, [0.1]), individual(1, 2)]) == 1
    assert common_epochs([individual(1, 1)]) == 0
    assert common_epochs([]) == 0


def test_the_level_of_a_generation_counts_equal_trainings_only() -> None:
    first = Generation(number=1, individuals=(individual(1, 1, [0.1, 0.9]), individual(1, 2, [0.3]), individual(1, 3)))
    second = Generation(number=2, individuals=(individual(2, 1),))
    (level,) = levels([first, second], 1)
    assert level.generation == 1
    assert level.mean == pytest.approx(0.2)
    assert level.quartiles == pytest.approx((0.15, 0.2, 0.25))


def test_the_best_so_far_is_that_of_selection_longer_trainings_first() -> None:
    found = [individual(1, 1), individual(1, 2, [0.9]), individual(1, 3, [0.2, 0.5]), individual(1, 4, [0.95])]
    assert list(best_so_far(found)) == [None, 0.9, 0.5, 0.5]


def test_what_was_spent_is_that_of_all_results_and_counts_none_twice(halved: RunState) -> None:
    spent = spending(halved)
    epochs = sum(len(result.epochs) for result in halved.results.values())
    assert spent[-1].trainings == pytest.approx(epochs / halved.training.epochs)
    assert spent[-1].device_hours == pytest.approx(sum(each.cost.seconds for each in halved.results.values()) / 3600)
    assert all(one.trainings <= other.trainings for one, other in pairwise(spent))
    elites = [place for place, each in enumerate(spent) if each.individual.origin == "elite"]
    assert elites
    assert all(spent[place].trainings == spent[place - 1].trainings for place in elites)


def test_what_an_earlier_run_paid_for_is_no_device_time(halved: RunState) -> None:
    taken = {
        key: replace(result, cost=replace(result.cost, seconds=60.0, reused="/earlier"))
        for key, result in halved.results.items()
    }
    assert spending(replace(halved, results=taken))[-1].device_hours == 0
    assert savings(replace(halved, results=taken)).reused == len(taken)


def test_savings_add_up(halved: RunState) -> None:
    found = savings(halved)
    assert found.individuals == len(all_individuals(halved.generations))
    assert found.networks == len({each.jobs[-1] for each in all_individuals(halved.generations)})
    assert 0 < found.full_trainings < found.networks < found.individuals
    assert found.spared == pytest.approx(1 - found.full_trainings / found.individuals)


# Population

bits = st.text("01", min_size=19, max_size=19).map(Chromosome)


@given(st.lists(bits, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_diversity_is_that_of_all_pairs(chromosomes: list[str]) -> None:
    members = [individual(1, index, [0.5], Chromosome(chromosome)) for index, chromosome in enumerate(chromosomes, 1)]
    (found,) = diversity([Generation(number=1, individuals=tuple(members))], STANDARD)
    loci = STANDARD.coding_loci
    pairs = [
        np.mean([one[locus] != other[locus] for locus in loci])
        for place, one in enumerate(chromosomes)
        for other in chromosomes[:place]
    ]
    assert found.distance == pytest.approx(np.mean(pairs) if pairs else 0.0)
    assert 0 <= found.entropy <= 1
    assert found.networks == len(members)


def test_alleles_are_counted_by_locus() -> None:
    members = (individual(1, 1, [0.5], Chromosome("1" * 19)), individual(1, 2, [0.5], Chromosome("0" + "1" * 18)))
    frequencies = allele_frequencies([Generation(number=1, individuals=members)])
    assert frequencies.shape == (1, 19)
    assert frequencies[0].tolist() == [0.5] + [1.0] * 18


def test_an_even_split_is_one_bit_and_agreement_is_none() -> None:
    assert entropy(np.array([0.0, 0.5, 1.0])).tolist() == [0.0, 1.0, 0.0]


# Descent


def family() -> list[Individual]:
    first = individual(1, 1, [0.5], Chromosome("0" * 19))
    second = individual(1, 2, [0.6], Chromosome("1" * 19))
    child = individual(2, 1, [0.7], Chromosome("1" * 18 + "0"), "crossover", ("gen1/ind1", "gen1/ind2"))
    elite = replace(child, generation=3, index=1, origin="elite", parents=("gen2/ind1",))
    grandchild = individual(4, 1, [0.7, 0.9], Chromosome("1" * 17 + "00"), "mutation", ("gen3/ind1",))
    return [first, second, child, elite, grandchild]


def test_a_lineage_names_every_step_and_skips_elites() -> None:
    steps = lineage(family(), "gen4/ind1", STANDARD)
    assert [(step.parent.name, step.child.name) for step in steps] == [
        ("gen1/ind2", "gen2/ind1"),
        ("gen1/ind1", "gen2/ind1"),
        ("gen2/ind1", "gen4/ind1"),
    ]
    assert [step.loci for step in steps][::2] == [(18,), (17,)]
    assert [step.changes for step in steps][::2] == [(("block_7", 1, 2),), (("block_6", 1, 2),)]


def test_the_main_line_goes_through_the_nearer_parent() -> None:
    line = main_line(lineage(family(), "gen4/ind1", STANDARD), "gen4/ind1")
    assert [(step.parent.name, step.child.name) for step in line] == [
        ("gen1/ind2", "gen2/ind1"),
        ("gen2/ind1", "gen4/ind1"),
    ]


def test_a_gain_compares_equal_trainings() -> None:
    parent, child = individual(1, 1, [0.5, 0.8]), individual(2, 1, [0.6, 0.7, 0.99])
    step = descent(parent, child, STANDARD)
    assert step.epochs == 2
    assert step.gain == pytest.approx(-0.1)
    assert descent(parent, individual(2, 2), STANDARD).gain is None


def test_an_elite_stands_for_its_original() -> None:
    by_name = {each.name: each for each in family()}
    assert original(by_name, "gen3/ind1").name == "gen2/ind1"
    assert original(by_name, "gen1/ind1").name == "gen1/ind1"


def test_the_lineage_of_a_real_run_begins_with_networks_that_have_no_parents(halved: RunState) -> None:
    individuals = all_individuals(halved.generations)
    table = NetworkSpace.of(halved).encoding.table
    for each in individuals:
        steps = lineage(individuals, each.name, table)
        children = {step.child.name for step in steps}
        assert all(step.parent.origin == "random" for step in steps if step.parent.name not in children)
        assert all(step.parent.generation < step.child.generation for step in steps)
        assert all(step.parent.origin != "elite" != step.child.origin for step in steps)


# Forecasts


def test_outcomes_are_told_from_full_and_from_shorter_trainings() -> None:
    forecast = Forecast(mean=0.8, deviation=0.01)
    found = outcomes(
        [
            individual(1, 1, [0.5, 0.81], forecast=forecast),
            individual(1, 2, [0.4], forecast=forecast),
            individual(1, 3, [0.5, 0.9], forecast=forecast),
            individual(1, 4, [0.5, 0.7]),
            individual(1, 5, forecast=forecast),
        ]
    )
    assert [(each.individual.index, each.in_full) for each in found] == [(1, True), (2, False), (3, True)]
    assert [each.within for each in found if each.in_full] == [True, False]


def test_fully_trained_networks_keep_their_accuracy_on_the_common_scale(halved: RunState) -> None:
    individuals = all_individuals(halved.generations)
    longest = max(each.fitness.epochs for each in individuals if each.fitness)
    values = comparable(individuals)
    full = [each for each in individuals if each.fitness and each.fitness.epochs == longest]
    assert full
    assert all(values[each.name] == pytest.approx(accuracies_by_epochs(each)[longest]) for each in full)


# Devices


def result(key: str, started: float, seconds: float, device: str = "cpu 1", **cost: str) -> TrainingResult:
    return TrainingResult(
        key=JobKey(key),
        status="done",
        epochs=(Epoch(train_loss=1.0, score=0.5, loss=1.0),),
        cost=Cost(started=started, seconds=seconds, device=device, **cost),  # type: ignore[arg-type]
    )


def test_a_timeline_knows_how_busy_the_devices_were() -> None:
    found = timeline([result("b", 105.0, 10.0, "cpu 2"), result("a", 100.0, 10.0), result("c", 110.0, 10.0)])
    assert [(bar.key, bar.start, bar.end) for bar in found.bars] == [("a", 0, 10), ("b", 5, 15), ("c", 10, 20)]
    assert (found.seconds, found.busy, found.utilisation) == (20.0, 30.0, 0.75)
    assert found.pauses == ()


def test_the_time_between_sessions_is_cut_out() -> None:
    found = timeline(
        [result("a", 100.0, 10.0), result("b", 110.0 + 10 * PAUSE, 5.0), result("c", 116.0 + 10 * PAUSE, 5.0)]
    )
    assert found.pauses == ((10.0, 10 * PAUSE),)
    assert [(bar.start, bar.end) for bar in found.bars] == [(0, 10), (10, 15), (16, 21)]


def test_results_of_earlier_runs_and_those_without_a_clock_are_no_bars() -> None:
    assert timeline([result("a", 100.0, 10.0, reused="/earlier"), result("b", 0.0, 10.0)]).bars == ()
    assert timeline([]).utilisation == 0.0


def test_devices_are_in_the_order_of_their_numbers() -> None:
    found = timeline(result(str(n), 1.0 + n, 1.0, f"gpu {n}") for n in (10, 9, 2))
    assert found.devices == ("gpu 2", "gpu 9", "gpu 10")


# Energy


def trained(
    started: float, before: float, after: float, device: str = "gpu 0", gpu: str = "A", seconds: float = 10.0
) -> TrainingResult:
    found = result(f"{gpu} {started}", started, seconds, device)
    return replace(found, cost=replace(found.cost, energy=Energy(gpu=gpu, before=before, after=after)))


def joules(*results: TrainingResult) -> dict[str, float]:
    found = energy_used(results)
    return {} if found is None else dict(found.joules)


def test_energy_is_what_the_counters_ran_through_while_something_trained() -> None:
    one, other = trained(1, 500, 900), trained(20, 1000, 1300)
    assert joules(one, other) == joules(other, one) == {"gpu 0": 700}
    assert joules(one, other, trained(1, 9000, 9001, "gpu 1", "B")) == {"gpu 0": 700, "gpu 1": 1}


def test_trainings_side_by_side_on_one_gpu_are_counted_once() -> None:
    both = trained(1, 500, 900, "gpu 0.1"), trained(2, 540, 950, "gpu 0.2")
    assert joules(*both) == {"gpu 0": 450}
    assert joules(trained(1, 500, 900, "a.example.org gpu 0.1")) == {"a.example.org gpu 0": 400}
    assert joules(trained(1, 500, 900, "10.0.0.7 gpu 12")) == {"10.0.0.7 gpu 12": 400}


def test_a_driver_that_was_loaded_anew_begins_at_zero() -> None:
    before, after = trained(1, 500, 900), trained(1000, 10, 600)
    assert joules(before, after) == {"gpu 0": 990}
    assert joules(before, after, trained(1020, 650, 700), trained(1021, 640, 710)) == {"gpu 0": 1060}


def test_trainings_whose_clocks_and_counters_disagree_a_little_are_no_new_driver() -> None:
    assert joules(trained(1.00, 505, 900), trained(1.01, 500, 890)) == {"gpu 0": 400}


def test_one_gpu_under_two_names_and_two_under_one() -> None:
    assert joules(trained(1, 0, 5, "gpu 3"), trained(20, 7, 8, "gpu 0")) == {"gpu 3": 6}
    assert joules(trained(1, 0, 5), trained(20, 7, 8, gpu="B")) == {"gpu 0": 6}


def test_where_nothing_is_known_nothing_is_said_and_what_is_missing_is() -> None:
    assert energy_used([]) is None
    assert energy_used([result("a", 1.0, 1.0)]) is None
    found = energy_used([result("a", 1.0, 1.0), trained(2, 0, 3.6e6)])
    assert found is not None
    assert found.words == "1.00 kWh (gpu 0 1.00; 1 of 2 trainings)"


def test_what_an_earlier_run_paid_for_is_not_counted() -> None:
    paid = trained(1, 0, 100)
    assert energy_used([replace(paid, cost=replace(paid.cost, reused="/earlier"))]) is None


def test_energy_in_words_names_each_gpu_in_order() -> None:
    found = energy_used(
        [trained(1, 0, 3.6e6, "gpu 10", "A"), trained(1, 0, 9e5, "gpu 2", "B"), trained(1, 0, 7.2e9, "gpu 1", "C")]
    )
    assert found is not None
    assert found.words == "2,001.25 kWh (gpu 1 2,000.00, gpu 2 0.25, gpu 10 1.00)"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=8))
def test_what_intervals_cover_is_counted_once(pairs: list[list[int]]) -> None:
    units = {unit for start, end in pairs for unit in range(start, end)}
    assert covered((float(start), float(end)) for start, end in pairs) == len(units)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=8),
    st.integers(0, 10**6),
    st.floats(1, 1000),
)
def test_on_a_gpu_of_one_power_energy_is_power_times_the_time_in_which_something_trained(
    trainings: list[tuple[int, int]], offset: int, power: float
) -> None:
    results = [
        trained(1 + start, power * (offset + start), power * (offset + start + length), seconds=length)
        for start, length in trainings
    ]
    busy = {second for start, length in trainings for second in range(start, start + length)}
    assert joules(*results) == pytest.approx({"gpu 0": power * len(busy)})
