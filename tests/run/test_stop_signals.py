"""Stopping a run by signals."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Sequence

import pytest

from job_queue import JobQueue
from records.errors import StopRequested
from run.stop_signals import StopSignals
from stopping.signals import STOP_SIGNALS
from tests.workers.contract import Record
from worker_manager import Observer, Slot


class Stopped:
    """Workers that are sent a signal while they wait for results."""

    slots: Sequence[Slot] = ()

    def __init__(self, number: int) -> None:
        self.number = number

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None:
        signal.raise_signal(self.number)
        assert stop is not None
        assert select.select([stop], [], [], 10)[0]
        raise StopRequested


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_waits_for_the_workers_and_the_second_for_nothing(number: signal.Signals) -> None:
    with StopSignals() as stop:
        with pytest.raises(StopRequested, match=number.name):
            stop.run(Stopped(number), JobQueue(), Record())
        with pytest.raises(StopRequested, match=number.name):
            signal.raise_signal(number)  # wherever it arrives


def test_the_time_limit_stops_as_a_signal_does() -> None:
    with pytest.raises(StopRequested, match="--max_hours"), StopSignals(max_hours=0.05 / 3600):
        time.sleep(10)


def test_signals_mean_what_they_did_before_once_the_run_has_ended() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_no_library_that_a_request_to_stop_meets_on_its_way_swallows_it() -> None:
    def import_something() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except Exception:  # as optional parts are imported
            pytest.fail("the request was swallowed")

    with StopSignals(), pytest.raises(StopRequested):
        import_something()


def test_a_request_that_a_library_has_swallowed_stops_the_run_at_its_next_trainings() -> None:
    with StopSignals() as stop:
        with contextlib.suppress(StopRequested):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StopRequested, match="SIGTERM"):
            stop.run(Stopped(signal.SIGTERM), JobQueue(), Record())


@pytest.mark.parametrize("kind", [ImportError, SystemError])
def test_a_stop_that_a_library_made_an_error_of_while_it_was_imported_is_still_a_stop(kind: type[Exception]) -> None:
    def import_something() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except StopRequested as request:
            raise kind("initialisation of an extension failed") from request

    with pytest.raises(StopRequested, match="SIGTERM"), StopSignals():
        import_something()


def test_an_import_that_fails_by_itself_is_no_stop() -> None:
    with pytest.raises(ImportError), StopSignals():
        raise ImportError("no such module")
