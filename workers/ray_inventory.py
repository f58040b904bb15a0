"""The nodes of a Ray cluster: which there are, what they have, and whether they can train.

Needs the package `ray`; only `ray_cluster` imports this module.
"""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray
import torch
from ray.exceptions import NodeDiedError, RayError, RuntimeEnvSetupError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from records import InputError
from records.words import counted
from workers import ray_node as ray_tasks
from workers.ray_node import NodeFacts

LOOK_SECONDS = 180.0  # that a node may take to start Python and import torch
SMALLEST_SHARE = 1e-4  # of a GPU that Ray distinguishes
LOOK = ray.remote(num_cpus=0)(ray_tasks.look)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterUse:
    """How a cluster is to be used: threads of a training, most trainings at once on processors, trainings per GPU."""

    threads: int
    cpu_workers: int | None = None
    workers_per_gpu: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of a cluster: what Ray counts on it; memory in bytes."""

    id: str
    name: str
    cpus: float
    gpus: float
    memory: float


@dataclass(frozen=True, kw_only=True, slots=True)
class JobNeeds:
    """What one job takes up of a node: a GPU, a share of one, or processor cores."""

    gpus: float = 0.0
    cpus: float = 0.0

    def places(self, node: Node) -> int:
        """How many such jobs a node has room for at once."""
        if self.gpus:
            return math.floor((node.gpus + SMALLEST_SHARE) / self.gpus)
        return math.floor(node.cpus / self.cpus)


class Inventory:
    """The nodes of the cluster that this process is connected to, each under a name that it keeps."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self._names: dict[str, str] = {}  # by Ray's id of a node

    def alive(self) -> list[Node]:
        """The nodes that are alive, by name."""
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

    def name(self, node_id: str) -> str:
        """The name of a node, which may have joined since the last look."""
        if node_id not in self._names:
            self.alive()
        return self._names[node_id]

    def survey(self, use: ClusterUse) -> tuple[list[Node], JobNeeds, dict[str, NodeFacts]]:
        """The nodes, what a job needs of one, and what each node that could run a job reports about itself.

        Waits until all of them have answered. Raises `InputError` where none can train, or results would differ.
        """
        nodes = self.alive()
        while True:
            needs = JobNeeds(cpus=use.threads)
            if use.cpu_workers is None and any(node.gpus for node in nodes):
                needs = JobNeeds(gpus=math.floor(1 / use.workers_per_gpu / SMALLEST_SHARE) * SMALLEST_SHARE)
            refuse_small(self.cluster, nodes, needs, use.workers_per_gpu)
            asked = [node for node in nodes if needs.places(node)]
            facts = look(asked)
            if len(facts) == len(asked):
                break
            nodes = [node for node in nodes if node.name in facts or node not in asked]  # the others have died
        refuse_odd(self.cluster, facts, on_gpus=bool(needs.gpus))
        return nodes, needs, facts


def look(nodes: Sequence[Node]) -> dict[str, NodeFacts]:
    """What nodes report about themselves, by their names; those that have died meanwhile are left out.

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
                "with the packages of requirements.txt"
            ) from error
    return facts


def refuse_small(cluster: str, nodes: Sequence[Node], needs: JobNeeds, workers_per_gpu: int) -> None:
    """Raises `InputError` where no node could ever run a job: Ray would wait for such a node forever."""
    there = "; ".join(f"{node.name}: {node.cpus:g} CPUs, {node.gpus:g} GPUs" for node in nodes)
    if workers_per_gpu > 1 and not needs.gpus:
        raise InputError(f"--workers_per_gpu is for GPUs, but cluster {cluster} has none ({there}); leave it out")
    if not any(needs.places(node) for node in nodes):
        need = f"{needs.gpus:g} GPU" if needs.gpus else f"{needs.cpus:g} CPUs (--threads)"
        raise InputError(f"--cluster {cluster}: one job needs {need}, and no node has as much ({there})")


def refuse_odd(cluster: str, facts: Mapping[str, NodeFacts], on_gpus: bool) -> None:
    """Raises `InputError` where nodes would train differently from what this process expects."""
    for name, each in facts.items():
        if each.torch != torch.__version__:
            raise InputError(
                f"--cluster {cluster}: node {name} has torch {each.torch}, this machine {torch.__version__}; results "
                "would depend on where a network trains: install the same version on all"
            )
        if on_gpus and not each.gpu_memory:
            raise InputError(
                f"--cluster {cluster}: Ray counts GPUs on node {name}, but torch sees none there; "
                "fix its driver, or train on CPUs with --cpu_workers"
            )


def nodes_in_words(device: str, cluster: str, facts: Mapping[str, NodeFacts]) -> str:
    """Where trainings run: "cpu of 2 nodes of cluster auto (Intel …)"; mentions it where nodes differ."""
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
