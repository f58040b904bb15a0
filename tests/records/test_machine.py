"""What the machine says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from records import machine as hardware

CPUINFO = "processor\t: 0\nmodel name\t: A Fast One\nflags\t\t: fpu amx_bf16 avx512_bf16\n\nprocessor\t: 1\n"
MEMINFO = "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:   1000 kB\n"


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The system's files as a test wants them: path → text; others are not there."""
    files: dict[str, str] = {}

    def read(path: Path, encoding: str = "utf-8") -> str:
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", read)
    for cached in (hardware.processor_flags, hardware.processor_name):
        cached.cache_clear()
    return files


def test_the_processor_is_read_from_linux(system: dict[str, str]) -> None:
    system["/proc/cpuinfo"] = CPUINFO
    assert hardware.processor_flags() == {"fpu", "amx_bf16", "avx512_bf16"}
    assert hardware.processor_name() == "A Fast One"


def test_elsewhere_there_are_no_flags_and_some_name(system: dict[str, str]) -> None:
    assert hardware.processor_flags() == frozenset()
    assert hardware.processor_name()
    assert hardware.free_memory() is None


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 1_024_000), ("max", 1_024_000), ("500000", 400_000), ("9000000", 1_024_000)]
)
def test_free_memory_is_what_system_and_container_allow(
    system: dict[str, str], limit: str | None, expected: int
) -> None:
    system["/proc/meminfo"] = MEMINFO
    if limit is not None:
        system["/sys/fs/cgroup/memory.max"] = f"{limit}\n"
        system["/sys/fs/cgroup/memory.current"] = "100000\n"
    assert hardware.free_memory() == expected


def test_memory_can_be_given_back_anywhere() -> None:
    hardware.return_free_memory()
    assert hardware.cores() >= 1
