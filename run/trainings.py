"""The trainings of a run: known from before, taken over from another run, or trained now; sealed as they end."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from job_queue import Attempt, JobQueue
from records import Limits, RunFault, RunState, TrainingJob, TrainingResult
from records.individuals import all_individuals
from records.texts import JobKey
from reporting.watcher import Watcher
from run.jobs import Latency
from run.stop_signals import StopSignals
from run.time_estimate import TimeEstimate
from search_space.space import NetworkSpace, cost_of
from storage.directory import RunDirectory
from storage.files import DamagedFile, make_durable
from storage.results import find_result, read_pruned, save_pruned, seal_result, sound_weights, take_over
from worker_manager import Observer, Workers


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a run trains with: workers, the signals that stop it, limits, and the folders of runs that it may reuse.

    `latency` measures how long a network takes to classify an image.
    """

    workers: Workers
    stop: StopSignals
    limits: Limits
    reused: Sequence[RunDirectory] = ()
    latency: Latency | None = None


class Trainings:
    """The results of a run's jobs by key, and the way to those that are not known yet.

    As the workers' observer it seals each result when it arrives.
    """

    def __init__(self, run: RunDirectory, state: RunState, means: Means, watcher: Watcher) -> None:
        self.run, self.means, self.watcher = run, means, watcher
        self.results = dict(state.results)
        self.pruned = read_pruned(run)  # keys of jobs whose weights were removed on purpose
        self.ended = 0  # in this session
        self._busy_seconds = 0.0
        self.estimate = TimeEstimate(state)
        space = NetworkSpace.of(state)
        for individual in all_individuals(state.generations):
            for key in individual.jobs:
                self.estimate.measure(space.network(individual.chromosome), self.results[key])

    def known(self, key: JobKey, name: str) -> TrainingResult | None:
        """The result of a job that has ended before: in this run, or in one whose results it reuses."""
        if key not in self.results:
            try:
                result = find_result(self.run, key)
            except DamagedFile as damage:
                aside = self.run.set_aside(self.run.job(key))
                self.watcher.said(
                    f"warning: {damage}; set aside as {aside.name}, the network is trained again", always=True
                )
                return None
            if result is None:
                result = self._reuse(key, name)
            if result is not None:
                self.results[key] = result
        return self.results.get(key)

    def _reuse(self, key: JobKey, name: str) -> TrainingResult | None:
        """The result of a job that an earlier run has paid for, taken over into this run."""
        for source in self.means.reused:
            try:
                result = take_over(source, self.run, key, self.run.weights(name))
            except DamagedFile as damage:
                self.watcher.said(f"warning: {damage}; it is not reused", always=True)
                continue
            if result is not None:
                return result
        return None

    def run_all(self, jobs: Mapping[str, TrainingJob], what: str, again: bool = False) -> dict[str, TrainingResult]:
        """The results of jobs, by the names under which they keep their weights; those not known yet are trained.

        With `again` all of them are trained.

        Raises `RunFault` if there were several trainings and all failed, which is no network's
        fault; such failures are retried when the run is resumed.
        """
        keys = {name: job.key for name, job in jobs.items()}
        known = {name for name, key in keys.items() if self.known(key, name) is not None}
        if again or self._all_failed(list(keys.values())):
            known = set()
        self.estimate.new_queue()
        queue = self.new_queue()
        for name, job in jobs.items():
            if name not in known:
                self.add(queue, job, name)
        self.watcher.queue_began(queue.waiting)
        self.work_through(queue, self)
        results = {name: self.results[key] for name, key in keys.items()}
        if self._all_failed(list(keys.values())):
            raise fault_of(f"all {len(jobs)} trainings of {what}", list(results.values()))
        return results

    def new_queue(self, longest_first: bool = True) -> JobQueue:
        limits, slots = self.means.limits, self.means.workers.slots
        return JobQueue(limits.max_retries, max(slot.memory for slot in slots), longest_first)

    def add(self, queue: JobQueue, job: TrainingJob, name: str) -> None:
        """Queues a job with its expected time and memory; one that no device has the memory for fails at once."""
        self.run.claim(self.run.weights(name), self.run.job(job.key))
        work = self.estimate.queued[job.key] = self.estimate.seconds(job.phenotype, job.protocol.epochs)
        value = 2 if job.protocol.precision == "bfloat16" else 4
        need = cost_of(job.phenotype).memory(value, job.protocol.optimizer)
        queued = queue.add(job, name=name, work=work, need=need)
        if isinstance(queued, TrainingResult):
            self.seal(job, queued)
            self.watcher.said(f"{name}: not trained, {queued.reason}")
        elif queued.micro_batch < (job.protocol.micro_batch or 0):
            self.watcher.said(f"{name}: too large for the memory; trained in pieces of {queued.micro_batch} images")

    def work_through(self, queue: JobQueue, observer: Observer) -> None:
        """Has the workers train what is queued, until nothing is left or the run is to stop."""
        self._check_disk()
        self.means.stop.run(self.means.workers, queue, observer)

    def trained(self, job: TrainingJob, name: str) -> TrainingResult:
        """The result of a job whose weights are on disk; it is trained where either is missing.

        Raises `RunFault` if the training fails.
        """
        result = self.known(job.key, name)
        if result is not None and sound_weights(self.run, result) is None:
            self.watcher.said(f"the weights of {name} are missing; it is trained again")
            result = None
        result = result or self.run_all({name: job}, name, again=True)[name]
        self.pruned.discard(job.key)
        if result.status != "done":
            raise RunFault(f"the training of {name} failed: {result.status} ({result.reason})")
        return result

    def take_busy_seconds(self) -> float:
        """Seconds that devices have trained since this was last asked."""
        seconds, self._busy_seconds = self._busy_seconds, 0.0
        return seconds

    def remove_weights(self, results: Iterable[TrainingResult]) -> None:
        """Removes the weights of these trainings; the record that says so is written first."""
        there = {each.key: self.run.root / each.weights for each in results if each.weights is not None}
        self.pruned |= there.keys()
        save_pruned(self.run, self.pruned)
        for path in there.values():
            self.run.remove(path)

    def seal(self, job: TrainingJob, result: TrainingResult) -> None:
        """Seals the result of a job, and remembers it."""
        if result.status != "done":
            cost = cost_of(job.phenotype)
            result = replace(result, parameters=cost.parameters, flops=cost.flops)
        if result.weights is not None:
            make_durable(self.run.root / result.weights)
        seal_result(self.run, result)
        self.results[result.key] = result
        self.estimate.measure(job.phenotype, result)

    def job_started(self, slot: str, attempt: Attempt) -> None:
        self.watcher.training_began(slot, attempt)

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self.watcher.training_progressed(slot, attempt, progress)

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        self.watcher.training_retried(slot, attempt, status, reason)

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        self.seal(attempt.job, result)
        self.ended += 1
        self._busy_seconds += result.cost.seconds
        self.watcher.training_ended(slot, attempt, result)
        work = self.estimate.remaining(set(self.results))
        self.watcher.time_left(None if work is None else work / len(self.means.workers.slots))
        self._check_disk()

    def _all_failed(self, keys: Sequence[JobKey]) -> bool:
        """Whether there are several jobs, all have ended, and none succeeded."""
        ended = [self.results[key] for key in keys if key in self.results]
        return len(keys) == len(ended) > 1 and all(result.status != "done" for result in ended)

    def _check_disk(self) -> None:
        """Raises `RunFault` before the disk is full."""
        free = shutil.disk_usage(self.run.root).free / 1e9
        least = self.means.limits.min_free_disk
        if free < least:
            raise RunFault(
                f"only {free:.2f} GB are free on the disk of {self.run.root.resolve()}, less than "
                f"--min_free_disk {least:g}; make room or lower the limit"
            )


def fault_of(which: str, failures: Sequence[TrainingResult]) -> RunFault:
    """What stops a run whose trainings fail, with the commonest reason."""
    reasons = Counter(f"{result.status}: {result.reason}" for result in failures)
    commonest, count = reasons.most_common(1)[0]
    return RunFault(f"{which} failed, {count} of them as {commonest}; they are retried when the run is resumed")
