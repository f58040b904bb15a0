"""The state of a run and what it leaves behind."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given

from records import (
    RunState,
)
from records.runs import Finalist
from records.texts import Chromosome
from tests.records.strategies import STATES, relaxed


@given(STATES)
@relaxed
def test_a_state_counts_its_evaluated_generations(state: RunState) -> None:
    assert state.generation == len(state.generations)


def test_a_finalists_mean_and_standard_error_are_those_of_its_trainings() -> None:
    finalist = Finalist(individual="gen1/ind1", chromosome=Chromosome("0"), accuracies=(0.5, 0.7, 0.9))
    assert finalist.mean == pytest.approx(0.7)
    assert finalist.standard_error == pytest.approx(0.2 / math.sqrt(3))
    assert replace(finalist, accuracies=(0.5,)).standard_error is None
