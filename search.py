"""One run at work: asks the engine, has networks trained, saves what comes out, hands over the best."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chromosome import architecture_of
from console import Console
from gene_tables import encoding_of
from genetic_algorithm import GeneticAlgorithm
from job_queue import Attempt, JobQueue
from model_cost import model_cost
from records import VERSION, Individual, Limits, ModelInfo, RunFault, RunState, TrainingJob, TrainingResult
from run_directory import DamagedFile, RunDirectory, file_sha256, make_durable
from run_state import find_result, read_pruned, save_info, save_pruned, save_state, seal_result
from training_time import Effort, TrainingTime
from worker_manager import StopSignals, WorkerManager

HISTORY_COLUMNS = (
    "generation",
    "individual",
    "chromosome",
    "network",
    "origin",
    "parents",
    "status",
    "validation_accuracy",
    "validation_loss",
    "parameters",
    "flops",
    "job",
    "trained",
    # From here on as measured: never the same in two runs.
    "seconds",
    "images_per_second",
    "peak_memory_bytes",
    "device",
    "attempts",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """How long a training took, on what, and when it began (seconds since 1970)."""

    effort: Effort
    seconds: float
    hardware: str
    started: float


class Search:
    """One run at work: asks the engine, has networks trained, and saves what comes out.

    It observes the workers: results are sealed as they arrive.
    """

    def __init__(
        self,
        run: RunDirectory,
        state: RunState,
        workers: WorkerManager,
        console: Console,
        stop: StopSignals,
        limits: Limits,
    ) -> None:
        self.run, self.state, self.workers, self.console, self.stop = run, state, workers, console, stop
        self.limits = limits
        self.encoding = encoding_of(state.facts, state.gene_table)
        self.engine = GeneticAlgorithm(state.search, self.encoding, state.generations)
        self.results = dict(state.results)
        self.pruned = read_pruned(run)
        self.trainings = 0  # ended in this session
        self.busy_seconds = 0.0  # of the devices, in the generation at work
        self.measured: dict[str, Measured] = {}  # by key, of the trainings that succeeded
        for individual in self.individuals():
            for key in individual.jobs:
                self.measure(self.encoding.network(individual.chromosome), self.results[key])
        self.training_time = TrainingTime()

    def evolve(self) -> None:
        """Generation after generation, until the last, or until no network is left to train."""
        self.engine.ask()  # the state's population stands; asking tells whether the space is exhausted
        self.write_derived_files(self.individuals())
        while self.state.generation < self.state.search.generations:
            if self.engine.is_exhausted:
                self.console.say(f"every network of the space is known after generation {self.state.generation}")
                break
            clock, self.busy_seconds = time.monotonic(), 0.0
            self.engine.tell(self.evaluate(self.state.population))
            seconds = time.monotonic() - clock
            self.state = replace(
                self.state,
                version=VERSION,
                generations=tuple(self.engine.generations),
                results={key: self.results[key] for each in self.individuals() for key in each.jobs},
                population=tuple(self.engine.ask()),
            )
            save_state(self.run, self.state)
            busy = self.busy_seconds / (seconds * len(self.workers.slots))
            self.console.generation_ended(self.engine.generations[-1], seconds, busy)
            self.prune()
            self.write_derived_files(self.engine.generations[-1].individuals)

    def individuals(self) -> list[Individual]:
        """All evaluated individuals, in order of generation and index."""
        return [individual for generation in self.engine.generations for individual in generation.individuals]

    def job(self, individual: Individual) -> TrainingJob:
        network = self.encoding.network(individual.chromosome)
        protocol = replace(self.state.training, **self.encoding.hyperparameters(individual.chromosome))
        return TrainingJob(phenotype=network, protocol=protocol, data_fingerprint=self.state.facts.fingerprint)

    def known(self, key: str) -> TrainingResult | None:
        """The result of a job that has ended before, in this run or the one it resumes."""
        if key not in self.results:
            try:
                result = find_result(self.run, key)
            except DamagedFile as damage:
                aside = self.run.set_aside(self.run.job(key))
                self.console.say(
                    f"warning: {damage}; set aside as {aside.name}, the network is trained again", always=True
                )
                return None
            if result is not None:
                self.results[key] = result
        return self.results.get(key)

    def evaluate(self, population: Sequence[Individual]) -> list[Individual]:
        """The individuals with their fitness; networks whose result is not known are trained.

        Raises `RunFault` if there were several trainings and all failed, which is no network's
        fault; such failures are tried again when the run is resumed.
        """
        number = self.state.generation + 1
        keys = [self.job(individual).key for individual in population]
        distinct: dict[str, Individual] = {}
        for key, individual in zip(keys, population, strict=True):
            distinct.setdefault(key, individual)
        new = [key for key in distinct if key not in self.state.results]
        known = {key: result for key in distinct if (result := self.known(key)) is not None}
        if self.all_failed(new):
            known = {key: result for key, result in known.items() if key not in new}
        queue = self.new_queue()
        for key, individual in distinct.items():
            if key not in known:
                self.enqueue(queue, self.job(individual), individual.name)
        search = self.state.search
        later = (search.generations - number) * (search.population - search.elitism)
        values = [result.fitness.value for result in known.values() if result.fitness is not None]
        self.console.generation_started(number, values, queue.waiting, later)
        self.check_disk()
        self.stop.run(self.workers, queue, self)
        if self.all_failed(new):
            reasons = Counter(f"{self.results[key].status}: {self.results[key].reason}" for key in new)
            commonest, count = reasons.most_common(1)[0]
            raise RunFault(
                f"all {len(new)} trainings of generation {number} failed, {count} of them as {commonest}; "
                "they are tried again when the run is resumed"
            )
        return [self.evaluated(individual, key) for individual, key in zip(population, keys, strict=True)]

    def all_failed(self, keys: Sequence[str]) -> bool:
        """Whether there are several jobs, all have ended, and none succeeded."""
        ended = [self.results[key] for key in keys if key in self.results]
        return len(keys) == len(ended) > 1 and all(result.status != "done" for result in ended)

    def check_disk(self) -> None:
        """Raises `RunFault` before the disk is full."""
        free = shutil.disk_usage(self.run.root).free / 1e9
        if free < self.limits.min_free_disk:
            raise RunFault(
                f"only {free:.2f} GB are free on the disk of {self.run.root.resolve()}, less than "
                f"--min_free_disk {self.limits.min_free_disk:g}; make room or lower the limit"
            )

    def prune(self) -> None:
        """Removes the weights that `--keep_models` does not keep; the record that says so is written first."""
        keep, best = self.limits.models_kept, self.engine.best
        if keep is None or best is None:
            return
        kept = set(best.jobs)
        for generation in self.engine.generations:
            ranked = sorted(generation.individuals, key=lambda individual: individual.rank)
            kept.update(key for individual in ranked[:keep] for key in individual.jobs)
        results = self.state.results
        paths = {key: self.run.root / result.weights for key, result in results.items() if result.weights is not None}
        gone = {key: path for key, path in paths.items() if key not in kept and path.is_file()}
        if gone:
            self.pruned |= gone.keys()
            save_pruned(self.run, self.pruned)
            for path in gone.values():
                path.unlink()
            networks = "1 network" if len(gone) == 1 else f"{len(gone)} networks"
            self.console.say(f"weights of {networks} removed (--keep_models {keep})")

    def new_queue(self) -> JobQueue:
        """A queue for the largest of the devices, ordered by all that has been measured so far."""
        measured = [self.measured[key] for key in sorted(self.measured)]
        newest = max(measured, key=lambda each: each.started, default=None)
        # Prices of another kind of device say nothing about this one.
        alike = [(each.effort, each.seconds) for each in measured if newest and each.hardware == newest.hardware]
        self.training_time = TrainingTime(alike)
        return JobQueue(self.limits.max_retries, max(slot.memory for slot in self.workers.slots))

    def enqueue(self, queue: JobQueue, job: TrainingJob, name: str) -> None:
        """Queues a job, the longest expected first; one that no device has the memory for has failed already."""
        work = self.training_time.seconds(self.effort(job.phenotype, job.protocol.epochs))
        value = 2 if job.protocol.precision == "bfloat16" else 4
        need = model_cost(architecture_of(job.phenotype)).memory(value, job.protocol.optimizer)
        queued = queue.add(job, name=name, work=work, need=need)
        if isinstance(queued, TrainingResult):
            self.end(job, queued)
            self.console.say(f"{name}: not trained, {queued.reason}")
        elif queued.micro_batch < (job.protocol.micro_batch or 0):
            self.console.say(f"{name}: too large for the memory; trained in pieces of {queued.micro_batch} images")

    def effort(self, phenotype: str, epochs: int) -> Effort:
        images = self.state.facts.train_images * epochs
        return Effort(architecture_of(phenotype), images, self.state.training.batch_size)

    def measure(self, phenotype: str, result: TrainingResult) -> None:
        """Notes how long a training took, for the expectations of those to come."""
        if result.status == "done":
            effort = self.effort(phenotype, len(result.epochs))
            self.measured[result.key] = Measured(effort, result.cost.seconds, result.cost.hardware, result.cost.started)

    def evaluated(self, individual: Individual, key: str) -> Individual:
        result = self.results[key]
        failure = None if result.status == "done" else f"{result.status}: {result.reason}"
        return replace(individual, jobs=(key,), fitness=result.fitness, failure=failure)

    def job_started(self, slot: str, attempt: Attempt) -> None:
        self.console.job_started(slot, attempt)

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self.console.job_progress(slot, attempt, progress)

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        self.console.job_retried(slot, attempt, status, reason)

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        self.end(attempt.job, result)
        self.trainings += 1
        self.busy_seconds += result.cost.seconds
        self.console.job_ended(slot, attempt, result)
        self.check_disk()

    def end(self, job: TrainingJob, result: TrainingResult) -> None:
        """Seals the result of a job, and remembers it."""
        if result.status != "done":
            cost = model_cost(architecture_of(job.phenotype))
            result = replace(result, parameters=cost.parameters, flops=cost.flops)
        if result.weights is not None:
            make_durable(self.run.root / result.weights)
        seal_result(self.run, result)
        self.results[result.key] = result
        self.measure(job.phenotype, result)

    def write_derived_files(self, individuals: Iterable[Individual]) -> None:
        """`info.json` of these individuals, the history and the figures; all can be made again from the state."""
        for individual in individuals:
            save_info(self.run, self.info(individual))
        self.run.write_history(HISTORY_COLUMNS, self.history())
        self.draw_figures()

    def draw_figures(self) -> None:
        # Imported late: matplotlib takes longer to import than a worker takes to start.
        from plots import draw_run

        if self.engine.generations:
            draw_run(self.run, self.engine.generations)

    def info(self, individual: Individual) -> ModelInfo:
        result = self.results[individual.jobs[0]]
        return ModelInfo(
            version=VERSION,
            individual=individual,
            description=self.encoding.describe(individual.chromosome),
            phenotype=self.encoding.network(individual.chromosome),
            data=self.state.data,
            facts=self.state.facts,
            precision=self.state.training.precision,
            split="train",
            weights=None if result.key in self.pruned else result.weights,
            result=result,
        )

    def history(self) -> Iterator[dict[str, object]]:
        """The rows of `history.csv`, one for each evaluated individual."""
        seen: set[str] = set()
        for individual in self.individuals():
            result, fitness = self.results[individual.jobs[0]], individual.fitness
            yield {
                "generation": individual.generation,
                "individual": individual.index,
                "chromosome": individual.chromosome,
                "network": self.encoding.describe(individual.chromosome),
                "origin": individual.origin,
                "parents": " ".join(individual.parents),
                "status": individual.failure or "done",
                "validation_accuracy": "" if fitness is None else fitness.value,
                "validation_loss": "" if fitness is None else fitness.loss,
                "parameters": result.parameters,
                "flops": result.flops,
                "job": result.key,
                "trained": "no" if result.key in seen else "yes",
                "seconds": round(result.cost.seconds, 3),
                "images_per_second": round(result.cost.images_per_second, 1),
                "peak_memory_bytes": "" if result.cost.peak_memory is None else result.cost.peak_memory,
                "device": result.cost.device,
                "attempts": result.cost.attempts,
            }
            seen.add(result.key)

    def trained(self, job: TrainingJob, name: str) -> TrainingResult:
        """The result of a job whose weights are on disk; it is trained where either is missing.

        Raises `RunFault` if the training fails.
        """
        result = self.known(job.key)
        if result is not None and result.weights is not None:
            path = self.run.root / result.weights
            if path.is_file() and file_sha256(path) == result.weights_sha256:
                return result
            self.console.say(f"the weights {path} are missing; {name} is trained again")
        queue = self.new_queue()
        self.enqueue(queue, job, name)
        self.console.expect(1)
        self.stop.run(self.workers, queue, self)
        self.pruned.discard(job.key)
        result = self.results[job.key]
        if result.status != "done":
            raise RunFault(f"the training of {name} failed: {result.status} ({result.reason})")
        return result
