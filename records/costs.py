"""What a training cost: time, memory, energy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """Readings of a GPU's energy counter before and after a training, in joules since its driver was loaded."""

    gpu: str  # its UUID
    before: float
    after: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a training cost, as measured. It differs between trainings and is no part of a result's identity."""

    seconds: float = 0.0
    images_per_second: float = 0.0
    peak_memory: int | None = None  # bytes, of the worker process (CPU) or of the allocator (GPU)
    device: str = ""
    reused: str = ""  # the folder of the run that trained it
    hardware: str = ""  # the processor or GPU in words
    note: str = ""  # a remark on how it ran, for people
    started: float = 0.0  # seconds since 1970
    attempts: int = 1
    energy: Energy | None = None  # of the whole GPU, including other processes; None if no counter could be read
