"""Individuals and results of which the tests of reporting make their small runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from records import Fitness, Generation, Individual, RunState, TrainingResult
from records.costs import Cost
from records.individuals import Forecast
from records.texts import Chromosome, JobKey
from records.trainings import Epoch
from reporting.pages.report_page import write_sections
from reporting.run_view import read_run_view
from storage.directory import RunDirectory


def fitness(value: float, epochs: int = 1) -> Fitness:
    return Fitness(value=value, epochs=epochs)


ZEROS = Chromosome("0" * 19)


def individual(
    generation: int,
    index: int,
    values: Sequence[float] = (),
    chromosome: Chromosome = ZEROS,
    origin: str = "random",
    parents: tuple[str, ...] = (),
    forecast: Forecast | None = None,
) -> Individual:
    """One with accuracies after 1, 2, … epochs; none is a failure."""
    reached = [fitness(value, epochs) for epochs, value in enumerate(values, 1)]
    return Individual(
        generation=generation,
        index=index,
        chromosome=chromosome,
        origin=origin,
        parents=parents,
        jobs=(JobKey(f"{generation}-{index}"),),
        fitness=reached[-1] if reached else None,
        failure=None if reached else "crashed: boom",
        earlier=tuple(reached[:-1]),
        forecast=forecast,
    )


# Devices
def result(key: str, started: float, seconds: float, device: str = "cpu 1", **cost: str) -> TrainingResult:
    return TrainingResult(
        key=JobKey(key),
        status="done",
        epochs=(Epoch(train_loss=1.0, score=0.5, loss=1.0),),
        cost=Cost(started=started, seconds=seconds, device=device, **cost),  # type: ignore[arg-type]
    )


def generation(number: int, values: Sequence[float | None]) -> Generation:
    """One individual for each fitness; None is a failed training."""
    return Generation(
        number=number,
        individuals=tuple(
            Individual(
                generation=number,
                index=index,
                chromosome=Chromosome("0" * 19),
                origin="random",
                fitness=None if value is None else Fitness(value=value, epochs=1),
            )
            for index, value in enumerate(values, 1)
        ),
    )


def generation_rows(values: Sequence[Sequence[float | None]]) -> list[Generation]:
    return [generation(number, row) for number, row in enumerate(values, 1)]


def write_report(run: RunDirectory, state: RunState) -> Path:
    """Writes the report of a run as of a state, from its files; returns its path."""
    write_sections(read_run_view(run, state))
    return run.report
