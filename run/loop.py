"""One run at work: asks the engine, has networks trained, saves what comes out, hands over the best."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from job_queue import Attempt, JobQueue
from records import Individual, InputError, Limits, RunFault, RunState, TrainingJob, TrainingResult
from records.canonical import VERSION
from records.runs import ModelInfo
from records.texts import JobKey
from records.words import quantity
from reporting.console import Console
from reporting.watchers.tensorboard_log import TensorBoardLog
from run.algorithms import new_search
from run.time_estimate import TimeEstimate
from search.early_stopping import affordable, median_curve, promoted, rungs_of
from search.ranking import pareto_front, rank
from search_space.space import NetworkSpace, cost_of
from storage.checkpoint import save_state
from storage.directory import RunDirectory
from storage.files import DamagedFile, make_durable
from storage.results import (
    find_result,
    place_weights,
    read_pruned,
    save_info,
    save_pruned,
    seal_result,
    sound_weights,
    take_over,
)
from worker_manager import StopSignals, Workers

if TYPE_CHECKING:  # it needs Optuna
    from reporting.watchers.optuna_study import OptunaStudy


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
    "epochs",
    "job",
    "trained",
    # From here on as measured: never the same in two runs.
    "seconds",
    "images_per_second",
    "peak_memory_bytes",
    "latency_ms",
    "device",
    "attempts",
)


class Search:
    """One run at work: asks the engine, has networks trained, and saves what comes out.

    It observes the workers: results are sealed as they arrive. `reused` are the folders of earlier
    runs whose results are taken over; `latency` measures the seconds that a network (the text of
    its architecture) takes to classify one image, where an objective or a limit asks for it; `log`
    shows the run in TensorBoard, `study` in Optuna.
    """

    def __init__(
        self,
        run: RunDirectory,
        state: RunState,
        workers: Workers,
        console: Console,
        stop: StopSignals,
        limits: Limits,
        reused: Sequence[RunDirectory] = (),
        latency: Callable[[str], float] | None = None,
        log: TensorBoardLog | None = None,
        study: OptunaStudy | None = None,
    ) -> None:
        self.run, self.state, self.workers, self.console, self.stop = run, state, workers, console, stop
        self.limits, self.reused, self.latency, self.log, self.study = limits, reused, latency, log, study
        self.space = NetworkSpace.of(state)
        self.encoding = self.space.encoding
        self.engine = new_search(state.search, self.space, state.generations)
        self.results = dict(state.results)
        self.pruned = read_pruned(run)
        self.trainings = 0  # ended in this session
        self.busy_seconds = 0.0  # of the devices, in the generation at work
        self.estimate = TimeEstimate(state)
        for individual in self.individuals():
            for key in individual.jobs:
                self.estimate.measure(self.space.network(individual.chromosome), self.results[key])

    def evolve(self) -> None:
        """Generation after generation, until the last, the end of the budget, or the last network of the space."""
        self.ask_first()
        self.write_derived_files(self.individuals())
        while not self.is_over():
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
            )
            self.state = replace(self.state, population=tuple(self.engine.ask(self.affordable())))
            save_state(self.run, self.state)
            busy = self.busy_seconds / (seconds * len(self.workers.slots))
            self.console.generation_ended(self.engine.generations[-1], seconds, busy)
            self.say_what_passes_limits()
            self.prune()
            self.write_derived_files(self.engine.generations[-1].individuals)

    def ask_first(self) -> None:
        """Asks the engine, which tells whether the space is exhausted.

        What the state says is to be trained next stands, unless the budget allows of another number.
        """
        population = tuple(self.engine.ask(self.affordable()))
        if len(self.state.population) != len(population):
            self.state = replace(self.state, population=population)
        if self.state.generation == 0 and self.is_over():
            raise InputError(f"--budget {self.state.search.budget} does not pay for one network through all rungs")

    def is_over(self) -> bool:
        affordable = self.affordable()
        return self.state.generation >= self.state.search.generations if affordable is None else affordable == 0

    def affordable(self) -> int | None:
        """How many new individuals the budget still allows; None where it is generations that count."""
        search, epochs = self.state.search, self.state.training.epochs
        if search.budget is None:
            return None
        full = search.budget - search.final_trainings
        factor = search.reduction_factor
        left = full * epochs - self.epochs_spent()
        if search.early_stopping == "halving":
            return affordable(search.population, left, epochs, factor)
        return max(0, min(search.population, int(left // epochs)))

    def epochs_spent(self) -> int:
        """Epochs of all trainings so far, whoever paid for them; a failed one counts as a whole."""
        return sum(len(result.epochs) or self.state.training.epochs for result in self.state.results.values())

    def individuals(self) -> list[Individual]:
        """All evaluated individuals, in order of generation and index."""
        return self.engine.individuals()

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs for which a generation's networks train, one rung after the other."""
        return rungs_of(self.state)

    def job(self, individual: Individual, epochs: int) -> TrainingJob:
        """The training of an individual for so many epochs, as the generation that it stands in asks for it."""
        own = self.space.hyperparameters(individual.chromosome)
        stops = self.state.search.early_stopping == "median"
        return TrainingJob(
            phenotype=self.space.network(individual.chromosome),
            protocol=replace(self.state.training, epochs=epochs, **own),
            data_fingerprint=self.state.facts.fingerprint,
            stop_below=self.median_before(individual.generation) if stops else (),
        )

    def median_before(self, generation: int) -> tuple[float, ...]:
        """The median accuracy at each epoch, of all networks trained in earlier generations."""
        keys = {
            each.jobs[-1]: None
            for earlier in self.engine.generations[: generation - 1]
            for each in earlier.individuals
            if each.fitness is not None
        }
        return median_curve([[epoch.score or 0.0 for epoch in self.results[key].epochs] for key in keys])

    def job_of(self, individual: Individual) -> TrainingJob:
        """The last job of an evaluated individual, which another may have been the first to need."""
        first = next(each for each in self.individuals() if each.jobs == individual.jobs)
        epochs = self.rungs[len(first.jobs) - 1]
        return self.job(first, epochs)

    def known(self, key: JobKey, name: str) -> TrainingResult | None:
        """The result of a job that has ended before: in this run, or in one whose results it reuses."""
        if key not in self.results:
            try:
                result = find_result(self.run, key)
            except DamagedFile as damage:
                aside = self.run.set_aside(self.run.job(key))
                self.console.say(
                    f"warning: {damage}; set aside as {aside.name}, the network is trained again", always=True
                )
                return None
            if result is None:
                result = self.reuse(key, name)
            if result is not None:
                self.results[key] = result
        return self.results.get(key)

    def reuse(self, key: JobKey, name: str) -> TrainingResult | None:
        """The result of a job that an earlier run has paid for, taken over into this run."""
        for source in self.reused:
            try:
                result = take_over(source, self.run, key, self.run.weights(name))
            except DamagedFile as damage:
                self.console.say(f"warning: {damage}; it is not reused", always=True)
                continue
            if result is not None:
                return result
        return None

    def evaluate(self, population: Sequence[Individual]) -> list[Individual]:
        """The individuals with their fitness; networks whose result is not known are trained.

        With halving the best of those that are new go on to the next rung, a longer training from
        the beginning.
        """
        outcomes = {self.space.phenotype(each.chromosome): each for each in self.individuals()}
        contenders: dict[str, Individual] = {}
        for individual in population:
            if (network := self.space.phenotype(individual.chromosome)) not in outcomes:
                contenders.setdefault(network, individual)
        known = [
            outcomes[network] for each in population if (network := self.space.phenotype(each.chromosome)) in outcomes
        ]
        self.console.generation_started(
            self.state.generation + 1, [each.fitness.value for each in known if each.fitness], len(contenders)
        )
        new = list(contenders.values())
        for rung, epochs in enumerate(self.rungs):
            if rung > 0:
                ranked = rank([each for each in new if each.fitness is not None], self.state.search.objectives)
                new = ranked[: promoted(len(contenders), self.state.search.reduction_factor**rung)]
                who = f"the best {len(new)} go on" if len(new) > 1 else "the best goes on"
                self.console.say(f"{who} to {epochs} epochs")
            new = self.train(new, epochs)
            outcomes |= {self.space.phenotype(each.chromosome): each for each in new}
        return [as_known(each, outcomes[self.space.phenotype(each.chromosome)]) for each in population]

    def train(self, individuals: Sequence[Individual], epochs: int) -> list[Individual]:
        """Individuals after a training for so many epochs, each network new to this rung."""
        names = {each.name: self.name_of_training(each, epochs) for each in individuals}
        jobs = {names[each.name]: self.job(each, epochs) for each in individuals}
        networks = [self.space.network(each.chromosome) for each in individuals]
        self.estimate.look_ahead(self.state, networks, epochs, self.epochs_spent())
        results = self.run_jobs(jobs, f"generation {self.state.generation + 1}")
        return [self.with_result(each, results[names[each.name]]) for each in individuals]

    def name_of_training(self, individual: Individual, epochs: int) -> str:
        """The name under which a training for so many epochs keeps its weights."""
        return individual.name if epochs == self.rungs[-1] else f"{individual.name}/epochs_{epochs}"

    def run_jobs(self, jobs: Mapping[str, TrainingJob], what: str, again: bool = False) -> dict[str, TrainingResult]:
        """The results of jobs, by the names under which they keep their weights; those not known yet are trained.

        `again` trains all of them.

        Raises `RunFault` if there were several trainings and all failed, which is no network's
        fault; such failures are tried again when the run is resumed.
        """
        keys = {name: job.key for name, job in jobs.items()}
        known = {name for name, key in keys.items() if self.known(key, name) is not None}
        if again or self.all_failed(list(keys.values())):
            known = set()
        self.estimate.new_queue()
        queue = self.new_queue()
        for name, job in jobs.items():
            if name not in known:
                self.enqueue(queue, job, name)
        self.console.expect(queue.waiting)
        self.check_disk()
        self.stop.run(self.workers, queue, self)
        results = {name: self.results[key] for name, key in keys.items()}
        if self.all_failed(list(keys.values())):
            raise fault_of(f"all {len(jobs)} trainings of {what}", list(results.values()))
        return results

    def new_queue(self, longest_first: bool = True) -> JobQueue:
        return JobQueue(self.limits.max_retries, max(slot.memory for slot in self.workers.slots), longest_first)

    def with_result(self, individual: Individual, result: TrainingResult) -> Individual:
        """An individual with the outcome of its next job."""
        failure = None if result.status == "done" else f"{result.status}: {result.reason}"
        earlier = individual.earlier if individual.fitness is None else (*individual.earlier, individual.fitness)
        if self.state.search.early_stopping == "median":
            curve = [replace(result, epochs=result.epochs[: n + 1]).fitness for n in range(len(result.epochs) - 1)]
            earlier = tuple(fitness for fitness in curve if fitness is not None)
        fitness = result.fitness
        if fitness is not None:
            fitness = fitness.with_limits(self.state.search.limits, self.seconds_an_image(individual))
        return replace(
            individual, jobs=(*individual.jobs, result.key), fitness=fitness, failure=failure, earlier=earlier
        )

    def seconds_an_image(self, individual: Individual) -> float | None:
        """The latency of an individual's network, measured after its first training, if it counts."""
        if individual.fitness is not None or not self.state.search.needs_latency or self.latency is None:
            return None if individual.fitness is None else individual.fitness.latency
        return self.latency(self.space.network(individual.chromosome))

    def all_failed(self, keys: Sequence[JobKey]) -> bool:
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

    def front(self) -> list[Individual]:
        """The networks that no other beats in all objectives; none where there is but one objective."""
        objectives = self.state.search.objectives
        return pareto_front(self.individuals(), objectives) if len(objectives) > 1 else []

    def say_what_passes_limits(self) -> None:
        """Where no network keeps the limits, which one comes closest."""
        limits, generation = self.state.search.limits, self.engine.generations[-1]
        closest = generation.best.fitness
        if closest is not None and closest.violation > 0:
            found = ", ".join(
                f"{quantity(name, closest.objective(name))} (limit {quantity(name, limit)})"
                for name, limit in limits.items()
                if closest.objective(name) > limit
            )
            self.console.say(
                f"no network of generation {generation.number} keeps the limits; "
                f"{generation.best.name} comes closest with {found}"
            )

    def prune(self) -> None:
        """Removes the weights that `--keep_models` does not keep; the record that says so is written first."""
        keep, best = self.limits.models_kept, self.engine.best
        if keep is None or best is None:
            return
        kept = {best.jobs[-1]}
        for generation in self.engine.generations:
            ranked = sorted(generation.individuals, key=lambda individual: individual.rank)
            kept.update(individual.jobs[-1] for individual in ranked[:keep])
        kept.update(individual.jobs[-1] for individual in self.front())
        results = {key: self.results[key] for each in self.individuals() for key in each.jobs}
        paths = {key: self.run.root / result.weights for key, result in results.items() if result.weights is not None}
        gone = {key: path for key, path in paths.items() if key not in kept and path.is_file()}
        if gone:
            self.pruned |= gone.keys()
            save_pruned(self.run, self.pruned)
            for path in gone.values():
                path.unlink()
            for individual in self.individuals():
                if individual.jobs[-1] in gone:
                    self.place_weights(individual)
            trainings = "1 training" if len(gone) == 1 else f"{len(gone)} trainings"
            self.console.say(f"weights of {trainings} removed (--keep_models {keep})")

    def place_weights(self, individual: Individual) -> None:
        """`best_model.pt` of an individual: there if the weights of its last training are kept."""
        result = self.results[individual.jobs[-1]]
        place_weights(self.run, individual.name, result, is_kept=result.key not in self.pruned)

    def enqueue(self, queue: JobQueue, job: TrainingJob, name: str) -> None:
        """Queues a job, the longest expected first; one that no device has the memory for has failed already."""
        work = self.estimate.queued[job.key] = self.estimate.seconds(job.phenotype, job.protocol.epochs)
        value = 2 if job.protocol.precision == "bfloat16" else 4
        need = cost_of(job.phenotype).memory(value, job.protocol.optimizer)
        queued = queue.add(job, name=name, work=work, need=need)
        if isinstance(queued, TrainingResult):
            self.end(job, queued)
            self.console.say(f"{name}: not trained, {queued.reason}")
        elif queued.micro_batch < (job.protocol.micro_batch or 0):
            self.console.say(f"{name}: too large for the memory; trained in pieces of {queued.micro_batch} images")

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
        if self.log is not None:
            self.log.training(attempt.name, result)
        self.console.job_ended(slot, attempt, result)
        work = self.estimate.remaining(set(self.results))
        self.console.foresee(None if work is None else work / len(self.workers.slots))
        self.check_disk()

    def end(self, job: TrainingJob, result: TrainingResult) -> None:
        """Seals the result of a job, and remembers it."""
        if result.status != "done":
            cost = cost_of(job.phenotype)
            result = replace(result, parameters=cost.parameters, flops=cost.flops)
        if result.weights is not None:
            make_durable(self.run.root / result.weights)
        seal_result(self.run, result)
        self.results[result.key] = result
        self.estimate.measure(job.phenotype, result)

    def write_derived_files(self, individuals: Iterable[Individual]) -> None:
        """`info.json` and weights of these individuals, the history, the figures; all follow from state and results."""
        for individual in individuals:
            save_info(self.run, self.info(individual))
            self.place_weights(individual)
        self.run.write_history(HISTORY_COLUMNS, self.history())
        self.draw_figures()
        if self.log is not None:
            self.write_log(self.log)
        if self.study is not None:
            self.study.add(self.individuals(), self.results)

    def draw_figures(self) -> None:
        # Imported late: matplotlib takes longer to import than a worker takes to start.
        from reporting.figures.run_figure import draw_run

        if self.engine.generations:
            draw_run(self.run, self.engine.generations, self.state.training.measure)

    def write_log(self, log: TensorBoardLog) -> None:
        """Everything so far of which TensorBoard has no file yet; of individuals with the same network the first."""
        seen: set[str] = set()
        for each in self.individuals():
            if each.jobs[-1] not in seen:
                for epochs, key in zip(self.rungs, each.jobs, strict=False):
                    log.training(self.name_of_training(each, epochs), self.results[key])
                log.individual(each, self.results[each.jobs[-1]])
            seen.add(each.jobs[-1])
        log.progress(self.state)

    def info(self, individual: Individual) -> ModelInfo:
        result = self.results[individual.jobs[-1]]
        return ModelInfo(
            version=VERSION,
            individual=individual,
            description=self.encoding.describe(individual.chromosome),
            phenotype=self.space.network(individual.chromosome),
            data=self.state.data,
            facts=self.state.facts,
            precision=self.state.training.precision,
            metric=self.state.training.metric,
            split="train",
            weights=None if result.key in self.pruned else result.weights,
            result=result,
        )

    def history(self) -> Iterator[dict[str, object]]:
        """The rows of `history.csv`, one for each evaluated individual."""
        seen: set[str] = set()
        for individual in self.individuals():
            result, fitness = self.results[individual.jobs[-1]], individual.fitness
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
                "epochs": len(result.epochs),
                "job": result.key,
                "trained": "no" if result.key in seen else "yes",
                "seconds": round(result.cost.seconds, 3),
                "images_per_second": round(result.cost.images_per_second, 1),
                "peak_memory_bytes": "" if result.cost.peak_memory is None else result.cost.peak_memory,
                "latency_ms": "" if fitness is None or fitness.latency is None else round(1000 * fitness.latency, 3),
                "device": result.cost.device,
                "attempts": result.cost.attempts,
            }
            seen.add(result.key)

    def trained(self, job: TrainingJob, name: str) -> TrainingResult:
        """The result of a job whose weights are on disk; it is trained where either is missing.

        Raises `RunFault` if the training fails.
        """
        result = self.known(job.key, name)
        if result is not None and not self.has_weights(result):
            self.console.say(f"the weights of {name} are missing; it is trained again")
            result = None
        result = result or self.run_jobs({name: job}, name, again=True)[name]
        self.pruned.discard(job.key)
        if result.status != "done":
            raise RunFault(f"the training of {name} failed: {result.status} ({result.reason})")
        return result

    def has_weights(self, result: TrainingResult) -> bool:
        return sound_weights(self.run, result) is not None


def fault_of(which: str, failures: Sequence[TrainingResult]) -> RunFault:
    """What stops a run whose trainings fail, with the commonest reason."""
    reasons = Counter(f"{result.status}: {result.reason}" for result in failures)
    commonest, count = reasons.most_common(1)[0]
    return RunFault(f"{which} failed, {count} of them as {commonest}; they are tried again when the run is resumed")


def as_known(individual: Individual, outcome: Individual) -> Individual:
    """An individual with what came out for its network."""
    return replace(
        individual, jobs=outcome.jobs, fitness=outcome.fitness, failure=outcome.failure, earlier=outcome.earlier
    )
