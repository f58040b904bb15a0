"""What all commands share: exit statuses, messages, and how a command line is written for a person to copy."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import io
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from records.errors import InputError, RunFault, StopRequested
from records.words import printable
from stopping.memory import FAULT as FAULT
from stopping.memory import lack_of_memory, lacks_memory
from stopping.signals import STOPPED as STOPPED
from stopping.signals import RaisedSignals, ignore_signals, quit_on_signals

DONE = 0
ERROR = 1  # anything that has no number of its own
BAD_INPUT = 2


def require_package(name: str, flag: str) -> None:
    """Raises `InputError` with the installation command if the package that a flag needs is missing."""
    if importlib.util.find_spec(name) is None:
        raise InputError(f"{flag} needs the package {name}; install it by: pip install {name}")


def command_text(script: str, *arguments: str) -> str:
    """A command line for a person to copy: this interpreter, a program beside the one that runs, arguments."""
    python = "python" if shutil.which("python") == sys.executable else os.path.relpath(sys.executable)
    return shlex.join([python, str(Path(sys.argv[0]).with_name(script)), *arguments])


def tell(message: str) -> None:
    """Prints one line to standard error, if anybody still reads it: a terminal may have been closed.

    What comes from names and files in it cannot command the terminal.
    """
    with contextlib.suppress(OSError):
        print(printable(message), file=sys.stderr, flush=True)


def prepare_streams() -> None:
    """Lets everything be printed: streams that are closed go nowhere, and what an encoding lacks is replaced.

    Names of files may hold bytes that are not UTF-8, and a terminal may have another encoding.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            file = io.FileIO(descriptor, "w" if descriptor else "r", closefd=False)
            setattr(sys, name, io.TextIOWrapper(file, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run_command(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs a command's `main` with the process's arguments, and turns bad input and requests to stop into one line."""
    prepare_streams()
    atexit.register(ignore_signals)  # Python, as it ends, gives up handlers, and a signal would change the status
    try:
        with RaisedSignals():
            status = main(sys.argv[1:])
            sys.stdout.flush()
    except InputError as error:
        tell(f"error: {error}")
        status = BAD_INPUT
    except RunFault as fault:
        tell(f"error: {fault}")
        status = FAULT
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone: there is nobody to tell.
        sys.stderr.close()
        status = ERROR
    except StopRequested as request:
        ignore_signals()
        tell(f"stopped by {request}")
        status = STOPPED
    except KeyboardInterrupt:
        tell("interrupted")
        status = STOPPED
    except Exception as error:
        if not lacks_memory(error):
            raise
        tell(lack_of_memory(error))
        status = FAULT
    quit_on_signals(status)
    sys.exit(status)
