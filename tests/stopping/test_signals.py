"""Requests to stop: raised at any instant, held back, lost by nobody; and the quiet ends of a command's life."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stopping.signals import STOP_SIGNALS, STOPPED, RaisedSignals, StopRequested

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def ignored() -> Iterator[signal.Signals]:
    """A signal that this process ignores, as after `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield signal.SIGHUP
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_every_signal_raises_by_its_name_and_means_afterwards_what_it_did(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(StopRequested, match=number.name), RaisedSignals():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_what_was_ignored_stays_ignored(ignored: signal.Signals) -> None:
    with RaisedSignals():
        signal.raise_signal(ignored)
        assert signal.getsignal(ignored) == signal.SIG_IGN
    assert signal.getsignal(ignored) == signal.SIG_IGN


def test_a_signal_that_is_held_is_raised_at_the_end() -> None:
    done: list[str] = []

    def import_something() -> None:
        with signals.held():
            signal.raise_signal(signal.SIGUSR1)
            done.append("the import")

    with RaisedSignals() as signals:
        with pytest.raises(StopRequested, match="SIGUSR1"):
            import_something()
        with pytest.raises(StopRequested, match="SIGUSR1"):  # the first, by which the program was asked
            signal.raise_signal(signal.SIGTERM)
    assert done == ["the import"]


def test_last_words_are_said_once_however_many_signals_follow() -> None:
    code = """
import signal
from records.command_line import run_command, tell
from stopping.signals import StopRequested, last_words

def main(arguments):
    try:
        signal.raise_signal(signal.SIGTERM)
    except StopRequested as request:
        with last_words():
            signal.raise_signal(signal.SIGTERM)
            tell(f"stopped by {request}; this is how to go on")
            signal.raise_signal(signal.SIGINT)
    return 3

run_command(main)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (ended.returncode, ended.stderr) == (STOPPED, "stopped by SIGTERM; this is how to go on\n")


def test_a_request_in_code_that_lets_no_error_out_is_made_again(capfd: pytest.CaptureFixture[str]) -> None:
    class Cleared:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def clear() -> None:
        Cleared()
        time.sleep(10)

    hook = sys.unraisablehook
    with pytest.raises(StopRequested, match="SIGTERM"), RaisedSignals():
        clear()
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", [RuntimeError, OSError, ImportError])
def test_a_request_that_a_library_made_another_error_of_is_still_one(kind: type[Exception]) -> None:
    def call() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except StopRequested as request:
            raise kind("a callback failed") from request

    with pytest.raises(StopRequested, match="SIGTERM"), RaisedSignals():
        call()


def test_an_error_that_no_signal_led_to_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError), RaisedSignals():
        raise RuntimeError


@pytest.mark.parametrize(("status", "said"), [(None, "stopped by SIGUSR2\n"), (0, ""), (2, ""), (STOPPED, "")])
def test_before_it_begins_and_after_its_end_a_command_ends_at_once(status: int | None, said: str) -> None:
    code = f"""
import signal, time
from stopping.signals import quit_on_signals
quit_on_signals({status})
signal.raise_signal(signal.SIGUSR2)
time.sleep(10)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (STOPPED if status is None else status, "", said)
