"""What the energy counter of a GPU says; needs the package `nvidia-ml-py`, and without it nothing is known."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any


def energy_counter(gpu: str) -> float | None:
    """Joules that the GPU of this UUID has used since its driver was loaded, by all that ran on it.

    None where there is no such GPU, no package to ask it with, or no counter (before Volta, and parts of a GPU).
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
    """NVIDIA's library, and what it knows the GPU by; None where either is missing."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(gpu)
    except pynvml.NVMLError:
        return None
