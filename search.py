"""One run at work: asks the engine, has networks trained, saves what comes out, hands over the best."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chromosome import Encoding, architecture_of, decode
from console import Console
from genetic_algorithm import GeneticAlgorithm
from job_queue import Attempt, JobQueue
from model_cost import model_cost
from plots import draw_run
from records import VERSION, Individual, ModelInfo, RunFault, RunState, TrainingJob, TrainingResult
from run_directory import DamagedFile, RunDirectory, file_sha256
from run_state import find_result, save_info, save_state, seal_result
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
    # From here on as measured: never the same in two runs.
    "trained",
    "seconds",
    "images_per_second",
    "peak_memory_bytes",
    "device",
    "attempts",
)


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
        retries: int,
    ) -> None:
        self.run, self.state, self.workers, self.console, self.stop = run, state, workers, console, stop
        self.retries = retries
        self.encoding = Encoding(state.facts.input_shape, len(state.facts.class_names))
        self.engine = GeneticAlgorithm(state.search, self.encoding, state.generations)
        self.results = dict(state.results)
        self.trainings = 0  # ended in this session

    def evolve(self) -> None:
        """Generation after generation, until the last, or until no network is left to train."""
        self.engine.ask()  # the state's population stands; asking tells whether the space is exhausted
        self.write_derived_files(self.individuals()[-self.state.search.population :])
        while self.state.generation < self.state.search.generations:
            if self.engine.is_exhausted:
                self.console.say(f"every network of the space is known after generation {self.state.generation}")
                break
            clock = time.monotonic()
            evaluated = self.evaluate(self.state.population)
            if all(individual.fitness is None for individual in evaluated):
                reasons = Counter(individual.failure for individual in evaluated)
                raise RunFault(
                    f"every training of generation {self.state.generation + 1} failed, most often as: "
                    f"{reasons.most_common(1)[0][0]}"
                )
            self.engine.tell(evaluated)
            self.state = replace(
                self.state,
                version=VERSION,
                generations=tuple(self.engine.generations),
                results={key: self.results[key] for each in self.individuals() for key in each.jobs},
                population=tuple(self.engine.ask()),
            )
            save_state(self.run, self.state)
            self.console.generation_ended(self.engine.generations[-1], time.monotonic() - clock)
            self.write_derived_files(self.engine.generations[-1].individuals)

    def individuals(self) -> list[Individual]:
        """All evaluated individuals, in order of generation and index."""
        return [individual for generation in self.engine.generations for individual in generation.individuals]

    def job(self, individual: Individual) -> TrainingJob:
        network = self.encoding.phenotype(individual.chromosome)
        return TrainingJob(
            phenotype=network, protocol=self.state.training, data_fingerprint=self.state.facts.fingerprint
        )

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
        """The individuals with their fitness; networks whose result is not known are trained."""
        jobs = {individual.name: self.job(individual) for individual in population}
        queue = JobQueue(self.retries)
        queued: set[str] = set()
        known = []
        for individual in population:
            job = jobs[individual.name]
            if (result := self.known(job.key)) is not None:
                known.append(result.fitness.value if result.fitness else None)
            elif job.key not in queued:
                queued.add(job.key)
                self.enqueue(queue, job, individual.name)
        search = self.state.search
        later = (search.generations - self.state.generation - 1) * (search.population - search.elitism)
        values = [value for value in known if value is not None]
        self.console.generation_started(self.state.generation + 1, values, len(queued), later)
        self.stop.run(self.workers, queue, self)
        return [self.evaluated(individual, jobs[individual.name].key) for individual in population]

    def enqueue(self, queue: JobQueue, job: TrainingJob, name: str) -> None:
        flops = model_cost(architecture_of(job.phenotype)).flops
        queue.add(job, name=name, work=3.0 * flops * self.state.facts.train_images * job.protocol.epochs)

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
        if result.status != "done":
            cost = model_cost(architecture_of(attempt.job.phenotype))
            result = replace(result, parameters=cost.parameters, flops=cost.flops)
        seal_result(self.run, result)
        self.results[result.key] = result
        self.trainings += 1
        self.console.job_ended(slot, attempt, result)

    def write_derived_files(self, individuals: Iterable[Individual]) -> None:
        """`info.json` of these individuals, the history and the figures; all can be made again from the state."""
        for individual in individuals:
            save_info(self.run, self.info(individual))
        self.run.write_history(HISTORY_COLUMNS, map(self.history_row, self.individuals()))
        if self.engine.generations:
            draw_run(self.run, self.engine.generations)

    def info(self, individual: Individual) -> ModelInfo:
        result = self.results[individual.jobs[0]]
        return ModelInfo(
            version=VERSION,
            individual=individual,
            description=decode(self.encoding, individual.chromosome).describe(),
            phenotype=self.encoding.phenotype(individual.chromosome),
            data=self.state.data,
            facts=self.state.facts,
            precision=self.state.training.precision,
            split="train",
            weights=result.weights,
            result=result,
        )

    def history_row(self, individual: Individual) -> dict[str, object]:
        result = self.results[individual.jobs[0]]
        fitness, was_trained = (
            individual.fitness,
            result.weights == self.run.relative(self.run.weights(individual.name)),
        )
        return {
            "generation": individual.generation,
            "individual": individual.index,
            "chromosome": individual.chromosome,
            "network": decode(self.encoding, individual.chromosome).describe(),
            "origin": individual.origin,
            "parents": " ".join(individual.parents),
            "status": individual.failure or "done",
            "validation_accuracy": "" if fitness is None else fitness.value,
            "validation_loss": "" if fitness is None else fitness.loss,
            "parameters": result.parameters,
            "flops": result.flops,
            "job": result.key,
            "trained": "yes" if was_trained else "no",
            "seconds": round(result.cost.seconds, 3),
            "images_per_second": round(result.cost.images_per_second, 1),
            "peak_memory_bytes": "" if result.cost.peak_memory is None else result.cost.peak_memory,
            "device": result.cost.device,
            "attempts": result.cost.attempts,
        }

    def trained(self, job: TrainingJob, name: str) -> TrainingResult:
        """The result of a job whose weights are on disk; it is trained where either is missing.

        Raises `RunFault` if the training fails.
        """
        result = self.known(job.key)
        if result is not None and result.weights is not None:
            path = self.run.root / result.weights
            if path.is_file() and file_sha256(path) == result.weights_sha256:
                return result
            self.console.say(f"the weights {path} are missing or damaged; {name} is trained again")
        queue = JobQueue(self.retries)
        self.enqueue(queue, job, name)
        self.stop.run(self.workers, queue, self)
        result = self.results[job.key]
        if result.status != "done":
            raise RunFault(f"the training of {name} failed: {result.status} ({result.reason})")
        return result
