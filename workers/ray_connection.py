"""Connecting to a Ray cluster: whether one answers, and the program and settings that its nodes receive.

Needs the package `ray`, but imports neither it nor torch before a cluster has answered, so that a
missing one is reported at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from records import InputError
from records.machine import KEEP_PAGES
from workers.ray_keeper import temporary_folder
from workers.ray_local import LocalCluster

CONNECT_SECONDS = 4.0  # to wait for the answer of a cluster
ENVIRONMENT = {
    **KEEP_PAGES,
    "OPENBLAS_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    # A process runs several tasks, each on the GPU that it is given. By default Ray hides all other
    # GPUs from a process, but CUDA reads that setting only once.
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
}
# Ray prints long messages about nodes that died, which our own lines report. It reads this on import.
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
# Connects, or prints why that failed. The first line of output says that Python has imported Ray.
# It ends when its standard input closes, which is when this process ends.
TRIAL = """
import logging, os, sys, threading
threading.Thread(target=lambda: os._exit(len(sys.stdin.read())), daemon=True).start()
import ray
print(flush=True)
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
except Exception as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(1)
"""


def connect(cluster: str, modules: Sequence[Path]) -> contextlib.ExitStack:
    """Connects this process to a cluster, or starts one on this machine for "local", and sends the program there.

    `modules` are sent beside it. What is returned, when closed, leaves the cluster, and ends it if it was
    started here. Raises `InputError` for a cluster of another version, `RunFault` where none can be started.
    """
    import ray
    from ray.exceptions import RayError

    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        with contextlib.ExitStack() as connection:
            own = connection.enter_context(LocalCluster()) if cluster == "local" else None
            connection.callback(ray.shutdown)
            with temporary_folder(own.folder if own else None) as folder:
                program = folder / "program"
                program.mkdir()
                copy_program(program)
                for path in modules:
                    shutil.copy(path, program)
                ray.init(
                    address=own.address if own else cluster,
                    runtime_env={"working_dir": str(program), "env_vars": ENVIRONMENT},
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            return connection.pop_all()
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise InputError(f"--cluster {cluster}: {explained(str(error))}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)  # Ray has replaced ours


def copy_program(folder: Path) -> None:
    """Copies the program, its modules and packages, but not its tests, into a folder."""
    root = Path(__file__).resolve().parent.parent
    for path in root.glob("*.py"):
        shutil.copy(path, folder)
    for package in sorted(path.parent for path in root.glob("*/__init__.py") if path.parent.name != "tests"):
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))


def try_connection(cluster: str) -> None:
    """Raises `InputError` unless there is a cluster of this version to connect to; "local" always is.

    It is tried in another process: where nothing answers, Ray waits for minutes and then ends the process.
    """
    if cluster == "local":
        return
    if cluster.startswith("ray://"):
        raise InputError(
            f"--cluster {cluster}: Ray Client is not supported; run this command on a node of the cluster "
            "with --cluster auto, for example through: ray exec"
        )
    if (address := re.fullmatch(r"(.+):(\d+)", cluster)) is not None:
        try:
            socket.create_connection((address[1].strip("[]"), int(address[2])), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise InputError(
                f"--cluster {cluster}: nothing answers there ({error}); check the head node with: ray status, "
                "or start a cluster with: ray start --head"
            ) from None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        trial = subprocess.Popen(
            [sys.executable, "-c", TRIAL, cluster],
            stdin=theirs.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        refuse_failed(cluster, trial)


def refuse_failed(cluster: str, trial: subprocess.Popen[str]) -> None:
    """Raises `InputError` unless the trial connects in time."""
    with trial:
        try:
            assert trial.stdout is not None
            trial.stdout.readline()
            said, _ = trial.communicate(timeout=CONNECT_SECONDS)
        except subprocess.TimeoutExpired:
            raise InputError(
                f"--cluster {cluster}: it does not accept this machine; run this on one of its nodes (a machine joins "
                "with: ray start --address HOST:PORT), and set RAY_AUTH_MODE=token if it requires a token"
            ) from None
        finally:
            trial.kill()
    if trial.returncode:
        raise InputError(f"--cluster {cluster}: {explained(said)}")


def explained(said: str) -> str:
    """What Ray says of a connection that failed, in one line with what to do."""
    versions = dict(zip(("theirs", "ours"), re.findall(r"Ray: (\S+)\s+Python: (\S+)", said), strict=False))
    if "ours" in versions:
        (ray_there, python_there), (ray_here, python_here) = versions["theirs"], versions["ours"]
        return (
            f"the cluster runs Ray {ray_there} with Python {python_there}, this machine Ray {ray_here} with Python "
            f"{python_here}; all machines need exactly the same versions (pip install ray=={ray_there})"
        )
    if "Could not find any running Ray instance" in said:
        return "no Ray cluster runs on this machine; start one with: ray start --head, or name its HOST:PORT"
    if "Invalid address format" in said:
        return "expected auto, local, or the HOST:PORT that ray start has printed"
    return " ".join(said.split()) or "the connection failed without a message"
