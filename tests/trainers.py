"""Trainers for worker processes in tests: no torch, and whatever misbehaviour a test asks for.

The phenotype of a job says what its training does, as a word: "ok", "raise", "exit", and so on.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from records import RunFault, TrainingJob, TrainingResult
from records.canonical import from_json, to_json
from records.errors import TrainingFailure
from records.trainings import Epoch

Report = Callable[[Mapping[str, Any]], None]


def result_of(job: TrainingJob, micro_batch: int) -> TrainingResult:
    """What every sound training of a job comes to: a function of its key alone."""
    accuracy = int(job.key[:8], 16) / 16**8
    epochs = (Epoch(train_loss=1 - accuracy, score=accuracy, loss=1 - accuracy),)
    return TrainingResult(key=job.key, status="done", epochs=epochs, parameters=7, micro_batch=micro_batch)


def start(setup: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Report], dict[str, Any]]:
    """Counts the starts of trainings in the folder `setup["log"]`, one file each."""
    if setup.get("broken"):
        raise RuntimeError("no such device")

    def train(task: Mapping[str, Any], report: Report) -> dict[str, Any]:
        job = from_json(TrainingJob, task["job"])
        if "log" in setup:
            Path(setup["log"], f"{job.key}.{os.getpid()}.{time.monotonic_ns()}").touch()
        misbehave(job.phenotype.split()[0], task["micro_batch"])
        for _ in range(8 if job.phenotype == "talk" else 0):
            report({"epoch": 0.5})
            time.sleep(0.2)
        report({"epoch": 1, "accuracy": 0.5})
        return to_json(result_of(job, task["micro_batch"]))

    return train


def _exhaust_memory() -> None:
    """Asks for more memory than the operating system allows this process; for real."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, before[1]))
    try:
        bytearray(1 << 40)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def misbehave(word: str, micro_batch: int) -> None:
    """Does what the word says; "ok" does nothing."""
    if word == "fault":
        raise RunFault("the disk is on fire")
    if word == "raise":
        raise ValueError("this network cannot be trained")
    if word == "diverge":
        raise TrainingFailure("diverged", "the training loss of epoch 1 is nan")
    if word == "memory" or (word == "memory_over_64" and micro_batch > 64):
        _exhaust_memory()
    if word == "exit":
        print("terminate called without an active exception", file=sys.stderr, flush=True)
        os._exit(7)
    if word == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if word == "nap":
        time.sleep(0.2)
    if word == "sleep":
        time.sleep(3600)
    if word == "spin":
        while True:
            pass


def start_on_cluster(setup: object, device: str) -> Callable[[Mapping[str, Any], Report], dict[str, Any]]:
    """The same for a task of a cluster, whose weights are the name of its device."""

    def train(task: Mapping[str, Any], report: Report) -> dict[str, Any]:
        job: TrainingJob = task["job"]
        misbehave(job.phenotype.split()[0], task["micro_batch"])
        report({"epoch": 1, "accuracy": 0.5})
        return {"result": result_of(job, task["micro_batch"]), "weights": device.encode()}

    return train
