"""The figure that is drawn while a run works."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from records import Generation
from reporting.figures.run_plots import draw_progress
from reporting.figures.theme import save_figure
from storage.directory import RunDirectory


def draw_run(run: RunDirectory, generations: Sequence[Generation], measure: str = "accuracy") -> list[Path]:
    """Draws how far a run has come into its folder; returns the paths. `report.py --figures` draws all there is."""
    return save_figure(draw_progress(generations, measure), run.figures, "fitness")
