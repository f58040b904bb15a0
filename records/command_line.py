"""What all commands share: exit statuses, messages, and how a command line is written for a person to copy."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from records.errors import InputError, RunFault

DONE = 0
ERROR = 1  # anything that has no number of its own
BAD_INPUT = 2
STOPPED = 3  # by a person or a time limit; resumable
FAULT = 4  # of disk, memory or devices; resumable


def require_package(name: str, flag: str) -> None:
    """Raises `InputError` with the installation command if the package that a flag needs is missing."""
    if importlib.util.find_spec(name) is None:
        raise InputError(f"{flag} needs the package {name}; install it by: pip install {name}")


def command_text(script: str, *arguments: str) -> str:
    """A command line for a person to copy: this interpreter, a program beside the one that runs, arguments."""
    python = "python" if shutil.which("python") == sys.executable else os.path.relpath(sys.executable)
    return shlex.join([python, str(Path(sys.argv[0]).with_name(script)), *arguments])


def run_command(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs a command's `main` with the process's arguments, and turns bad input into one line."""
    try:
        status = main(sys.argv[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = BAD_INPUT
    except RunFault as fault:
        print(f"error: {fault}", file=sys.stderr)
        status = FAULT
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone: there is nobody to tell.
        sys.stderr.close()
        status = ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = STOPPED
    sys.exit(status)
