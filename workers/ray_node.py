"""What runs on the nodes of a Ray cluster. Ray imports it there by name; the main process never calls it."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import ray
import torch

from training.device import hardware_name
from training.protocol import has_bfloat16
from training.worker import Trainer, named_function, perform
from workers.trainers import ClusterSetup

_thread = ThreadPoolExecutor(1)  # trains, while the task's own thread passes on its reports
_trainers: dict[tuple[str, str], Trainer] = {}  # of this process, by their function and device


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFacts:
    """What a node reports about itself: torch's version, its device, whether that has bfloat16, and its GPUs' bytes."""

    torch: str
    hardware: str
    bfloat16: bool
    gpu_memory: tuple[int, ...]


def look() -> NodeFacts:
    """Reports what this node has."""
    count = torch.cuda.device_count()
    return NodeFacts(
        torch=torch.__version__,
        hardware=hardware_name(torch.device("cuda", 0) if count else torch.device("cpu")),
        bfloat16=has_bfloat16(gpu=count > 0),
        gpu_memory=tuple(torch.cuda.get_device_properties(index).total_memory for index in range(count)),
    )


def train(trainer: str, setup: ClusterSetup, task: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Runs one training; yields where it runs, its progress, and its result."""
    ids = ray.get_gpu_ids()
    gpu = gpu_index(ids[0], os.environ.get("CUDA_VISIBLE_DEVICES")) if ids else None
    yield {"event": "started", "node": ray.get_runtime_context().get_node_id(), "gpu": gpu}
    events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def send(event: str, **content: Any) -> None:
        events.put({"event": event, **content})

    training = _thread.submit(_perform, trainer, setup, "cpu" if gpu is None else f"cuda:{gpu}", task, send)
    training.add_done_callback(lambda done: events.put(None))
    while (event := events.get()) is not None:
        yield event
    training.result()  # raises errors of anything but the training


def _perform(
    trainer: str, setup: ClusterSetup, device: str, task: Mapping[str, Any], send: Callable[..., None]
) -> None:
    """Trains as the worker processes of one machine do; the trainer is kept for the next task."""
    key = (trainer, device)
    if key not in _trainers:
        _trainers[key] = named_function(trainer)(setup, device)
    perform(_trainers[key], task, send)


def gpu_index(ray_id: int | str, visible: str | None) -> int:
    """torch's index of a GPU: its position in `CUDA_VISIBLE_DEVICES`, whose entries are Ray's ids."""
    return int(ray_id) if visible is None else visible.split(",").index(str(ray_id))
