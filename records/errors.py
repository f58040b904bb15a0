"""Errors: bad input (InputError), faults of the machine (RunFault), failures of single trainings; requests to stop."""

from __future__ import annotations

from stopping.signals import StopRequested as StopRequested

FAILURES = ("out_of_memory", "diverged", "crashed", "timed_out", "error")


class InputError(ValueError):
    """Bad input: shown as one line without a traceback, with exit status 2."""


class RunFault(Exception):
    """The run cannot continue, although its input is good. It can be resumed."""


class SaveError(RunFault):
    """A file could not be written; the message carries its path and the reason."""


class TrainingFailure(Exception):
    """A training that ended without a result: its status is one of `FAILURES`, with a reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason
