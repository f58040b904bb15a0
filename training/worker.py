"""Both ends of a worker process: the main process's handle of it, and the loop that it runs.

Tasks arrive on its standard input and events leave through a pipe, one JSON line each. A worker ends
when its standard input closes, which is when the main process ends, however it ends; on Linux the
kernel also kills it then, even where it hangs or is stopped. The signals that stop the program are for
the main process alone, and a worker lets them pass. Nothing here imports torch: the trainer does, which
the main process names first.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from records import RunFault
from records.errors import TrainingFailure
from stopping.signals import STOP_SIGNALS

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ERROR_TAIL = 2000  # bytes of a dead worker's standard error that are searched for a reason

Report = Callable[[Mapping[str, Any]], None]
Trainer = Callable[[Mapping[str, Any], Report], dict[str, Any]]


class WorkerProcess:
    """A worker process as the main process sees it: messages go in, events come out."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `kill`)
        self.events, writer = os.pipe()
        self._unread = b""
        # A worker begins with them blocked, so that none ends it before it lets them pass.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self.process = subprocess.Popen(
                [*command, str(writer), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=self.errors,
                stderr=self.errors,
                pass_fds=(writer, *descriptors),
                env={**os.environ, **environment},
                process_group=0,  # a Ctrl-C at the terminal is for the main process alone
            )
        finally:
            os.close(writer)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

    def send(self, message: Mapping[str, Any]) -> None:
        """Writes a message. A dead worker does not read it; its closed pipe of events will tell."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def receive(self) -> list[dict[str, Any]] | None:
        """The events that have arrived; None when the pipe is closed: the worker is dead."""
        data = os.read(self.events, 1 << 16)
        if not data:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def kill(self) -> str:
        """Ends the process if it is still running; returns its exit status and last line of output."""
        self.process.kill()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        status = self.process.wait()
        os.close(self.events)
        self.errors.seek(max(0, os.fstat(self.errors.fileno()).st_size - ERROR_TAIL))
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        self.errors.close()
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return f"{how}: {said[-1]}" if said else how


def worker_main(writer: int, parent: int) -> None:
    """What a worker process does: it prepares once, then trains one task after the other."""
    _die_with(parent)
    _let_pass(STOP_SIGNALS)
    os.set_inheritable(writer, False)
    events = os.fdopen(writer, "w", buffering=1)

    def send(event: str, **content: Any) -> None:
        events.write(json.dumps({"event": event, **content}, allow_nan=False) + "\n")

    tasks = _read_tasks()
    start = tasks.get()
    sys.path[:] = start["path"]
    train = named_function(start["trainer"])(tasks.get())
    send("ready")
    while True:
        perform(train, tasks.get(), send)


def named_function(name: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def perform(train: Trainer, task: Mapping[str, Any], send: Callable[..., None]) -> None:
    """Runs one training and sends its events: progress, then one of "result", "failed" and "fault"."""
    clock = time.perf_counter()
    try:
        result = train(task, lambda progress: send("progress", progress=dict(progress)))
    except RunFault as fault:
        send("fault", reason=str(fault))  # of the machine, not of the network: the run must stop
    except Exception as error:
        status, reason = name_failure(error)
        send("failed", status=status, reason=reason, seconds=time.perf_counter() - clock)
    else:
        send("result", result=result)


def _die_with(parent: int) -> None:
    """Has the kernel kill this process when its parent ends (Linux); exits at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _let_pass(signals: Sequence[signal.Signals]) -> None:
    """Has these signals do nothing here; programs that are started from here heed them as usual."""
    for number in signals:
        signal.signal(number, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _read_tasks() -> queue.SimpleQueue[dict[str, Any]]:
    """A queue that a thread fills from standard input; when that closes, the process ends at once."""
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            tasks.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return tasks


def name_failure(error: Exception) -> tuple[str, str]:
    """The status (one of `FAILURES`) and the reason for an exception that a training raised."""
    if isinstance(error, TrainingFailure):
        return error.status, error.reason
    if isinstance(error, MemoryError):
        return "out_of_memory", str(error) or "MemoryError"
    return "error", f"{type(error).__name__}: {error}"
