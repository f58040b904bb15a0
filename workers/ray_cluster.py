"""Trainings as tasks of a Ray cluster, behind the same interface as the workers of one machine.

A job is one stateless task: a generator that says where it runs, reports progress, and ends with
the result and the weights, which the main process writes. Ray decides on which node a task runs
(`SPREAD`), the `JobQueue` in which order and how often. No more tasks are submitted than there are
places, so none waits in Ray that the queue would now send later. The program's code and the images
travel to each node once.

Needs the package `ray`, so it is imported only where a cluster is asked for.
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError

from image_data import ImageData
from image_data.shared_memory import SHARED_ARRAYS
from job_queue import AUTO, Attempt, JobQueue, JobTimeout, WaitingClock
from records import RunFault, TrainingConfig, TrainingResult
from records.costs import Cost
from records.errors import StopRequested
from storage.directory import RunDirectory
from storage.files import write_whole
from worker_manager import Observer, Slot, WorkersBroken, end_failed
from workers import ray_node as ray_tasks
from workers.devices import GPU_PROCESS, GPU_SHARE
from workers.ray_connection import connect
from workers.ray_inventory import ClusterUse, Inventory, Node, nodes_in_words
from workers.trainers import ClusterSetup

GONE_SECONDS = 300.0  # to wait while no node is left that could train
TICK = 0.25  # seconds between checks of stop signals and time limits; results are handled at once
REFRESH_SECONDS = 2.0  # between updates of the list of nodes
# A process is kept for the next task: it has loaded torch, its GPU and the images.
TRAIN = ray.remote(max_retries=0, max_calls=0, scheduling_strategy="SPREAD")(ray_tasks.train)


@dataclass(slots=True)
class _Task:
    """A submitted job: its attempt, and the slot that it runs on, once that is known."""

    attempt: Attempt
    slot: str = ""
    since: float = math.inf  # when the time that it has began, on the clock of the waiting


class RayWorkers:
    """Runs the jobs of a queue as tasks of a cluster: "local", "auto" or an address.

    A job takes up a GPU, or its share of one, where the cluster has any and `use.cpu_workers` is
    None; otherwise as many cores as it has threads. `modules` are files that the nodes need in
    addition to this program. Use it as a context manager: on leaving, all tasks are cancelled.
    Raises `InputError` where there is no cluster, or none that can run such a job.
    """

    def __init__(
        self,
        cluster: str,
        run: RunDirectory,
        use: ClusterUse,
        job_timeout: JobTimeout = AUTO,
        trainer: str = "workers.trainers:start_cluster_trainer",
        modules: Sequence[Path] = (),
    ) -> None:
        self.cluster, self._run, self._most = cluster, run, use.cpu_workers
        self._job_timeout, self._clock, self._trainer = job_timeout, WaitingClock(), trainer
        self._tasks: dict[ray.ObjectRefGenerator, _Task] = {}
        self._setup: Any = None  # the reference to a ClusterSetup, once there is one
        self._seen, self._gone_since = -math.inf, math.inf
        self._inventory = Inventory(cluster)
        self._connection = connect(cluster, modules)
        try:
            nodes, self._needs, facts = self._inventory.survey(use)
            self.device = "cuda" if self._needs.gpus else "cpu"
            self.bfloat16: bool | None = all(each.bfloat16 for each in facts.values())
            gpu_sizes = [size for each in facts.values() for size in each.gpu_memory]
            self._gpu_memory = _room(gpu_sizes, use.workers_per_gpu)
            self.slots: Sequence[Slot] = self._slots(nodes)
            self.where = nodes_in_words(self.device, cluster, facts)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancels all tasks at once and leaves the cluster; a cluster that was started here ends."""
        for generator in self._tasks:
            with contextlib.suppress(RayError):  # the cluster may be gone, and the task with it
                ray.cancel(generator, force=True)
        self._tasks.clear()
        self._connection.close()

    def hold(self, data: ImageData, protocol: TrainingConfig) -> None:
        """Puts the training and validation images into the cluster; each node fetches them once."""
        setup = ClusterSetup(
            arrays=[getattr(data, name) for name in SHARED_ARRAYS],
            class_names=list(data.class_names),
            threads=protocol.threads,
            deterministic=protocol.deterministic,
        )
        self._setup = ray.put(setup)

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None:
        """Works until every job of the queue is done or has failed; jobs may be added while it runs.

        `stop` is a descriptor; when it becomes readable, `StopRequested` is raised, once all
        results that have arrived have been passed on. Raises `WorkersBroken` if no node is left.
        """
        while not jobs.is_finished:
            self._refresh()
            self._submit(jobs)
            self._take_ready(jobs, observer, TICK)
            self._end_overdue(jobs, observer)
            if stop is not None and select.select([stop], [], [], 0)[0]:
                while self._take_ready(jobs, observer, 0):
                    pass
                raise StopRequested

    def _slots(self, nodes: Sequence[Node]) -> list[Slot]:
        """The slots of all nodes; each has the memory of the smallest GPU or, on CPUs, of the largest node."""
        memory = self._gpu_memory if self.device == "cuda" else max((node.memory for node in nodes), default=math.inf)
        places = [(place, node) for node in nodes for place in range(self._needs.places(node))]
        # One slot of each node before the second of any, as Ray spreads the tasks.
        names = [self._place_name(node.name, place) for place, node in sorted(places, key=lambda pair: pair[0])]
        return [Slot(name=name, device=name, memory=memory) for name in names[: self._most]]

    def _place_name(self, node: str, place: int) -> str:
        if self.device == "cpu":
            return f"{node} cpu {place + 1}"
        each = round(1 / self._needs.gpus)
        return f"{node} gpu {place // each}" + (f".{place % each + 1}" if each > 1 else "")

    def _refresh(self) -> None:
        """Updates the slots every few seconds: nodes may have died or joined."""
        now = time.monotonic()
        if now - self._seen < REFRESH_SECONDS:
            return
        self._seen = now
        slots = self._slots(self._inventory.alive())
        if slots:
            self.slots, self._gone_since = slots, math.inf
        else:
            self._gone_since = min(self._gone_since, now)
            if now - self._gone_since > GONE_SECONDS:
                raise WorkersBroken(f"cluster {self.cluster}: for {GONE_SECONDS:.0f} s no node has been able to train")

    def _submit(self, jobs: JobQueue) -> None:
        """Submits as many waiting jobs as there are free slots, the longest first."""
        while len(self._tasks) < len(self.slots) and (attempt := jobs.start(self.slots[0].memory)) is not None:
            memory = attempt.memory if self.device == "cpu" else 0
            task = TRAIN.options(num_gpus=self._needs.gpus, num_cpus=self._needs.cpus, memory=memory or None)
            message = {"job": attempt.job, "micro_batch": attempt.micro_batch}
            self._tasks[task.remote(self._trainer, self._setup, message)] = _Task(attempt)

    def _take_ready(self, jobs: JobQueue, observer: Observer, seconds: float) -> bool:
        """Waits up to `seconds` for events and handles them; returns whether there were any."""
        if not self._tasks:
            time.sleep(seconds)
            return False
        begun = time.monotonic()
        ready, _ = ray.wait(list(self._tasks), timeout=seconds)
        self._clock.waited(time.monotonic() - begun, seconds)
        for generator in ready:
            self._handle(generator, _next_event(generator), jobs, observer)
        return bool(ready)

    def _handle(
        self, generator: ray.ObjectRefGenerator, event: Mapping[str, Any], jobs: JobQueue, observer: Observer
    ) -> None:
        task = self._tasks[generator]
        if event["event"] == "started":
            task.slot = self._slot_of(event["node"], event["gpu"])
            task.since = self._clock.now
            observer.job_started(task.slot, task.attempt)
        elif event["event"] == "progress":
            if self._job_timeout.is_of_silence:
                task.since = self._clock.now
            observer.job_progress(task.slot, task.attempt, event["progress"])
        elif event["event"] == "fault":
            raise RunFault(event["reason"])
        else:
            del self._tasks[generator]
            if event["event"] == "result":
                result = jobs.finish(self._with_weights(task, event["result"]))
                self._submit(jobs)  # first, so that the device trains on while the result is written
                observer.job_ended(task.slot, task.attempt, result)
            else:
                cost = Cost(seconds=event["seconds"], device=task.slot)
                end_failed(task.slot, task.attempt, jobs, observer, event["status"], event["reason"], cost)

    def _with_weights(self, task: _Task, content: Mapping[str, Any]) -> TrainingResult:
        """The result of a task, whose weights are written into the run's folder."""
        path = self._run.weights(task.attempt.name)
        write_whole(path, content["weights"])
        result: TrainingResult = content["result"]
        return replace(result, weights=self._run.relative(path), cost=replace(result.cost, device=task.slot))

    def _slot_of(self, node_id: str, gpu: int | None) -> str:
        """The first free slot of a node or, where the task has a GPU, of that GPU."""
        node, taken = self._inventory.name(node_id), {task.slot for task in self._tasks.values()}
        each = 1 if gpu is None else round(1 / self._needs.gpus)
        place = 0 if gpu is None else gpu * each
        while self._place_name(node, place) in taken:
            place += 1
        return self._place_name(node, place)

    def _end_overdue(self, jobs: JobQueue, observer: Observer) -> None:
        for generator, task in list(self._tasks.items()):
            limit = self._job_timeout.limit(task.attempt, jobs.pace)
            if task.since + limit <= self._clock.now:
                del self._tasks[generator]
                ray.cancel(generator, force=True)
                reason = self._job_timeout.reason(limit)
                end_failed(task.slot, task.attempt, jobs, observer, "timed_out", reason, Cost(device=task.slot))


def _next_event(generator: ray.ObjectRefGenerator) -> Mapping[str, Any]:
    """The next event of a task; where the task has died, a failure that says how."""
    try:
        event: Mapping[str, Any] = ray.get(next(generator))
    except StopIteration:
        return {"event": "failed", "status": "crashed", "reason": "the task ended without a result", "seconds": 0.0}
    except RayError as error:
        status = "out_of_memory" if isinstance(error, OutOfMemoryError) else "crashed"
        cause = getattr(error, "cause", None) or error
        said = str(cause).strip().partition("\n")[0].partition(". ")[0]  # the rest is about Ray's logs
        reason = f"{type(cause).__name__}: {said}"
        return {"event": "failed", "status": status, "reason": reason, "seconds": 0.0}
    return event


def _room(sizes: Sequence[int], workers_per_gpu: int) -> float:
    """Bytes for one training on the smallest GPU."""
    return min((GPU_SHARE * size / workers_per_gpu - GPU_PROCESS for size in sizes), default=math.inf)
