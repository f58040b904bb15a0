"""Individuals are compared after trainings of equal length."""

from __future__ import annotations

import pytest

from records import RunState
from records.individuals import all_individuals
from reporting.analysis.accuracies import accuracies_by_epochs, best_so_far, common_epochs, comparable
from tests.reporting.examples import individual


# Progress
def test_all_are_compared_after_the_longest_training_that_all_have_gone_through() -> None:
    assert common_epochs([individual(1, 1, [0.1, 0.2, 0.3]), individual(1, 2, [0.1, 0.2])]) == 2
    assert common_epochs([individual(1, 1, [0.1]), individual(1, 2)]) == 1
    assert common_epochs([individual(1, 1)]) == 0
    assert common_epochs([]) == 0


def test_the_best_so_far_is_that_of_selection_longer_trainings_first() -> None:
    found = [individual(1, 1), individual(1, 2, [0.9]), individual(1, 3, [0.2, 0.5]), individual(1, 4, [0.95])]
    assert list(best_so_far(found)) == [None, 0.9, 0.5, 0.5]


def test_fully_trained_networks_keep_their_accuracy_on_the_common_scale(halved: RunState) -> None:
    individuals = all_individuals(halved.generations)
    longest = max(each.fitness.epochs for each in individuals if each.fitness)
    values = comparable(individuals)
    full = [each for each in individuals if each.fitness and each.fitness.epochs == longest]
    assert full
    assert all(values[each.name] == pytest.approx(accuracies_by_epochs(each)[longest]) for each in full)
