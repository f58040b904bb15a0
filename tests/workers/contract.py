"""What every kind of workers promises, as a suite of tests: a subclass says how its workers are made."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytest

from job_queue import Attempt, JobQueue, JobTimeout
from records import RunFault, TrainingConfig, TrainingJob, TrainingResult
from records.errors import StopRequested
from records.texts import NetworkText
from run.stop_signals import StopSignals
from search_space.cost import MemoryNeed
from tests.trainers import result_of
from worker_manager import Workers

Make = Callable[..., AbstractContextManager[Workers]]


class Record:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.progress: list[Mapping[str, Any]] = []
        self.retried: list[tuple[str, str]] = []
        self.ended: list[TrainingResult] = []

    def job_started(self, slot: str, attempt: Attempt) -> None:
        self.started.append((slot, attempt.name))

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self.progress.append(progress)

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        self.retried.append((status, reason))

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        self.ended.append(result)


class StopAfter(Record):
    """Sends this process a signal when a number of jobs has ended."""

    def __init__(self, count: int, number: int) -> None:
        super().__init__()
        self.count, self.number = count, number

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        super().job_ended(slot, attempt, result)
        if len(self.ended) == self.count:
            os.kill(os.getpid(), self.number)


class OneMore(Record):
    """Adds a job to the queue when the first has ended."""

    def __init__(self, queue: JobQueue, phenotype: str) -> None:
        super().__init__()
        self.queue, self.phenotype = queue, phenotype

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        super().job_ended(slot, attempt, result)
        if len(self.ended) == 1:
            self.queue.add(job(self.phenotype), name="gen1/ind99", work=1.0)


def job(phenotype: str) -> TrainingJob:
    return TrainingJob(phenotype=NetworkText(phenotype), protocol=TrainingConfig(), data_fingerprint="test")


def fill(queue: JobQueue, phenotypes: Sequence[str]) -> JobQueue:
    """A queue with a job for each of these, the longest first."""
    for number, phenotype in enumerate(phenotypes, start=1):
        queue.add(job(phenotype), name=f"gen1/ind{number}", work=float(len(phenotypes) - number + 1))
    return queue


def perform(workers: Workers, phenotypes: Sequence[str], retries: int = 2) -> Record:
    """All jobs through the workers; what was observed."""
    record, queue = Record(), fill(JobQueue(retries), phenotypes)
    workers.run(queue, record)
    assert queue.is_finished
    return record


class WorkersContract:
    """The promises of `Workers`, kept by two workers whose trainings do what `tests.trainers` reads in their job."""

    crashes: Mapping[str, str]  # what is said of a process that ends by "exit" or "kill"

    @pytest.fixture
    def workers(self, make: Make) -> Iterator[Workers]:
        with make() as workers:
            yield workers

    def test_every_job_ends_once_with_its_own_result_and_is_told_by_slot(self, workers: Workers) -> None:
        phenotypes = [f"ok {number}" for number in range(12)]
        record = perform(workers, phenotypes)
        expected = {job(each).key: result_of(job(each), 128).epochs for each in phenotypes}
        assert len(record.ended) == 12
        assert {result.key: result.epochs for result in record.ended} == expected
        assert {result.status for result in record.ended} == {"done"}
        slots = {slot.name for slot in workers.slots}
        assert len(slots) == 2
        assert len(record.started) == len(record.progress) == 12
        assert {slot for slot, _ in record.started} <= slots
        assert {result.cost.device for result in record.ended} <= slots

    @pytest.mark.parametrize(
        ("word", "status", "said"),
        [
            ("raise", "error", "ValueError: this network cannot be trained"),
            ("diverge", "diverged", "the training loss of epoch 1 is nan"),
            ("memory", "out_of_memory", "MemoryError"),
            ("exit", "crashed", None),
            ("kill", "crashed", None),
        ],
    )
    def test_a_bad_job_is_tried_again_then_failed_with_its_reason(
        self, workers: Workers, word: str, status: str, said: str | None
    ) -> None:
        said = said or self.crashes[word]
        record = perform(workers, [word, "ok 1", "ok 2"])
        assert [(again, reason[: len(said)]) for again, reason in record.retried] == [(status, said)] * 2
        failed = next(result for result in record.ended if result.key == job(word).key)
        assert (failed.status, failed.reason[: len(said)], failed.cost.attempts) == (status, said, 3)
        assert sorted(result.status for result in record.ended) == sorted(["done", "done", status])

    def test_out_of_memory_is_tried_again_with_half_the_micro_batch(self, workers: Workers) -> None:
        (result,) = perform(workers, ["memory_over_64"]).ended
        assert (result.status, result.micro_batch, result.cost.attempts) == ("done", 64, 2)

    def test_a_job_without_end_is_timed_out(self, make: Make) -> None:
        with make(job_timeout=JobTimeout(seconds=2.0)) as workers:
            record = perform(workers, ["sleep", "ok 1", "ok 2"], retries=1)
        assert record.retried == [("timed_out", "no result after 2.0 s (--job_timeout)")]
        assert sorted(result.status for result in record.ended) == ["done", "done", "timed_out"]

    def test_a_job_may_be_added_while_others_run(self, workers: Workers) -> None:
        queue = fill(JobQueue(), ["ok 1", "ok 2", "ok 3"])
        record = OneMore(queue, "ok 4")
        workers.run(queue, record)
        assert {result.key for result in record.ended} == {job(f"ok {number}").key for number in range(1, 5)}

    def test_a_job_too_large_for_every_slot_fails_at_once(self, workers: Workers) -> None:
        queue = JobQueue(room=1e12)
        failed = queue.add(job("ok"), name="gen1/ind1", work=1.0, need=MemoryNeed(fixed=1 << 50))
        assert getattr(failed, "status", None) == "out_of_memory"
        workers.run(queue, Record())

    def test_a_fault_of_the_machine_ends_the_run(self, workers: Workers) -> None:
        with pytest.raises(RunFault, match="the disk is on fire"):
            perform(workers, ["fault"])

    def test_a_signal_stops_the_run_and_what_ended_is_kept(self, workers: Workers) -> None:
        queue = fill(JobQueue(), [*(f"ok {number}" for number in range(4)), "sleep"])
        observer = StopAfter(4, signal.SIGTERM)
        with StopSignals() as stop, pytest.raises(StopRequested, match="SIGTERM"):
            stop.run(workers, queue, observer)
        assert queue.results.keys() == {result.key for result in observer.ended}
        assert len(observer.ended) == 4
