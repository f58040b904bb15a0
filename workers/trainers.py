"""The trainers of workers: each trains with the images that it has, and passes on the weights."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from image_data.shared_memory import map_training_data, training_images
from image_data.tensors import TrainingData, to_device
from model_generator import weights_bytes
from records import TrainingJob, TrainingResult
from records.canonical import from_json, to_json
from records.machine import return_free_memory
from storage.files import write_whole
from train_model import train_model
from training.device import prepare_device
from training.worker import Report

MOST_KEPT = 800e6  # bytes; after a training that needed more, a worker returns freed memory to the system


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker needs to train, as it travels to its process (JSON, and one inherited descriptor)."""

    descriptor: int
    contents: list[dict[str, Any]]
    class_names: list[str]
    device: str
    threads: int
    deterministic: bool
    root: str


def start_trainer(setup: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Report], dict[str, Any]]:
    """The trainer of a worker process: takes a task, writes the weights, returns the result as JSON."""
    options = WorkerSetup(**setup)
    device = prepare_device(options.device, options.threads, options.deterministic)
    data = to_device(map_training_data(options.descriptor, options.contents, options.class_names), device)

    def train(task: Mapping[str, Any], report: Report) -> dict[str, Any]:
        job = from_json(TrainingJob, task["job"])
        result, weights = _result_and_weights(job, data, device, task["micro_batch"], report)
        write_whole(Path(options.root, task["weights"]), weights)  # the main process waits for the disk
        return to_json(replace(result, weights=task["weights"]))

    return train


@dataclass(frozen=True, kw_only=True)
class ClusterSetup:
    """What a task on a cluster needs to train; the arrays (in the order of `SHARED_ARRAYS`) are its node's copy."""

    arrays: list[NDArray[Any]]
    class_names: list[str]
    threads: int
    deterministic: bool


def start_cluster_trainer(setup: ClusterSetup, device_name: str) -> Callable[..., dict[str, Any]]:
    """The trainer of a process on a cluster: takes a task, returns the result and the weights."""
    device = prepare_device(device_name, setup.threads, setup.deterministic)
    with warnings.catch_warnings():
        # A node's copy is read-only; torch would warn of that each time, though no training writes to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        data = to_device(training_images(setup.arrays, setup.class_names), device)

    def train(task: Mapping[str, Any], report: Report) -> dict[str, Any]:
        result, weights = _result_and_weights(task["job"], data, device, task["micro_batch"], report)
        return {"result": result, "weights": weights}

    return train


def _result_and_weights(
    job: TrainingJob, data: TrainingData, device: torch.device, micro_batch: int, report: Report
) -> tuple[TrainingResult, bytes]:
    """The result of a job, with the SHA-256 of its weights, and the content of their file."""
    result, model = train_model(job, data, device, micro_batch, report)
    weights = weights_bytes(model)
    del model
    if (result.cost.peak_memory or 0) > MOST_KEPT:
        return_free_memory()
    return replace(result, weights_sha256=hashlib.sha256(weights).hexdigest()), weights
