"""The device of a training: its name, settings, memory and energy."""

from __future__ import annotations

import functools
import resource
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from records.machine import processor_name


def energy_counter(gpu: str) -> float | None:
    """Joules that the GPU with this UUID has used since its driver was loaded, for everything that ran on it.

    None where there is no such GPU, no package nvidia-ml-py, or no counter (GPUs before Volta, MIG instances).
    """
    found = _handle(gpu)
    if found is None:
        return None
    library, handle = found
    try:
        return float(library.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
    except library.NVMLError:
        return None


@functools.cache
def _handle(gpu: str) -> tuple[ModuleType, Any] | None:
    """NVIDIA's library and its handle of a GPU; None where either is missing."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(gpu)
    except pynvml.NVMLError:
        return None


def hardware_name(device: torch.device) -> str:
    """The name of the device's model, which is the same for devices that are equally fast."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def gpu_uuid(device: torch.device) -> str | None:
    """The UUID of a GPU, as NVIDIA's tools write it; None for any other device."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else None


def reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory(device: torch.device) -> int:
    """Bytes: of the allocator on a GPU, of the process since the last reset (or its start) on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def prepare_device(name: str, threads: int, deterministic: bool) -> torch.device:
    """Applies the settings of a protocol that concern the whole process, and returns the device."""
    torch.set_num_threads(threads)
    device = torch.device(name)
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)  # CUDA graphs are captured on the current one
        torch.backends.cudnn.benchmark = not deterministic
        torch.use_deterministic_algorithms(deterministic)
    return device
