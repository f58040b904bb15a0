"""Interactions of genes, and which of them are clear."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from reporting.figures.gene_interactions import draw_interactions
from tests.reporting.figures.effects import RUNS, SOME, written


def test_clear_interactions_are_ringed_and_told_and_genes_that_never_varied_left_out() -> None:
    figure = draw_interactions(SOME)
    axes = figure.axes[0]
    (ring,) = axes.lines
    columns = [text.get_text() for text in axes.get_xticklabels()]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    (x,), (y,) = np.asarray(ring.get_xdata()), np.asarray(ring.get_ydata())
    assert (columns[int(x)], rows[int(y)]) == ("kernel", "residual")
    assert "pooling place" not in {*columns, *rows}
    (cells,) = axes.collections
    strengths = np.asarray(cells.get_array(), float)
    assert strengths[int(y), int(x)] == pytest.approx(1.2)
    caption = next(text for text in written(figure) if "clearer than chance" in text)
    assert "kernel × residual: 1.2 points" in caption
    assert "never varied: pooling place" in caption
    quiet = replace(SOME, interactions=tuple(replace(each, chance=1.0) for each in SOME.interactions))
    assert any("none is clearer than chance" in text for text in written(draw_interactions(quiet)))


def test_a_ring_stands_out_from_its_cell() -> None:
    figure = draw_interactions(RUNS["many genes"])
    axes = figure.axes[0]
    (cells,) = axes.collections
    cell = np.asarray(cells.cmap(cells.norm(1.0)))[:3]  # type: ignore[arg-type]
    for ring in axes.lines:
        assert np.abs(np.array(to_rgba(ring.get_color())[:3]) - cell).max() > 0.5
    assert len(axes.lines) == 24 * 23 // 2
    assert any("and 272 more" in text for text in written(figure))
