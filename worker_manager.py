"""Worker processes, one per device slot: start, feed, watch, replace.

A worker is a clean Python process that lives for the whole run, imports torch once and holds the
data once. It reads tasks from its standard input and writes events to a pipe of its own, one JSON
line each. The manager waits for all pipes at once and never polls or sleeps: a pipe that closes
is a worker that died. A worker ends when its standard input closes, which is when the main process
ends, however it ends; on Linux the kernel also kills it then, even where it hangs or is stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import math
import os
import queue
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any, Protocol, Self

from job_queue import Attempt, Concurrency, JobQueue
from records import RunFault, TrainingResult
from records.canonical import from_json, to_json
from records.errors import TrainingFailure
from records.trainings import Cost

PR_SET_PDEATHSIG = 1  # linux/prctl.h
START_SECONDS = 300.0  # a worker that is not ready by then is replaced
STARTS_PER_SLOT = 3  # a slot whose workers die this often in a row before they are ready is broken
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
ERROR_TAIL = 2000  # bytes of a dead worker's standard error that are searched for a reason

Report = Callable[[Mapping[str, Any]], None]
Trainer = Callable[[Mapping[str, Any], Report], dict[str, Any]]


class WorkersBroken(RunFault):
    """No worker can be started; the message carries what the last one said."""


class StopRequested(BaseException):
    """A person or a time limit asked the run to stop; the message names the signal or the limit.

    Like KeyboardInterrupt it is no Exception, so that no library that it meets on its way swallows it.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """A place where one training runs at a time: its name, and the environment of its process.

    The slots of one `device` share its `memory`, in bytes for all trainings together. Where
    `is_tuned`, as many of them are used at once as pay by measured throughput, and a training that
    failed is tried again alone, so that neighbours on a GPU cannot spoil it, nor it them.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    memory: float = math.inf
    is_tuned: bool = False


class Observer(Protocol):
    """What is told while jobs run. `slot` is the name of a device slot."""

    def job_started(self, slot: str, attempt: Attempt) -> None: ...

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None: ...

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None: ...

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None: ...


class Workers(Protocol):
    """Whatever works through a queue of jobs: processes of this machine, or the tasks of a cluster."""

    @property
    def slots(self) -> Sequence[Slot]:
        """The places where trainings run, one at a time each; on a cluster they come and go."""
        ...

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None: ...


class _Worker:
    """The process of one slot, its pipes, and the attempt that it works on."""

    def __init__(
        self, slot: Slot, command: Sequence[str], start: Mapping[str, Any], descriptors: Sequence[int]
    ) -> None:
        self.slot = slot
        self.attempt: Attempt | None = None
        self.deadline = math.inf
        self.is_ready = False
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `kill`)
        self.events, writer = os.pipe()
        self._unread = b""
        try:
            self.process = subprocess.Popen(
                [*command, str(writer), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=self.errors,
                stderr=self.errors,
                pass_fds=(writer, *descriptors),
                env={**os.environ, **slot.environment},
                process_group=0,  # a Ctrl-C at the terminal is for the main process alone
            )
        finally:
            os.close(writer)
        self.send(start)

    def set_up(self, setup: Mapping[str, Any]) -> None:
        self.deadline = time.monotonic() + START_SECONDS
        self.send(setup)

    def send(self, message: Mapping[str, Any]) -> None:
        """A worker that has died does not read; its pipe of events tells of that."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def receive(self) -> list[dict[str, Any]] | None:
        """The events that have arrived; None when the pipe is closed: the worker is dead."""
        data = os.read(self.events, 1 << 16)
        if not data:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> str:
        """Ends the process, if it has not ended, and says how it did."""
        self.process.kill()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        status = self.process.wait()
        os.close(self.events)
        self.errors.seek(max(0, os.fstat(self.errors.fileno()).st_size - ERROR_TAIL))
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        self.errors.close()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return f"{how}: {said[-1]}" if said else how


class WorkerManager:
    """Runs the jobs of a queue on worker processes that are started once and replaced when they die.

    `trainer` names a function as "module:function". In the worker it is called once with
    `setup` and returns the function that trains; `descriptors` are inherited by every worker.
    Without `setup` the workers import their modules and wait for `set_up`. `task` makes the message
    for an attempt. Use as a context manager: on leaving, all workers end.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        trainer: str,
        setup: Mapping[str, Any] | None = None,
        descriptors: Sequence[int] = (),
        task: Callable[[Attempt], Mapping[str, Any]] = lambda attempt: {"micro_batch": attempt.micro_batch},
        job_timeout: float | None = None,
    ) -> None:
        self.slots = tuple(slots)
        self._descriptors = tuple(descriptors)
        self._command = [sys.executable, os.path.abspath(__file__)]
        self._start = {"trainer": trainer, "path": sys.path}
        self._setup = setup
        self._task = task
        self._job_timeout = job_timeout
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
        """Sends all workers what they need to train."""
        self._setup = setup
        for worker in self._workers.values():
            worker.set_up(setup)

    def _start_worker(self, slot: Slot) -> None:
        worker = _Worker(slot, self._command, self._start, self._descriptors)
        if self._setup is not None:
            worker.set_up(self._setup)
        self._workers[worker.events] = worker
        self._selector.register(worker.events, selectors.EVENT_READ)

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None:
        """Works until every job of the queue is done or has failed; jobs may be added while it runs.

        `stop` is a descriptor; when it becomes readable, `StopRequested` is raised, after all
        results that have arrived were handed on. Raises `WorkersBroken` if none can be started.
        """
        if stop is not None:
            self._selector.register(stop, selectors.EVENT_READ)
        try:
            while not jobs.is_finished:
                self._feed(jobs, observer)
                ready = self._selector.select(self._seconds_to_deadline())
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
            return  # else each of many idle workers would look at all the others
        for worker in self._workers.values():
            if not worker.is_ready or worker.attempt is not None:
                continue
            attempt = self._next_attempt(worker.slot, jobs)
            if attempt is not None:
                worker.attempt = attempt
                if self._job_timeout is not None:
                    worker.deadline = time.monotonic() + self._job_timeout
                observer.job_started(worker.slot.name, attempt)
                worker.send({"job": to_json(attempt.job), **self._task(attempt)})

    def _next_attempt(self, slot: Slot, jobs: JobQueue) -> Attempt | None:
        """The longest waiting job that may start beside what runs on the slot's device; None if there is none."""
        running = [each.attempt for each in self._workers.values() if each.attempt and each.slot.device == slot.device]
        room = slot.memory - sum(attempt.memory for attempt in running)
        if not slot.is_tuned:
            return jobs.start(room)
        if any(attempt.number > 1 for attempt in running) or len(running) >= self._concurrency[slot.device].limit:
            return None
        return jobs.start(room, retries=not running)

    def _seconds_to_deadline(self) -> float | None:
        deadline = min((worker.deadline for worker in self._workers.values()), default=float("inf"))
        return None if deadline == float("inf") else max(0.0, deadline - time.monotonic())

    def _end_overdue(self, jobs: JobQueue, observer: Observer) -> None:
        now = time.monotonic()
        for worker in list(self._workers.values()):
            if worker.deadline <= now:
                self._replace(
                    worker, jobs, observer, "timed_out", f"no result after {self._job_timeout} s (--job_timeout)"
                )

    def _handle(self, worker: _Worker, jobs: JobQueue, observer: Observer) -> None:
        events = worker.receive()
        if events is None:
            self._replace(worker, jobs, observer, "crashed", "")
            return
        for event in events:
            attempt = worker.attempt
            if event["event"] == "ready":
                worker.is_ready, worker.deadline = True, float("inf")
                self._failed_starts.pop(worker.slot.name, None)
            elif attempt is None:
                raise RuntimeError(f"worker {worker.slot.name} sent {event['event']!r} without a job")
            elif event["event"] == "fault":
                raise RunFault(event["reason"])
            elif event["event"] == "progress":
                observer.job_progress(worker.slot.name, attempt, event["progress"])
            else:
                worker.attempt, worker.deadline = None, float("inf")
                if event["event"] == "result":
                    result = from_json(TrainingResult, event["result"])
                    result = jobs.finish(replace(result, cost=replace(result.cost, device=worker.slot.name)))
                    if worker.slot.is_tuned:
                        self._concurrency[worker.slot.device].job_ended(attempt.work, time.monotonic())
                    self._feed(jobs, observer)  # first: the device trains on while the result is made durable
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
    """Has the queue try a job again, or give it up, and tells the observer which."""
    result = jobs.fail(attempt.key, status, reason, cost)
    if result is None:
        observer.job_retried(slot, attempt, status, reason)
    else:
        observer.job_ended(slot, attempt, result)


class StopSignals:
    """SIGINT, SIGTERM, SIGHUP, and the end of `max_hours`, as something the workers' loop can wait for.

    Outside that loop, and from the second signal on, a signal raises `StopRequested` where it
    arrives: no instant is a bad one, since files are replaced whole.
    """

    def __init__(self, max_hours: float | None = None) -> None:
        self._max_hours = max_hours
        self._reason = ""
        self.descriptor, self._writer = os.pipe()
        self._is_waited_for = False
        self._count = 0
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            signal.signal(number, self._handle)
        if self._max_hours is not None:
            signal.setitimer(signal.ITIMER_REAL, 3600 * self._max_hours)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.descriptor)
        os.close(self._writer)
        if self._count and isinstance(error, ImportError | SystemError):
            # What a library that was being imported has made of the stop that met it there.
            raise StopRequested(self._reason) from error

    def _handle(self, number: int, frame: object) -> None:
        self._count += 1
        self._reason = "--max_hours" if number == signal.SIGALRM else signal.Signals(number).name
        if self._count > 1 or not self._is_waited_for:
            raise StopRequested(self._reason)
        os.write(self._writer, b"\0")

    def run(self, workers: Workers, jobs: JobQueue, observer: Observer) -> None:
        """`workers.run`, with signals waited for instead of raised."""
        self._is_waited_for = True
        try:
            workers.run(jobs, observer, self.descriptor)
        except StopRequested:
            raise StopRequested(self._reason) from None
        finally:
            self._is_waited_for = False


def worker_main(writer: int, parent: int) -> None:
    """The life of a worker process: made ready once, then one task after the other."""
    _die_with(parent)
    os.set_inheritable(writer, False)
    events = os.fdopen(writer, "w", buffering=1)

    def send(event: str, **content: Any) -> None:
        events.write(json.dumps({"event": event, **content}, allow_nan=False) + "\n")

    tasks = _read_tasks()
    start = tasks.get()
    sys.path[:] = start["path"]
    train = named_function(start["trainer"])(tasks.get())
    send("ready")
    while True:
        perform(train, tasks.get(), send)


def named_function(name: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def perform(train: Trainer, task: Mapping[str, Any], send: Callable[..., None]) -> None:
    """Trains, and sends what comes of it: progress, then one of result, failed, fault."""
    clock = time.perf_counter()
    try:
        result = train(task, lambda progress: send("progress", progress=dict(progress)))
    except RunFault as fault:
        send("fault", reason=str(fault))  # of the machine, not of the network: the run has to stop
    except Exception as error:
        status, reason = name_failure(error)
        send("failed", status=status, reason=reason, seconds=time.perf_counter() - clock)
    else:
        send("result", result=result)


def _die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent ends (Linux), and ends it if that was before."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _read_tasks() -> queue.SimpleQueue[dict[str, Any]]:
    """A queue that a thread fills from standard input; when that closes, the process ends at once."""
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            tasks.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return tasks


def name_failure(error: Exception) -> tuple[str, str]:
    """The status of `FAILURES` and the reason of what a training raised."""
    if isinstance(error, TrainingFailure):
        return error.status, error.reason
    if isinstance(error, MemoryError):
        return "out_of_memory", str(error) or "MemoryError"
    return "error", f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    worker_main(*map(int, sys.argv[1:]))
