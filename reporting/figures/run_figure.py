"""The figure that is drawn while a run is under way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from records import Generation
from reporting.figures.progress import draw_progress
from reporting.figures.theme import save_figure
from storage.directory import RunDirectory


def draw_run(run: RunDirectory, generations: Sequence[Generation], metric_name: str = "accuracy") -> list[Path]:
    """Draws the progress of a run into its folder; returns the paths. `report.py --figures` draws all figures."""
    return save_figure(draw_progress(generations, metric_name), run.figures, "fitness", run.write)
