"""Savings add up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from records import RunState
from records.individuals import all_individuals
from reporting.analysis.progress import spending
from reporting.analysis.savings import savings


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
    assert found.share == pytest.approx(1 - found.full_trainings / found.individuals)
