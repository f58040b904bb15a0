"""Diversity over generations."""

from __future__ import annotations

import numpy as np

from records import RunState
from reporting.analysis.population import diversity
from reporting.figures.diversity import draw_diversity
from search_space.genes import STANDARD


def test_diversity_has_a_point_for_each_generation(state: RunState) -> None:
    (axes,) = draw_diversity(diversity(state.generations, STANDARD)).axes
    assert all(len(np.asarray(line.get_xydata())) == 4 for line in axes.lines)
