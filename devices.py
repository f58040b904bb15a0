"""Which devices there are, and the worker slots on them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from records import InputError
from worker_manager import Slot


def gpu_indices(wanted: Sequence[int] | None) -> list[int]:
    """The CUDA devices asked for, by default all. Raises `InputError` that lists those that are there."""
    there = list(range(torch.cuda.device_count()))
    if wanted is None:
        return there
    if missing := [index for index in wanted if index not in there]:
        found = ", ".join(f"{index} ({torch.cuda.get_device_name(index)})" for index in there) or "no GPU"
        advice = "leave --gpus out to use all of them" if there else "leave --gpus out to train on the CPU"
        raise InputError(f"--gpus {missing[0]} is not there: torch {torch.__version__} sees {found}; {advice}")
    if len(set(wanted)) < len(wanted):
        raise InputError(f"--gpus names a GPU twice: {' '.join(map(str, wanted))}; see --workers_per_gpu")
    return list(wanted)


def find_slots(
    gpus: Sequence[int] | None, cpu_workers: int | None, workers_per_gpu: int, threads: int
) -> tuple[str, list[Slot]]:
    """The type of device to train on ("cuda", "mps", "cpu") and one slot per worker."""
    indices = gpu_indices(gpus) if gpus is not None or cpu_workers is None else []
    if indices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
        return "cuda", [
            Slot(
                name=f"gpu {index}" if workers_per_gpu == 1 else f"gpu {index}.{place}",
                environment={"CUDA_VISIBLE_DEVICES": names[index], "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
            )
            for place in range(1, workers_per_gpu + 1)
            for index in indices
        ]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None and accelerator.type != "cuda" and cpu_workers is None:
        return accelerator.type, [Slot(name=f"{accelerator.type} {place}") for place in range(1, workers_per_gpu + 1)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, cores // threads) if cpu_workers is None else cpu_workers
    environment = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    return "cpu", [Slot(name=f"cpu {place}", environment=environment) for place in range(1, count + 1)]
