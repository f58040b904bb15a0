"""The main effects of genes."""

from __future__ import annotations

import numpy as np
import pytest

from reporting.figures.main_effects import draw_main_effects
from tests.reporting.figures.effects import SOME, written


def test_effects_are_ranked_and_filled_where_their_interval_leaves_out_zero() -> None:
    figure = draw_main_effects(SOME)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert names == ["residual", "kernel", "dropout"]
    found = written(figure)
    assert "importance 3.0 (0.0–6.0) points" in found
    assert any("percentage points" in text and "never varied: pooling place" in text for text in found)
    assert any("not tried" in text for text in found)
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    filled = [line.get_markerfacecolor() != "none" for line in dots]
    assert [float(np.asarray(line.get_xdata())[0]) for line in dots] == pytest.approx([-3, 3, -2, 2, 0.1, 1, -1])
    assert filled == [True, True, True, True, False, True, True]
