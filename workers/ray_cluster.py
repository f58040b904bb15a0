"""Trainings as tasks of a Ray cluster, behind the same surface as the workers of one machine.

A job is one stateless task: a generator that says where it runs, reports progress, and ends with
the result and the weights, which the main process writes. Ray decides on which node a task runs
(`SPREAD`), the `JobQueue` in which order and how often. No more tasks are submitted than there are
places, so none waits in Ray that the queue would now send later. The program's code and the images
travel to each node once.

Needs the package `ray`; nothing else imports this module before it is asked for.
"""

from __future__ import annotations

import contextlib
import math
import platform
import re
import select
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RuntimeEnvSetupError,
    TaskUnschedulableError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from image_data import ImageData
from image_data.shared_memory import SHARED_ARRAYS
from job_queue import Attempt, JobQueue
from records import InputError, RunFault, TrainingConfig, TrainingResult
from records.costs import Cost
from records.errors import StopRequested
from records.words import counted
from storage.directory import RunDirectory
from storage.files import write_whole
from worker_manager import Observer, Slot, WorkersBroken, end_failed
from workers import ray_node as ray_tasks
from workers.devices import GPU_PROCESS, GPU_SHARE
from workers.ray_connection import connect
from workers.ray_node import NodeFacts
from workers.trainers import ClusterSetup

LOOK_SECONDS = 180.0  # for which a node may take to start Python and import torch
GONE_SECONDS = 300.0  # for which a run waits where no node is left that could train
TICK = 0.25  # seconds between looks at stop signals and time limits; results wake us at once
REFRESH_SECONDS = 2.0  # between looks at which nodes there are
SMALLEST_SHARE = 1e-4  # of a GPU that Ray tells apart
LOOK = ray.remote(num_cpus=0)(ray_tasks.look)
# A process is kept for the next task: it has torch, its GPU and the images at hand.
TRAIN = ray.remote(max_retries=0, max_calls=0, scheduling_strategy="SPREAD")(ray_tasks.train)


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of a cluster: what Ray counts on it; memory in bytes."""

    id: str
    name: str
    cpus: float
    gpus: float
    memory: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one job asks of a node: GPUs (1 or a share of one) or processor cores."""

    gpus: float = 0.0
    cpus: float = 0.0

    def places(self, node: Node) -> int:
        """How many such jobs a node has room for at once."""
        if self.gpus:
            return math.floor((node.gpus + SMALLEST_SHARE) / self.gpus)
        return math.floor(node.cpus / self.cpus)


@dataclass(slots=True)
class _Task:
    """A job under way: its attempt, and the slot it was found to run on, once it does."""

    attempt: Attempt
    slot: str = ""
    deadline: float = math.inf


class RayWorkers:
    """Runs the jobs of a queue as tasks of a cluster: "local", "auto" or an address.

    Jobs ask for a GPU each (or a share, by `workers_per_gpu`) where the cluster has any and
    `cpu_workers` is None, else for as many cores as they have `threads`. `modules` are files that
    the nodes need beside this program's. Use as a context manager: on leaving, all tasks are
    cancelled. Raises `InputError` where there is no cluster, or none that can do such a job.
    """

    def __init__(
        self,
        cluster: str,
        run: RunDirectory,
        threads: int,
        cpu_workers: int | None = None,
        workers_per_gpu: int = 1,
        job_timeout: float | None = None,
        trainer: str = "workers.trainers:start_cluster_trainer",
        modules: Sequence[Path] = (),
    ) -> None:
        self.cluster, self._run, self._threads, self._most = cluster, run, threads, cpu_workers
        self._job_timeout, self._trainer = job_timeout, trainer
        self._tasks: dict[ray.ObjectRefGenerator, _Task] = {}
        self._names: dict[str, str] = {}
        self._setup: Any = None  # the reference to a ClusterSetup, once there is one
        self._seen, self._gone_since = -math.inf, math.inf
        connect(cluster, modules)
        try:
            nodes, facts = self._able_nodes(workers_per_gpu)
            on_gpus = bool(self._request.gpus)
            self.device = "cuda" if on_gpus else "cpu"
            refuse_odd(cluster, facts, on_gpus)
            self.bfloat16: bool | None = all(each.bfloat16 for each in facts.values())
            self._gpu_memory = _room([size for each in facts.values() for size in each.gpu_memory], workers_per_gpu)
            self.slots: Sequence[Slot] = self._slots(nodes)
            self.where = nodes_in_words(self.device, cluster, facts)
        except BaseException:
            ray.shutdown()
            raise

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancels all tasks at once and leaves the cluster; one that was started here ends."""
        for generator in self._tasks:
            with contextlib.suppress(RayError):  # the cluster may have gone; with it the task
                ray.cancel(generator, force=True)
        self._tasks.clear()
        ray.shutdown()

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

        `stop` is a descriptor; when it becomes readable, `StopRequested` is raised, after all
        results that have arrived were handed on. Raises `WorkersBroken` if no node is left.
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

    def _able_nodes(self, workers_per_gpu: int) -> tuple[list[Node], dict[str, NodeFacts]]:
        """The nodes, once all of those that could take a job have answered; decides what a job asks for."""
        nodes = self._nodes()
        while True:
            self._request = Request(cpus=self._threads)
            if self._most is None and any(node.gpus for node in nodes):
                self._request = Request(gpus=math.floor(1 / workers_per_gpu / SMALLEST_SHARE) * SMALLEST_SHARE)
            refuse_small(self.cluster, nodes, self._request, workers_per_gpu)
            asked = [node for node in nodes if self._request.places(node)]
            facts = look(asked)
            if len(facts) == len(asked):
                return nodes, facts
            nodes = [node for node in nodes if node.name in facts or node not in asked]  # the others have died

    def _nodes(self) -> list[Node]:
        """The nodes that are alive, each with a name of its own."""
        found = []
        for each in ray.nodes():  # type: ignore[no-untyped-call]
            name = self._names.get(each["NodeID"])
            if name is None:
                name = _new_name(each["NodeManagerHostname"], set(self._names.values()))
                self._names[each["NodeID"]] = name
            if each["Alive"]:
                size = each["Resources"]
                cpus, gpus, memory = size.get("CPU", 0.0), size.get("GPU", 0.0), size.get("memory", math.inf)
                found.append(Node(id=each["NodeID"], name=name, cpus=cpus, gpus=gpus, memory=memory))
        return sorted(found, key=lambda node: node.name)

    def _slots(self, nodes: Sequence[Node]) -> list[Slot]:
        """One slot for each place; those of all nodes have the memory of the smallest GPU, or of the largest node."""
        memory = self._gpu_memory if self.device == "cuda" else max((node.memory for node in nodes), default=math.inf)
        places = [(place, node) for node in nodes for place in range(self._request.places(node))]
        # One slot of each node before the second of any, as Ray spreads the tasks.
        names = [self._place_name(node.name, place) for place, node in sorted(places, key=lambda pair: pair[0])]
        return [Slot(name=name, device=name, memory=memory) for name in names[: self._most]]

    def _place_name(self, node: str, place: int) -> str:
        if self.device == "cpu":
            return f"{node} cpu {place + 1}"
        each = round(1 / self._request.gpus)
        return f"{node} gpu {place // each}" + (f".{place % each + 1}" if each > 1 else "")

    def _refresh(self) -> None:
        """Looks at times which nodes there are: some may have died, others joined."""
        now = time.monotonic()
        if now - self._seen < REFRESH_SECONDS:
            return
        self._seen = now
        slots = self._slots(self._nodes())
        if slots:
            self.slots, self._gone_since = slots, math.inf
        else:
            self._gone_since = min(self._gone_since, now)
            if now - self._gone_since > GONE_SECONDS:
                raise WorkersBroken(f"cluster {self.cluster}: for {GONE_SECONDS:.0f} s no node has been able to train")

    def _submit(self, jobs: JobQueue) -> None:
        """Submits as many waiting jobs as there are free places, the longest first."""
        while len(self._tasks) < len(self.slots) and (attempt := jobs.start(self.slots[0].memory)) is not None:
            memory = attempt.memory if self.device == "cpu" else 0
            task = TRAIN.options(num_gpus=self._request.gpus, num_cpus=self._request.cpus, memory=memory or None)
            message = {"job": attempt.job, "micro_batch": attempt.micro_batch}
            self._tasks[task.remote(self._trainer, self._setup, message)] = _Task(attempt)

    def _take_ready(self, jobs: JobQueue, observer: Observer, seconds: float) -> bool:
        """Waits for so long for an event, and takes it; whether there was one."""
        if not self._tasks:
            time.sleep(seconds)
            return False
        ready, _ = ray.wait(list(self._tasks), timeout=seconds)
        for generator in ready:
            self._handle(generator, _next_event(generator), jobs, observer)
        return bool(ready)

    def _handle(
        self, generator: ray.ObjectRefGenerator, event: Mapping[str, Any], jobs: JobQueue, observer: Observer
    ) -> None:
        task = self._tasks[generator]
        if event["event"] == "started":
            task.slot = self._slot_of(event["node"], event["gpu"])
            if self._job_timeout is not None:
                task.deadline = time.monotonic() + self._job_timeout
            observer.job_started(task.slot, task.attempt)
        elif event["event"] == "progress":
            observer.job_progress(task.slot, task.attempt, event["progress"])
        elif event["event"] == "fault":
            raise RunFault(event["reason"])
        else:
            del self._tasks[generator]
            if event["event"] == "result":
                result = jobs.finish(self._with_weights(task, event["result"]))
                self._submit(jobs)  # first: the device trains on while the result is made durable
                observer.job_ended(task.slot, task.attempt, result)
            else:
                cost = Cost(seconds=event["seconds"], device=task.slot)
                end_failed(task.slot, task.attempt, jobs, observer, event["status"], event["reason"], cost)

    def _with_weights(self, task: _Task, content: Mapping[str, Any]) -> TrainingResult:
        """A result that came with weights, which are written where they belong."""
        path = self._run.weights(task.attempt.name)
        write_whole(path, content["weights"])
        result: TrainingResult = content["result"]
        return replace(result, weights=self._run.relative(path), cost=replace(result.cost, device=task.slot))

    def _slot_of(self, node_id: str, gpu: int | None) -> str:
        """The first free slot of a node, and of its GPU; a node may have joined since the last look."""
        if node_id not in self._names:
            self._nodes()
        node, taken = self._names[node_id], {task.slot for task in self._tasks.values()}
        each = 1 if gpu is None else round(1 / self._request.gpus)
        place = 0 if gpu is None else gpu * each
        while self._place_name(node, place) in taken:
            place += 1
        return self._place_name(node, place)

    def _end_overdue(self, jobs: JobQueue, observer: Observer) -> None:
        now = time.monotonic()
        for generator, task in list(self._tasks.items()):
            if task.deadline <= now:
                del self._tasks[generator]
                ray.cancel(generator, force=True)
                reason = f"no result after {self._job_timeout} s (--job_timeout)"
                end_failed(task.slot, task.attempt, jobs, observer, "timed_out", reason, Cost(device=task.slot))


def look(nodes: Sequence[Node]) -> dict[str, NodeFacts]:
    """What nodes say of themselves, by their names; those that died meanwhile are left out.

    Raises `InputError` where one cannot train at all.
    """
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
        asked[node.name] = LOOK.options(scheduling_strategy=there).remote()
    facts: dict[str, NodeFacts] = {}
    for name, answer in asked.items():
        try:
            facts[name] = ray.get(answer, timeout=LOOK_SECONDS)
        except (NodeDiedError, TaskUnschedulableError):
            continue
        except RayError as error:
            cause = error if isinstance(error, RuntimeEnvSetupError) else getattr(error, "cause", None) or error
            last = (str(cause).strip().splitlines() or [type(cause).__name__])[-1]
            raise InputError(
                f"node {name} of the cluster cannot train ({last}); it needs Python {platform.python_version()} "
                "with what requirements.txt lists"
            ) from error
    return facts


def refuse_small(cluster: str, nodes: Sequence[Node], request: Request, workers_per_gpu: int) -> None:
    """Raises `InputError` where no node could ever take one job: Ray would wait for such a node for good."""
    there = "; ".join(f"{node.name}: {node.cpus:g} CPUs, {node.gpus:g} GPUs" for node in nodes)
    if workers_per_gpu > 1 and not request.gpus:
        raise InputError(f"--workers_per_gpu is for GPUs, but cluster {cluster} has none ({there}); leave it out")
    if not any(request.places(node) for node in nodes):
        need = f"{request.gpus:g} GPU" if request.gpus else f"{request.cpus:g} CPUs (--threads)"
        raise InputError(f"--cluster {cluster}: one job needs {need}, and no node has as much ({there})")


def refuse_odd(cluster: str, facts: Mapping[str, NodeFacts], on_gpus: bool) -> None:
    """Raises `InputError` where nodes would train otherwise than this process expects."""
    for name, each in facts.items():
        if each.torch != torch.__version__:
            raise InputError(
                f"--cluster {cluster}: node {name} has torch {each.torch}, this machine {torch.__version__}; results "
                "would depend on where a network trains: install the same version on all"
            )
        if on_gpus and not each.gpu_memory:
            raise InputError(
                f"--cluster {cluster}: Ray counts GPUs on node {name}, but torch sees none there; "
                "mend its driver, or train on processors by --cpu_workers"
            )


def nodes_in_words(device: str, cluster: str, facts: Mapping[str, NodeFacts]) -> str:
    """Where trainings run: "cpu of 2 nodes of cluster auto (Intel …)"; says where nodes are not alike."""
    kinds = sorted({each.hardware for each in facts.values()})
    alike = "" if len(kinds) == 1 else "; they differ, so results depend on which node trains"
    return f"{device} of {counted(len(facts), 'node')} of cluster {cluster} ({', '.join(kinds)}{alike})"


def _new_name(host: str, taken: set[str]) -> str:
    """The name of a host without its domain, with a number where there is such a name already."""
    short = host if re.fullmatch(r"[\d.]+", host) else host.partition(".")[0]
    number, name = 1, short
    while name in taken:
        number += 1
        name = f"{short}-{number}"
    return name


def _room(sizes: Sequence[int], workers_per_gpu: int) -> float:
    """Bytes for one training on the smallest GPU."""
    return min((GPU_SHARE * size / workers_per_gpu - GPU_PROCESS for size in sizes), default=math.inf)


def _next_event(generator: ray.ObjectRefGenerator) -> Mapping[str, Any]:
    """The event that a task has ready; where the task died, a failure that says how."""
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
