"""Runs without worker processes or torch, taken to their end: what the tests of a run look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from records import Individual, Limits, RunState, TrainingJob, TrainingResult
from reporting.closing_lines import trainings_in_words
from reporting.run_view import read_run_view
from run.trainings import Means
from run.work import Work
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from tests.faults.small_run import (
    InlineWorkers,
    NoSignals,
    Told,
    evolved,
)

ALL = Limits(min_free_disk=0.0, keep_models="all")


@dataclass
class Run:
    """A run that went to its end: its parts, what was trained in this session, what was said."""

    work: Work
    started: list[TrainingJob]
    lines: list[str] = field(default_factory=list)

    @property
    def state(self) -> RunState:
        return self.work.state

    @property
    def summary(self) -> str:
        """What the closing lines say of its trainings."""
        return trainings_in_words(read_run_view(self.work.run, self.state), self.work.trainings.ended)

    @property
    def folder(self) -> Path:
        return self.work.run.root

    def individuals(self) -> list[Individual]:
        return self.work.individuals()


def evolve(
    folder: Path,
    state: RunState | None = None,
    *,
    reused: Sequence[Path] = (),
    latency: Callable[[str], float] | None = None,
    limits: Limits = ALL,
) -> Run:
    """Begins a run, or goes on with that of the folder, to its end."""
    run, lines = RunDirectory(folder), list[str]()
    if state is None:
        state = load_state(folder)[1]
    save_state(run, state)
    workers = InlineWorkers(run)
    sources = [RunDirectory(each) for each in reused]
    means = Means(workers=workers, stop=NoSignals(), limits=limits, reused=sources, latency=latency)
    return Run(evolved(run, state, means, Told(lines.append)), workers.started, lines)


def epochs_of(jobs: Sequence[TrainingJob]) -> list[tuple[int, int]]:
    """How many jobs there are of each length, the shortest first."""
    return sorted(Counter(job.protocol.epochs for job in jobs).items())


def value(individual: Individual) -> float:
    assert individual.fitness is not None
    return individual.fitness.value


def rungs_of(run: Run) -> Iterator[tuple[list[TrainingResult], list[TrainingResult]]]:
    """For each rung but the last: the results of those that went on, and of the others."""
    for generation in run.state.generations:
        new = [each for each in generation.individuals if each.origin != "elite"]
        for rung in (0, 1):
            there = [(each, run.state.results[each.jobs[rung]]) for each in new if len(each.jobs) > rung]
            went_on = [result for each, result in there if len(each.jobs) > rung + 1]
            yield went_on, [result for each, result in there if len(each.jobs) == rung + 1]


def trainings(run: Run) -> int:
    return len(run.state.results)
