"""Which devices there are, and the worker slots on them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import torch

from records import InputError
from records.machine import KEEP_PAGES, cores, free_memory
from worker_manager import Slot

MOST_PER_GPU = 8  # trainings at once on one GPU, where the run finds out how many pay off
CPU_PROCESS = 400e6  # bytes of an idle worker, without what it shares with the others
GPU_PROCESS = 600e6  # bytes on the GPU of an idle worker: the context, and cuDNN's workspace
GPU_SHARE = 0.95  # of a GPU's memory, to leave its allocator some slack


def gpu_indices(wanted: Sequence[int] | None) -> list[int]:
    """The CUDA devices asked for, by default all. Raises an `InputError` that lists the available ones."""
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
    gpus: Sequence[int] | None, cpu_workers: int | None, workers_per_gpu: int | None, threads: int
) -> tuple[str, list[Slot]]:
    """The type of device to train on ("cuda", "mps", "cpu") and one slot per worker.

    With None for `workers_per_gpu` there are as many slots as may pay off, and the run measures how many do.
    """
    indices = gpu_indices(gpus) if gpus is not None or cpu_workers is None else []
    if indices:
        count = workers_per_gpu or max(1, min(MOST_PER_GPU, cores() // len(indices)))
        # One slot of each GPU before the second of any, so that a few jobs spread over all GPUs.
        places = [(place, index) for place in range(1, count + 1) for index in indices]
        return "cuda", [_gpu_slot(index, place, count, is_tuned=workers_per_gpu is None) for place, index in places]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None and accelerator.type != "cuda" and cpu_workers is None:
        names = [f"{accelerator.type} {place}" for place in range(1, (workers_per_gpu or 1) + 1)]
        return accelerator.type, [Slot(name=name, device=accelerator.type) for name in names]
    return "cpu", _cpu_slots(cpu_workers or max(1, cores() // threads), threads)


def _gpu_slot(index: int, place: int, count: int, is_tuned: bool) -> Slot:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    return Slot(
        name=f"gpu {index}" if count == 1 else f"gpu {index}.{place}",
        environment={"CUDA_VISIBLE_DEVICES": names[index], "CUBLAS_WORKSPACE_CONFIG": ":4096:8"},
        device=f"gpu {index}",
        memory=GPU_SHARE * torch.cuda.get_device_properties(index).total_memory - count * GPU_PROCESS,
        is_tuned=is_tuned,
    )


def _cpu_slots(count: int, threads: int) -> list[Slot]:
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",  # NumPy's: it has no work here, and its threads would busy-wait
        "CUDA_VISIBLE_DEVICES": "",
        **KEEP_PAGES,
    }
    free = free_memory()
    # A machine short of memory swaps before it fails, so at least a quarter of what is free is used.
    memory = math.inf if free is None else max(free - count * CPU_PROCESS, free / 4)
    names = [f"cpu {place}" for place in range(1, count + 1)]
    return [Slot(name=name, environment=environment, device="cpu", memory=memory) for name in names]
