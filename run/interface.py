"""The Python interface: take a run to its end, or open one that lies on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from records import InputError
from reporting.watcher import Watcher, Watchers
from run.opened import OpenedRun
from run.opening import folder_of, open_folder
from run.request import Request
from run.stop_signals import StopSignals
from storage.checkpoint import load_state
from storage.shared_locks import refuse_local_locks


def evolve(request: Request, watchers: Iterable[Watcher] = ()) -> OpenedRun:
    """Begins the run that a request asks for, or goes on with it, takes it to its end, and returns it.

    The watchers are told what happens meanwhile. Raises `InputError` for a request that is refused,
    `RunFault` where disk, memory or devices fail, and `StopRequested` (no `Exception`, like
    KeyboardInterrupt) at Ctrl-C, a signal of a scheduler or `max_hours`; after the last two the run can be resumed.
    """
    run, _ = open_folder(request)
    if request.devices.cluster is not None:
        refuse_local_locks(run.root)
    run.lock()
    try:
        _, state = open_folder(request)  # again, now that no other process can change it
        with StopSignals(request.limits.max_hours) as stop:
            try_cluster(request)
            with stop.held():
                # The one late import: torch takes longer than any refusal before the lock may.
                from run.session import take_to_its_end

            return take_to_its_end(request, run, state, stop, watchers)
    finally:
        run.unlock()


def plan(request: Request, watchers: Iterable[Watcher] = ()) -> list[str]:
    """What a new run that a request asks for would train, and what it would cost, in lines of words.

    A few networks are trained for it, on the devices of the request, in a temporary folder: nothing is
    left on disk, and a run that lies in the folder of the request is not touched. The watchers are told
    what is done meanwhile. Raises as `evolve` does.
    """
    if request.resume is not None:
        raise InputError("--plan is for a run that has not begun; leave --resume out")
    watcher = Watchers(watchers)
    with StopSignals(request.limits.max_hours) as stop, tempfile.TemporaryDirectory(prefix="plan_") as folder:
        empty = replace(request, output_dir=Path(folder), overwrite=False)
        run, _ = open_folder(empty)
        if folder_of(request).states():
            watcher.said(f"{folder_of(request).root.resolve()} holds a run, which is not touched; a new one is planned")
        try_cluster(request)
        with stop.held():
            from run.planning import plan_run  # torch, as above

        return plan_run(empty, run, stop, watcher)


def try_cluster(request: Request) -> None:
    """Raises `InputError` if the cluster does not answer, before torch is imported."""
    if request.devices.cluster is not None:
        # Imported late, as `workers` need not be loaded to refuse what does not need them.
        from workers.ray_connection import try_connection

        try_connection(request.devices.cluster)


def open_run(folder: Path | str) -> OpenedRun:
    """The run of a folder, or as of one of its state files, whether it is over or not. Raises `InputError`."""
    return OpenedRun(*load_state(Path(folder).expanduser()))
