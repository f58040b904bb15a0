"""Trainings by device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reporting.analysis.devices import timeline
from reporting.figures.timeline import draw_timeline
from tests.reporting.examples import result


@pytest.mark.parametrize("devices", [1, 8, 64])
def test_every_device_has_its_lane_and_every_training_its_bar(devices: int) -> None:
    results = [result(str(n), 10.0 + n // devices * 5, 4.0, f"gpu {n % devices}") for n in range(5 * devices)]
    results[0] = replace(results[0], status="crashed", epochs=())
    (axes,) = draw_timeline(timeline(results)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"gpu {n}" for n in range(devices)]
    assert sum(len(bars.get_paths()) for bars in axes.collections) == 5 * devices
