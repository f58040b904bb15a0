"""What this machine is: its processor, its memory, the name of a device. Nothing here needs torch."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from pathlib import Path

# glibc gives large blocks back to the system when they are freed, and each step of a training would
# fault its pages in again, a tenth of the time. Workers keep them until the training ends.
KEEP_PAGES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}


@functools.cache
def processor_flags() -> frozenset[str]:
    """The instruction sets of the processor, as Linux lists them; empty elsewhere."""
    return frozenset(_cpuinfo("flags").split() + _cpuinfo("Features").split())


@functools.cache
def processor_name() -> str:
    """The processor in words."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(name: str) -> str:
    """The first value of an entry of /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes of main memory that can be had without swapping, within the limit of a container; None if unknown."""
    try:
        entries = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        free = 1024 * int(entries["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or "max": no limit
        return free
    return min(free, limit - used)


def return_free_memory() -> None:
    """Gives memory that was freed back to the system, where the C library keeps it until told (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
