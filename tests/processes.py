"""What tests ask about processes (Linux)."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import time
from collections.abc import Iterable
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_alive(process: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children_of(process: int) -> list[int]:
    return [
        int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    ]


def descendants_of(process: int) -> list[int]:
    """All processes below this one; a process may have ended since."""
    found, unseen = list[int](), [process]
    while unseen:
        with contextlib.suppress(FileNotFoundError):
            below = children_of(unseen.pop())
            found += below
            unseen += below
    return found


def alive_after(processes: Iterable[int], seconds: float) -> list[int]:
    """Those of the processes that still run after so many seconds; returns early when none does."""
    deadline, left = time.monotonic() + seconds, list(processes)
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = [process for process in left if is_alive(process)]
    return left


def listening(processes: Iterable[int]) -> list[tuple[Address, int]]:
    """The addresses and ports on which processes accept TCP connections."""
    sockets: set[str] = set()
    for process in processes:
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(FileNotFoundError):
                sockets.update(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in sockets:
                address, port = local.split(":")
                found.append((_address(address), int(port, 16)))
    return found


def _address(digits: str) -> Address:
    """An address as the kernel writes it: in words of four bytes, each backwards. An IPv4 address in IPv6 is IPv4."""
    words = bytes.fromhex(digits)
    address = ipaddress.ip_address(b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4)))
    return getattr(address, "ipv4_mapped", None) or address
