"""How many trainings a run saved: by known networks, early stopping and earlier runs."""

from __future__ import annotations

from dataclasses import dataclass

from records import RunState
from records.individuals import all_individuals
from reporting.analysis.progress import spending


@dataclass(frozen=True, slots=True)
class Savings:
    """What a run trained, against one full training for each individual."""

    individuals: int
    networks: int  # distinct networks; the other individuals needed no training
    full_trainings: float  # spent, in units of full trainings
    reused: int  # trainings taken from earlier runs
    screened: int  # networks that the predictor chose among many offspring

    @property
    def share(self) -> float:
        """The share that was saved of one full training for each individual."""
        return 1 - self.full_trainings / self.individuals if self.individuals else 0.0


def savings(state: RunState) -> Savings:
    individuals = all_individuals(state.generations)
    spent = spending(state)
    return Savings(
        individuals=len(individuals),
        networks=len({each.jobs[-1] for each in individuals}),
        full_trainings=spent[-1].trainings if spent else 0.0,
        reused=sum(bool(result.cost.reused) for result in state.results.values()),
        screened=sum(each.forecast is not None for each in individuals),
    )
