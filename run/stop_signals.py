"""Stopping in good order: signals, and the time limit of a run, as something that can be waited for."""

from __future__ import annotations

import os
import signal

from job_queue import JobQueue
from records.errors import StopRequested
from worker_manager import Observer, Workers

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


class StopSignals:
    """SIGINT, SIGTERM, SIGHUP, and the end of `max_hours`, as something the workers' loop can wait for.

    Outside that loop, and from the second signal on, a signal raises `StopRequested` where it
    arrives. That is safe at any instant, since files are only ever replaced whole.
    """

    def __init__(self, max_hours: float | None = None) -> None:
        self._max_hours = max_hours
        self._reason = ""
        self.descriptor, self._writer = os.pipe()
        self._is_waited_for = False
        self._count = 0
        self._before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            signal.signal(number, self._handle)
        if self._max_hours is not None:
            signal.setitimer(signal.ITIMER_REAL, 3600 * self._max_hours)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.descriptor)
        os.close(self._writer)
        if self._count and isinstance(error, ImportError | SystemError):
            # A library that was being imported has turned the request into an error of its own.
            raise StopRequested(self._reason) from error

    def _handle(self, number: int, frame: object) -> None:
        self._count += 1
        self._reason = "--max_hours" if number == signal.SIGALRM else signal.Signals(number).name
        if self._count > 1 or not self._is_waited_for:
            raise StopRequested(self._reason)
        os.write(self._writer, b"\0")

    def run(self, workers: Workers, jobs: JobQueue, observer: Observer) -> None:
        """`workers.run`, with signals waited for instead of raised."""
        self._is_waited_for = True
        try:
            workers.run(jobs, observer, self.descriptor)
        except StopRequested:
            raise StopRequested(self._reason) from None
        finally:
            self._is_waited_for = False
