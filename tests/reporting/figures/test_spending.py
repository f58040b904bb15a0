"""The best so far against the cost."""

from __future__ import annotations

import numpy as np
import pytest

from records import RunState
from reporting.analysis.progress import spending
from reporting.figures.spending import draw_spending


def test_spending_ends_where_the_run_did(state: RunState) -> None:
    spent = spending(state)
    trainings, _ = draw_spending(spent).axes
    steps = next(line for line in trainings.lines if line.get_label() == "best so far")
    assert np.asarray(steps.get_xydata())[-1, 0] == pytest.approx(spent[-1].trainings)
