"""Levels and spending, against small runs that can be counted by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from records import Generation, RunState
from reporting.analysis.progress import levels, spending
from tests.reporting.examples import individual


def test_the_level_of_a_generation_counts_equal_trainings_only() -> None:
    first = Generation(number=1, individuals=(individual(1, 1, [0.1, 0.9]), individual(1, 2, [0.3]), individual(1, 3)))
    second = Generation(number=2, individuals=(individual(2, 1),))
    (level,) = levels([first, second], 1)
    assert level.generation == 1
    assert level.mean == pytest.approx(0.2)
    assert level.quartiles == pytest.approx((0.15, 0.2, 0.25))


def test_what_was_spent_is_that_of_all_results_and_counts_none_twice(halved: RunState) -> None:
    spent = spending(halved)
    epochs = sum(len(result.epochs) for result in halved.results.values())
    assert spent[-1].trainings == pytest.approx(epochs / halved.training.epochs)
    assert spent[-1].device_hours == pytest.approx(sum(each.cost.seconds for each in halved.results.values()) / 3600)
    assert all(one.trainings <= other.trainings for one, other in pairwise(spent))
    elites = [place for place, each in enumerate(spent) if each.individual.origin == "elite"]
    assert elites
    assert all(spent[place].trainings == spent[place - 1].trainings for place in elites)
