"""Every full training has its learning curve."""

from __future__ import annotations

import numpy as np

from records import RunState
from records.individuals import all_individuals
from reporting.figures.learning_curves import draw_learning_curves


def test_every_training_in_full_has_its_learning_curve(state: RunState) -> None:
    figure = draw_learning_curves(state.generations, state.results)
    curves = [line for line in figure.axes[0].lines if len(np.asarray(line.get_xydata())) == 9]
    assert len(curves) == sum(
        each.fitness is not None and each.fitness.epochs == 9 for each in all_individuals(state.generations)
    )
