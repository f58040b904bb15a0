"""Forecasts against outcomes."""

from __future__ import annotations

import numpy as np

from records import RunState
from records.individuals import all_individuals
from reporting.analysis.forecasts import outcomes
from reporting.figures.forecasts import draw_forecasts
from tests.reporting.figures.drawn import texts


def test_forecasts_are_drawn_on_one_scale(state: RunState) -> None:
    found = outcomes(all_individuals(state.generations))
    assert found
    (axes,) = draw_forecasts(found).axes
    assert axes.get_xlim() == axes.get_ylim()
    assert sum(len(np.asarray(line.get_xydata())) for line in axes.lines if line.get_marker() == "o") == len(found)
    assert texts(draw_forecasts([])) == ["no network was chosen by a forecast"]
