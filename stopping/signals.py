"""The signals that ask a program to stop, and what a command does then in each part of its life.

Next to nothing is imported here, so that a command can begin with it.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # as in `typing`, which takes too long
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any, Self

# From a terminal, from other programs, and from schedulers: Slurm (--signal), LSF, Grid Engine (-notify), PBS,
# HTCondor, Kubernetes and others announce by these that a job is about to be ended.
STOP_SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
STOPPED = 3  # the exit status of a command that was asked to stop
AGAIN_SECONDS = 0.05  # after which a request that Python could not raise is made again


class StopRequested(BaseException):
    """A person, a scheduler or a time limit asked the program to stop; the message names the signal or the limit.

    Like KeyboardInterrupt it is not an `Exception`, so that no library catches it on its way up.
    """


def heeded_signals() -> tuple[signal.Signals, ...]:
    """The signals by which this process may be stopped.

    One that was ignored when the process was started stays so, as `nohup` and a shell's `trap ''` mean it to.
    One that a library handles in C is that library's.
    """
    return tuple(number for number in STOP_SIGNALS if signal.getsignal(number) not in (signal.SIG_IGN, None))


def quit_on_signals(status: int | None = None) -> None:
    """From now on a signal ends this process at once: it has not begun, or is done, with that status."""

    def end(number: int, frame: FrameType | None) -> None:
        if status is None:
            with suppress(OSError):  # nobody reads it
                os.write(2, f"stopped by {signal.Signals(number).name}\n".encode())
        os._exit(STOPPED if status is None else status)

    for number in heeded_signals():
        signal.signal(number, end)


def ignore_signals() -> None:
    """From now on no signal means anything."""
    for number in heeded_signals():
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def last_words() -> Iterator[None]:
    """A context in which a program says why it stops, to the end, whatever signals follow."""
    before = {number: signal.getsignal(number) for number in heeded_signals()}
    ignore_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class RaisedSignals:
    """A context in which the first signal, as every later one, raises `StopRequested` where it arrives.

    That is safe at any instant, since files are only ever replaced whole. On its way up a request may
    meet code that makes another error of it, or that lets no error out: neither loses it.
    """

    def __init__(self) -> None:
        self._number = self._count = 0  # the first signal, and how many there were
        self._is_held = False
        self._before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in heeded_signals()}
        self._hook_before = sys.unraisablehook

    def __enter__(self) -> Self:
        sys.unraisablehook = self._unraised
        for number in self._before:
            signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sys.unraisablehook = self._hook_before
        if self._count and isinstance(error, Exception) and comes_from_a_stop(error):
            raise StopRequested(self.reason) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises for a signal at the end only. While torch is imported, an error ends the process without a word."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._count:
            raise StopRequested(self.reason)

    @property
    def reason(self) -> str:
        """Why the program is to stop: the name of the first signal."""
        return signal.Signals(self._number).name

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self._number = self._number or number
        if not self._is_held and not self._pass_on():
            raise StopRequested(self.reason)

    def _pass_on(self) -> bool:
        """Heeds a signal that has just arrived in another way, if there is one; returns whether there is."""
        return False

    def _unraised(self, unraised: Any) -> None:
        """A request that arrived while Python cleared an object away, which lets no error out, is made again."""
        if unraised.exc_type is not StopRequested:
            self._hook_before(unraised)
            return
        import threading

        again = threading.Timer(AGAIN_SECONDS, self._raise_again)
        again.daemon = True
        again.start()

    def _raise_again(self) -> None:
        if callable(signal.getsignal(self._number)):  # not once the context has been left
            os.kill(os.getpid(), self._number)


def comes_from_a_stop(error: BaseException) -> bool:
    """Whether a library has made this error of a request to stop, as those do that were being imported."""
    if isinstance(error, ImportError | SystemError):
        return True
    above: BaseException | None = error
    while above is not None and not isinstance(above, StopRequested):
        above = above.__cause__ or above.__context__
    return above is not None
