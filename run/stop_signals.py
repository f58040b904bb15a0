"""Stopping in good order: signals, and the time limit of a run, as something that can be waited for."""

from __future__ import annotations

import os
import signal

from job_queue import JobQueue
from records.errors import StopRequested
from stopping.signals import RaisedSignals
from worker_manager import Observer, Workers


class StopSignals(RaisedSignals):
    """The signals, and the end of `max_hours`, as something the workers' loop can wait for.

    Outside that loop, and from the second signal on, a signal raises `StopRequested` where it arrives.
    """

    def __init__(self, max_hours: float | None = None) -> None:
        super().__init__()
        self._before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
        self._max_hours = max_hours
        self.descriptor, self._writer = os.pipe()
        self._is_waited_for = False

    def __enter__(self) -> StopSignals:
        super().__enter__()
        if self._max_hours is not None:
            signal.setitimer(signal.ITIMER_REAL, 3600 * self._max_hours)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            super().__exit__(kind, error, trace)
        finally:
            os.close(self.descriptor)
            os.close(self._writer)

    @property
    def reason(self) -> str:
        return "--max_hours" if self._number == signal.SIGALRM else super().reason

    def _pass_on(self) -> bool:
        is_first = self._count == 1 and self._is_waited_for
        if is_first:
            os.write(self._writer, b"\0")
        return is_first

    def run(self, workers: Workers, jobs: JobQueue, observer: Observer) -> None:
        """`workers.run`, with signals waited for instead of raised; one that a library has swallowed is heeded here."""
        self._is_waited_for = True
        try:
            if not self._count:
                workers.run(jobs, observer, self.descriptor)
            if self._count:
                raise StopRequested
        except StopRequested:
            raise StopRequested(self.reason) from None
        finally:
            self._is_waited_for = False
