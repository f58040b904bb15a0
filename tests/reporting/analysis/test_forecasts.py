"""Forecasts against outcomes."""

from __future__ import annotations

from records.individuals import Forecast
from reporting.analysis.forecasts import outcomes
from tests.reporting.examples import individual


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
