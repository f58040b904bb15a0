"""The expected seconds of a training: ordered by effort at first, then near what was measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.texts import Chromosome
from run.training_time import PRIOR, Effort, TrainingTime
from search_space.encoding import Encoding, decode

ENCODING = Encoding((3, 32, 32), 10)
CHROMOSOMES = st.text("01", min_size=19, max_size=19).map(Chromosome)


def effort(chromosome: Chromosome, images: int = 1000, batch: int = 100) -> Effort:
    return Effort(decode(ENCODING, chromosome), images, batch)


def some_efforts(count: int, seed: int = 0) -> list[Effort]:
    bits = np.random.default_rng(seed).integers(0, 2, (count, 19))
    return [effort(Chromosome("".join(map(str, row)))) for row in bits]


SLOW = PRIOR * 40 * np.array([0.5, 3.0, 1.5, 1.0, 2.0])  # a device with prices of its own


def test_before_the_first_measurement_more_work_takes_longer() -> None:
    times = TrainingTime()
    small, large = effort(Chromosome("0" * 12 + "1" * 7)), effort(Chromosome("11" + "0" * 17))
    assert times.seconds(small) < times.seconds(large)
    assert times.seconds(small) < times.seconds(effort(Chromosome("0" * 12 + "1" * 7), images=2000))


def test_one_measurement_sets_the_scale() -> None:
    one, *others = some_efforts(20)
    times = TrainingTime([(one, 17.0)])
    assert times.seconds(one) == pytest.approx(17.0)
    prior = TrainingTime()
    for other in others:
        assert times.seconds(other) / 17.0 == pytest.approx(prior.seconds(other) / prior.seconds(one))


def test_the_prices_of_a_device_are_learned() -> None:
    known, unknown = some_efforts(10), some_efforts(30, seed=1)
    measured = [(each, float(each.features @ SLOW)) for each in known]

    def error(times: TrainingTime) -> float:
        return float(np.median([abs(times.seconds(each) / float(each.features @ SLOW) - 1) for each in unknown]))

    assert error(TrainingTime(measured)) < 0.1
    assert error(TrainingTime(measured)) < error(TrainingTime(measured[:1]))


@given(st.lists(st.tuples(CHROMOSOMES, st.floats(0, 1e6)), max_size=12), CHROMOSOMES)
@settings(deadline=None, max_examples=50)
def test_whatever_was_measured_an_expectation_is_a_positive_number(
    measured: list[tuple[str, float]], chromosome: Chromosome
) -> None:
    pairs = [(effort(Chromosome(bits)), seconds) for bits, seconds in measured]
    seconds = TrainingTime(pairs).seconds(effort(chromosome))
    assert 0 < seconds < float("inf")
    assert seconds == TrainingTime(pairs).seconds(effort(chromosome))


def test_equal_networks_take_longer_with_more_images() -> None:
    times = TrainingTime([(each, 1.0) for each in some_efforts(5)])
    seconds = [times.seconds(effort(Chromosome("01" * 9 + "0"), images)) for images in (100, 200, 400)]
    assert all(first < second for first, second in pairwise(seconds))
