"""Allele frequencies have a cell for each bit and generation."""

from __future__ import annotations

import numpy as np

from records import RunState
from reporting.figures.alleles import draw_alleles
from search_space.genes import STANDARD


def test_alleles_have_a_row_for_each_coding_bit_and_a_column_for_each_generation(state: RunState) -> None:
    left, right, *_ = draw_alleles(state.generations, STANDARD).axes
    for axes in (left, right):
        assert np.asarray(axes.collections[0].get_array()).shape == (15, 4)
    assert len(left.get_yticklabels()) == 15
