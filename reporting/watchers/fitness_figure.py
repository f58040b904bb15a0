"""The figure of how far a run has come, drawn again after each generation."""

from __future__ import annotations

from collections.abc import Sequence

from records import RunState
from reporting.watcher import Watcher
from storage.directory import RunDirectory


class FitnessFigure(Watcher):
    """Keeps `results/figures/fitness.*` up to date."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run

    def run_began(self, state: RunState, slots: Sequence[str]) -> None:
        self._draw(state)

    def generation_ended(self, state: RunState, seconds: float, busy: float | None) -> None:
        self._draw(state)

    def _draw(self, state: RunState) -> None:
        # Imported late: matplotlib takes longer to import than a worker takes to start.
        from reporting.figures.run_figure import draw_run

        if state.generations:
            draw_run(self.run, state.generations, state.training.measure)
