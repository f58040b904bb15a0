"""A run as TensorBoard shows it: a learning curve for each training, the genes and fitness of each individual.

All files are derived: each is made at once, is never changed, and is made again where it is missing.
The package `tensorboard` is needed for `--tensorboard` alone.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from job_queue import Attempt
from records import Individual, RunState, TrainingResult
from records.individuals import all_individuals
from reporting.analysis.accuracies import best_so_far, common_epochs
from reporting.analysis.progress import levels, spending
from reporting.watcher import Watcher
from search.early_stopping import rungs_of, training_name
from search_space.genes import GeneTable
from storage.directory import RunDirectory

METRICS = ("loss", "parameters", "flops")  # beside what the run calls its fitness
Step = tuple[float, int, Mapping[str, float]]  # wall time in seconds since 1970, step, scalars by tag


class TensorBoardLog(Watcher):
    """Writes the events of a run below `results/tensorboard/`. Its methods raise `SaveError`.

    `measure` is what the run's fitness is, in words.
    """

    def __init__(self, run: RunDirectory, table: GeneTable, measure: str = "accuracy") -> None:
        self.run, self.table, self.measure = run, table, measure
        self._write_config()

    def run_began(self, state: RunState, slots: Sequence[str]) -> None:
        self._catch_up(state)

    def training_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        self.training(attempt.name, result)

    def generation_ended(self, state: RunState, seconds: float, busy: float | None) -> None:
        self._catch_up(state)

    def _catch_up(self, state: RunState) -> None:
        """Everything of which there is no file yet; of individuals with the same network the first."""
        rungs, seen = rungs_of(state), set[str]()
        for each in all_individuals(state.generations):
            if each.jobs[-1] not in seen:
                for epochs, key in zip(rungs, each.jobs, strict=False):
                    self.training(training_name(each, epochs, rungs), state.results[key])
                self.individual(each, state.results[each.jobs[-1]])
            seen.add(each.jobs[-1])
        self.progress(state)

    def training(self, name: str, result: TrainingResult) -> None:
        """The curve of a training that ended, under the name by which it keeps its weights. Failures have none."""
        seconds = result.cost.seconds / max(1, len(result.epochs))
        steps: list[Step] = []
        for number, epoch in enumerate(result.epochs, 1):
            found = {"training loss": epoch.train_loss, "validation loss": epoch.loss, self.measure: epoch.score}
            scalars = {f"curve/{tag}": value for tag, value in found.items() if value is not None}
            steps.append((result.cost.started + seconds * number, number, scalars))
        if steps:
            self._write(self.run.tensorboard / name, "curve", scalar_events(steps))

    def individual(self, individual: Individual, result: TrainingResult) -> None:
        """The genes of an individual as hyperparameters, and its fitness as metrics. Failures have no metrics."""
        from tensorboard.plugins.hparams import summary_v2

        genes = {gene.name: plain(gene.value(individual.chromosome)) for gene in self.table.genes}
        whole = {**genes, "generation": float(individual.generation), "origin": individual.origin}
        ended = result.cost.started + result.cost.seconds
        events = [summary_event(summary_v2.hparams_pb(whole, individual.name, result.cost.started), ended)]
        if individual.fitness is not None:
            fitness = individual.fitness
            found = (fitness.value, fitness.loss, float(fitness.parameters), float(fitness.flops))
            scalars = {f"fitness/{tag}": value for tag, value in zip((self.measure, *METRICS), found, strict=True)}
            events += scalar_events([(ended, fitness.epochs, scalars)])
        self._write(self.run.tensorboard / individual.name, "hparams", events)

    def progress(self, state: RunState) -> None:
        """How far the run was after each generation."""
        spent = spending(state)
        best = list(best_so_far(each.individual for each in spent))
        ends = accumulate(len(generation.individuals) for generation in state.generations)
        for generation, end in zip(state.generations, ends, strict=True):
            clocks = (state.results[each.jobs[-1]].cost for each in generation.individuals)
            found = {
                f"best {self.measure}": best[end - 1],
                "trainings": spent[end - 1].trainings,
                "device hours": spent[end - 1].device_hours,
            }
            for level in levels([generation], common_epochs(generation.individuals)):
                found[f"mean {self.measure}"] = level.mean
            scalars = {f"progress/{tag}": value for tag, value in found.items() if value is not None}
            ended = max(cost.started + cost.seconds for cost in clocks)
            events = scalar_events([(ended, generation.number, scalars)])
            self._write(self.run.tensorboard / "progress", f"{generation.number:06}", events)

    def _write_config(self) -> None:
        from tensorboard.plugins.hparams import summary_v2

        names = [*(gene.name for gene in self.table.genes), "generation", "origin"]
        metrics = [summary_v2.Metric(f"fitness/{tag}", display_name=tag) for tag in (self.measure, *METRICS)]
        config = summary_v2.hparams_config_pb([summary_v2.HParam(name) for name in names], metrics, 0.0)
        self._write(self.run.tensorboard, "config", [summary_event(config, 0.0)])

    def _write(self, folder: Path, name: str, events: Iterable[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        path = folder / f"events.out.tfevents.{name}"
        if path.exists():
            return
        content = io.BytesIO()
        writer = RecordWriter(content)
        for event in (Event(file_version="brain.Event:2"), *events):
            writer.write(event.SerializeToString())
        self.run.write(path, content.getvalue(), durably=False)


def scalar_events(steps: Iterable[Step]) -> list[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    return [
        Event(
            wall_time=wall_time,
            step=step,
            summary=Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]),
        )
        for wall_time, step, scalars in steps
    ]


def summary_event(summary: Any, wall_time: float) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=wall_time, summary=summary)


def plain(value: object) -> bool | float | str:
    """The value of a gene as TensorBoard takes it."""
    return value if isinstance(value, bool | str) else float(value)  # type: ignore[arg-type]
