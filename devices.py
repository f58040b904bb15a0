"""Which devices there are, and the worker slots on them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from hardware import cores
from records import InputError
from worker_manager import Slot

# glibc gives large blocks back to the system when they are freed, and each step of a training would
# fault its pages in anew: a tenth of the time. Workers keep them until the training ends.
KEEP_PAGES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}


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
    count = max(1, cores() // threads) if cpu_workers is None else cpu_workers
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",  # NumPy's; it has nothing to do here, and its threads would spin
        "CUDA_VISIBLE_DEVICES": "",
        **KEEP_PAGES,
    }
    return "cpu", [Slot(name=f"cpu {place}", environment=environment) for place in range(1, count + 1)]
