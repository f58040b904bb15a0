"""The means of gene values."""

from __future__ import annotations

import numpy as np

from reporting.figures.gene_values import draw_gene_values
from tests.reporting.figures.effects import RUNS, SOME, written


def test_values_are_shown_with_their_networks_and_what_never_varied_is_named() -> None:
    found = written(draw_gene_values(SOME))
    assert {"kernel", "residual", "dropout", "pooling place", "never varied", "yes", "no", "0.1", "early"} <= set(found)
    assert "late" not in found  # of a gene that never varied, only what was
    assert sorted(each for each in found if each in {"3", "6", "1", "0", "10"} and each)  # counts
    (axes,) = draw_gene_values(SOME).axes
    counts = [text.get_text() for text in axes.texts if text.get_text().isdigit()]
    assert counts == ["4", "6", "3", "6", "1", "0", "5", "5", "10"]  # residual, kernel, dropout, pooling place
    dots = [float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [0.88, 0.91, 0.85, 0.93, 0.9, 0.9, 0.89, 0.9]


def test_an_interval_that_leaves_the_axes_ends_in_an_arrow() -> None:
    (axes,) = draw_gene_values(RUNS["wide intervals"]).axes
    assert [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">")] == ["<", ">", "<", ">"]
    (axes,) = draw_gene_values(SOME).axes
    assert not [line for line in axes.lines if line.get_marker() in ("<", ">")]
