"""The process that keeps a Ray cluster for one run; `workers.ray_local` starts this file, with standard modules alone.

Ray's processes can outlive a process that was killed by a minute and more, and never remove their
files. So the main process starts this one, which starts Ray, says where it is, and waits until its
standard input closes: that is when the main process ends, however it ends. Then it kills whatever
descends from it, and removes their folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 120.0  # that Ray may take to start
END_SECONDS = 5.0  # that the kernel may take to end processes that were killed
PREFIX, LOG = "ray-", "head.log"
MARKER, MARKED = "owner.lock", b"a temporary folder of CNN Hyperparameter Evolution\n"
# In the folder come "/r/session_", a date, a process id, and "/sockets/plasma_store". The path of a
# socket has at most 107 bytes, on macOS 103.
LONGEST_PLACE = 24
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def keep(cpus: int, *signals: int) -> None:
    """Starts a cluster, prints its folder and address or an error as one line of JSON, and keeps it.

    The signals have no effect on this process: what they mean is the main process's to decide.
    """
    for number in signals:
        signal.signal(number, lambda *_: None)  # signals that are ignored would be ignored by Ray, too
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        with temporary_folder() as folder:
            keep_in(folder, cpus)
    except OSError as error:  # the main process reads this, or has ended
        print(json.dumps({"error": str(error)}), flush=True)


def keep_in(folder: Path, cpus: int) -> None:
    head, said = start_head(folder, cpus)
    try:
        ready, _, _ = select.select([said, sys.stdin], [], [], START_SECONDS)
        if sys.stdin not in ready:
            print(json.dumps(answer(folder, said if ready else None)), flush=True)
            sys.stdin.read()
    finally:
        end_descendants(head)


def prctl(option: int, value: int) -> None:
    """Asks the kernel for something about this process, on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value)


@contextlib.contextmanager
def temporary_folder(place: Path | None = None) -> Iterator[Path]:
    """A new folder that only this user can enter, removed at the end. Those of processes that died are removed too."""
    if place is None:
        place = Path(tempfile.gettempdir())
        if len(os.fsencode(place)) > LONGEST_PLACE:
            place = Path("/tmp")  # noqa: S108 (the folder in it is private)
        sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        with open(folder / MARKER, "wb", buffering=0) as marker:
            fcntl.flock(marker, fcntl.LOCK_EX)
            marker.write(MARKED)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(place: Path) -> None:
    """Removes folders of processes that died: those with a marker that this program wrote and nobody has locked."""
    for marker in place.glob(f"{PREFIX}*/{MARKER}"):
        with contextlib.suppress(OSError):  # another process removes it, or it is not ours
            facts = marker.parent.lstat()
            if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                continue
            with open(os.open(marker, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if file.read() == MARKED:
                    shutil.rmtree(marker.parent, ignore_errors=True)


def start_head(folder: Path, cpus: int) -> tuple[int, int]:
    """Starts the process that starts Ray; its id, and the pipe on which it says the address.

    Temporary files of all that it starts go into the folder.
    """
    reader, writer = os.pipe()
    with open(folder / LOG, "w", encoding="utf-8") as log, open(writer, "w", encoding="utf-8"):
        head = subprocess.Popen(
            [sys.executable, "-P", __file__, "head", str(cpus), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=log,
            env={**os.environ, "TMPDIR": str(folder)},
            process_group=0,
        )
    return head.pid, reader


def answer(folder: Path, said: int | None) -> dict[str, str]:
    """Where the cluster is, or what went wrong: the head has said nothing in time, or has ended."""
    if said is None:
        return {"error": f"Ray did not start within {START_SECONDS:.0f} s"}
    if address := os.read(said, 100).decode().strip():
        return {"folder": str(folder), "address": address}
    lines = (folder / LOG).read_text(errors="replace").strip().splitlines()
    return {"error": lines[-1] if lines else "Ray ended without a message"}


def end_descendants(head: int) -> None:
    """Kills the group of the head, then, on Linux, all that descends from this process, and waits for their end.

    A process whose parent has died becomes a child of this one.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(head, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        for child in children():
            os.kill(child, signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        except ChildProcessError:
            return


def children() -> list[int]:
    """The child processes of this process, on Linux."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            if path.read_text(errors="replace").rpartition(")")[2].split()[1] == str(os.getpid()):
                found.append(int(path.parent.name))
    return found


def be_head(cpus: int, keeper: int) -> None:
    """Starts Ray, prints its address, and stays for as long as the keeper lives."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        return
    import logging

    import ray

    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=os.path.join(tempfile.gettempdir(), "r"),
    )
    print(ray.get_runtime_context().gcs_address, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    role, *numbers = sys.argv[1:]
    (be_head if role == "head" else keep)(*map(int, numbers))
