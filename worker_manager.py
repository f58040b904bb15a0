"""Worker processes, one per device slot: start, feed, watch, replace.

A worker is a fresh Python process that lives for the whole run, imports torch once and maps the
images once (`training.worker`). The manager waits for the events of all workers at once: a pipe that
closes means that its worker has died. It wakes every few seconds only to see whether one has stalled.
"""

from __future__ import annotations

import math
import os
import selectors
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

from job_queue import AUTO, Attempt, Concurrency, JobQueue, JobTimeout, WaitingClock
from records import RunFault, TrainingResult
from records.canonical import from_json, to_json
from records.costs import Cost
from records.errors import StopRequested
from training.worker import WorkerProcess, worker_main

START_SECONDS = 300.0  # a worker that is not ready by then is replaced
STARTS_PER_SLOT = 3  # a slot whose workers die this often in a row before they are ready is broken


class WorkersBroken(RunFault):
    """No worker can be started; the message carries the last line of output of the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """A place where one training runs at a time: its name, and the environment of its process.

    The slots of one `device` share its `memory`, in bytes for all trainings together. Where
    `is_tuned`, the measured throughput decides how many of them are used at once, and a failed
    training is retried alone on its device, so that trainings that share a GPU cannot make each
    other fail again.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    memory: float = math.inf
    is_tuned: bool = False


class Observer(Protocol):
    """Is told what happens while jobs run. `slot` is the name of a device slot."""

    def job_started(self, slot: str, attempt: Attempt) -> None: ...

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None: ...

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None: ...

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None: ...


class Workers(Protocol):
    """What runs the jobs of a queue: processes of this machine, or tasks of a cluster."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Each runs one training at a time; on a cluster they change as nodes join and leave."""
        ...

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None: ...


class _Worker(WorkerProcess):
    """The process of one slot, and the attempt that it works on."""

    def __init__(
        self, slot: Slot, command: Sequence[str], start: Mapping[str, Any], descriptors: Sequence[int]
    ) -> None:
        super().__init__(command, slot.environment, descriptors)
        self.slot = slot
        self.attempt: Attempt | None = None
        self.since = math.inf  # when the time that it has began, on the manager's clock
        self.is_ready = False
        self.send(start)


class WorkerManager:
    """Runs the jobs of a queue on worker processes that are started once and replaced when they die.

    `trainer` names a function as "module:function". In the worker it is called once with
    `setup` and returns the function that trains; every worker inherits the `descriptors`.
    Without `setup`, workers import their modules and wait for `set_up`. `task` makes the message
    for an attempt. Use it as a context manager: on leaving, all workers end.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        trainer: str,
        setup: Mapping[str, Any] | None = None,
        descriptors: Sequence[int] = (),
        task: Callable[[Attempt], Mapping[str, Any]] = lambda attempt: {"micro_batch": attempt.micro_batch},
        job_timeout: JobTimeout = AUTO,
    ) -> None:
        self.slots = tuple(slots)
        self._descriptors = tuple(descriptors)
        self._command = [sys.executable, os.path.abspath(__file__)]
        self._start = {"trainer": trainer, "path": sys.path}
        self._setup = setup
        self._task = task
        self._job_timeout = job_timeout
        self._clock = WaitingClock()
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}  # by the descriptor of their events
        self._failed_starts: dict[str, int] = {}
        places = Counter(slot.device for slot in slots)
        self._concurrency = {slot.device: Concurrency(places[slot.device]) for slot in slots if slot.is_tuned}
        for slot in slots:
            self._start_worker(slot)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all workers at once."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()
        self._selector.close()

    def set_up(self, setup: Mapping[str, Any]) -> None:
        """Sends all workers what they need for training."""
        self._setup = setup
        for worker in self._workers.values():
            self._set_up(worker, setup)

    def _set_up(self, worker: _Worker, setup: Mapping[str, Any]) -> None:
        worker.since = self._clock.now
        worker.send(setup)

    def _start_worker(self, slot: Slot) -> None:
        worker = _Worker(slot, self._command, self._start, self._descriptors)
        if self._setup is not None:
            self._set_up(worker, self._setup)
        self._workers[worker.events] = worker
        self._selector.register(worker.events, selectors.EVENT_READ)

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None:
        """Works until every job of the queue is done or has failed; jobs may be added while it runs.

        `stop` is a descriptor; when it becomes readable, `StopRequested` is raised, once all
        results that have arrived have been passed on. Raises `WorkersBroken` if none can be started.
        """
        if stop is not None:
            self._selector.register(stop, selectors.EVENT_READ)
        try:
            while not jobs.is_finished:
                self._feed(jobs, observer)
                ready = self._wait(jobs)
                for key, _ in ready:
                    if key.fd in self._workers:
                        self._handle(self._workers[key.fd], jobs, observer)
                self._end_overdue(jobs, observer)
                if any(key.fd == stop for key, _ in ready):
                    raise StopRequested
        finally:
            if stop is not None:
                self._selector.unregister(stop)

    def _feed(self, jobs: JobQueue, observer: Observer) -> None:
        if not jobs.waiting:
            return  # spares each idle worker the search for a job
        for worker in self._workers.values():
            if not worker.is_ready or worker.attempt is not None:
                continue
            attempt = self._next_attempt(worker.slot, jobs)
            if attempt is not None:
                worker.attempt, worker.since = attempt, self._clock.now
                observer.job_started(worker.slot.name, attempt)
                worker.send({"job": to_json(attempt.job), **self._task(attempt)})

    def _next_attempt(self, slot: Slot, jobs: JobQueue) -> Attempt | None:
        """The longest of the waiting jobs that may start now, given what runs on the slot's device; or None."""
        running = [each.attempt for each in self._workers.values() if each.attempt and each.slot.device == slot.device]
        room = slot.memory - sum(attempt.memory for attempt in running)
        if not slot.is_tuned:
            return jobs.start(room)
        if any(attempt.number > 1 for attempt in running) or len(running) >= self._concurrency[slot.device].limit:
            return None
        return jobs.start(room, retries=not running)

    def _wait(self, jobs: JobQueue) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits for events, until the next look at what has stalled."""
        asked = self._clock.next_wait((each.since, self._limit(each, jobs)) for each in self._workers.values())
        begun = time.monotonic()
        ready = self._selector.select(asked)
        self._clock.waited(time.monotonic() - begun, asked)
        return ready

    def _limit(self, worker: _Worker, jobs: JobQueue) -> float:
        """The seconds that a worker has: to start, or for its attempt."""
        return START_SECONDS if worker.attempt is None else self._job_timeout.limit(worker.attempt, jobs.pace)

    def _end_overdue(self, jobs: JobQueue, observer: Observer) -> None:
        for worker in list(self._workers.values()):
            limit = self._limit(worker, jobs)
            if worker.since + limit <= self._clock.now:
                self._replace(worker, jobs, observer, "timed_out", self._job_timeout.reason(limit))

    def _handle(self, worker: _Worker, jobs: JobQueue, observer: Observer) -> None:
        events = worker.receive()
        if events is None:
            self._replace(worker, jobs, observer, "crashed", "")
            return
        for event in events:
            attempt = worker.attempt
            if event["event"] == "ready":
                worker.is_ready, worker.since = True, math.inf
                self._failed_starts.pop(worker.slot.name, None)
            elif attempt is None:
                raise RuntimeError(f"worker {worker.slot.name} sent {event['event']!r} without a job")
            elif event["event"] == "fault":
                raise RunFault(event["reason"])
            elif event["event"] == "progress":
                if self._job_timeout.is_of_silence:
                    worker.since = self._clock.now
                observer.job_progress(worker.slot.name, attempt, event["progress"])
            else:
                worker.attempt, worker.since = None, math.inf
                if event["event"] == "result":
                    result = from_json(TrainingResult, event["result"])
                    result = jobs.finish(replace(result, cost=replace(result.cost, device=worker.slot.name)))
                    if worker.slot.is_tuned:
                        self._concurrency[worker.slot.device].job_ended(attempt.work, time.monotonic())
                    self._feed(jobs, observer)  # first, so that the device trains on while the result is written
                    observer.job_ended(worker.slot.name, attempt, result)
                else:
                    cost = Cost(seconds=event["seconds"], device=worker.slot.name)
                    end_failed(worker.slot.name, attempt, jobs, observer, event["status"], event["reason"], cost)

    def _replace(self, worker: _Worker, jobs: JobQueue, observer: Observer, status: str, reason: str) -> None:
        """Ends a worker that died or is overdue, accounts for its job, and starts a fresh one."""
        del self._workers[worker.events]
        self._selector.unregister(worker.events)
        how = worker.kill()
        if not worker.is_ready:
            failed = self._failed_starts[worker.slot.name] = self._failed_starts.get(worker.slot.name, 0) + 1
            if failed >= STARTS_PER_SLOT:
                raise WorkersBroken(f"the worker of {worker.slot.name} cannot be started: {how}")
        if worker.attempt is not None:
            end_failed(worker.slot.name, worker.attempt, jobs, observer, status, reason or how, Cost())
        self._start_worker(worker.slot)


def end_failed(
    slot: str, attempt: Attempt, jobs: JobQueue, observer: Observer, status: str, reason: str, cost: Cost
) -> None:
    """Tells the queue of a failed attempt, which it retries or gives up, and the observer which of the two."""
    result = jobs.fail(attempt.key, status, reason, cost)
    if result is None:
        observer.job_retried(slot, attempt, status, reason)
    else:
        observer.job_ended(slot, attempt, result)


if __name__ == "__main__":
    worker_main(*map(int, sys.argv[1:]))
