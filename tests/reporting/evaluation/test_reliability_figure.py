"""The reliability diagram."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reporting.evaluation.reliability_figure import draw_reliability
from reporting.figures.theme import save_figure
from tests.pictures import check_files
from training.statistics import calibration


def test_a_bar_of_a_reliability_diagram_ends_at_the_accuracy_of_its_bin(tmp_path: Path) -> None:
    confidence, correct = np.array([0.55, 0.55, 0.99, 0.95]), np.array([True, False, True, True])
    found = calibration(confidence, correct)
    report = {
        "bins": [
            {"count": each.count, "confidence": each.confidence, "accuracy": each.accuracy} for each in found.bins
        ],
        "mean_confidence": found.mean_confidence,
    }
    figure = draw_reliability(report)
    heights = [bar.get_height() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert heights == [0.5, 1.0]
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 1  # type: ignore[attr-defined]
    check_files(save_figure(figure, tmp_path, "reliability"), tmp_path, "reliability")
