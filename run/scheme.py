"""Which loop drives a run: by generations, or in a steady state."""

from __future__ import annotations

from genetic_algorithm import SteadyState
from run.loop import Loop
from run.steady_loop import SteadyLoop
from run.work import Work


def loop_of(work: Work) -> Loop | SteadyLoop:
    """The loop that goes with the run's engine."""
    return SteadyLoop(work) if isinstance(work.engine, SteadyState) else Loop(work)
