"""The worker processes of this machine, with trainers that need no torch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from job_queue import AUTO, Attempt, JobQueue, JobTimeout
from search_space.cost import MemoryNeed
from stopping.signals import STOP_SIGNALS
from tests.processes import alive_after, children_of, is_alive
from tests.workers.contract import Make, Record, WorkersContract, fill, job
from worker_manager import Slot, WorkerManager, WorkersBroken

SLOTS = [Slot(name="one"), Slot(name="two")]


def run(
    phenotypes: Sequence[str],
    retries: int = 2,
    slots: Sequence[Slot] = SLOTS,
    job_timeout: JobTimeout = AUTO,
    **setup: Any,
) -> Record:
    """All jobs through real workers; what was observed."""
    record, queue = Record(), fill(JobQueue(retries), phenotypes)
    with WorkerManager(slots, "tests.trainers:start", setup, job_timeout=job_timeout) as workers:
        workers.run(queue, record)
    assert queue.is_finished
    return record


class TestWorkerManager(WorkersContract):
    """The processes of this machine keep what every kind of workers promises."""

    crashes = {"exit": "exit status 7: terminate called without an active exception", "kill": "signal SIGKILL"}

    @pytest.fixture
    def make(self) -> Make:
        return lambda **options: WorkerManager(SLOTS, "tests.trainers:start", {}, **options)


def test_the_longest_job_starts_first() -> None:
    record = run([f"ok {number}" for number in range(10)], slots=SLOTS[:1])
    assert [name for _, name in record.started] == [f"gen1/ind{number}" for number in range(1, 11)]


class Together(Record):
    """Watches which trainings of a queue run at the same time, whenever one starts."""

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self.queue = queue
        self.seen: list[set[str]] = []

    def job_started(self, slot: str, attempt: Attempt) -> None:
        super().job_started(slot, attempt)
        self.seen.append({each.name for each in self.queue.running.values()})


@pytest.mark.parametrize(("devices", "at_once"), [(["a", "a", "a"], 2), (["a", "b", "c"], 3)])
def test_trainings_share_the_memory_of_their_device(devices: list[str], at_once: int) -> None:
    slots = [Slot(name=str(number), device=device, memory=25) for number, device in enumerate(devices)]
    queue = JobQueue()
    record = Together(queue)
    for number in range(12):
        queue.add(job(f"nap {number}"), name=str(number), work=1.0, need=MemoryNeed(fixed=10))
    with WorkerManager(slots, "tests.trainers:start", {}) as workers:
        workers.run(queue, record)
    assert len(record.ended) == 12
    assert max(map(len, record.seen)) == at_once


def test_a_training_that_failed_is_tried_again_alone_where_trainings_share_a_gpu() -> None:
    slots = [Slot(name=str(number), device="gpu 0", is_tuned=True) for number in range(4)]
    queue = JobQueue()
    record = Together(queue)
    for number in range(40):
        queue.add(job(f"{'raise' if number == 20 else 'ok'} {number}"), name=str(number), work=1.0)
    with WorkerManager(slots, "tests.trainers:start", {}) as workers:
        workers.run(queue, record)
    assert sum(result.status == "done" for result in record.ended) == 39
    again = [seen for seen, (_, name) in zip(record.seen, record.started, strict=True) if name == "20"][1:]
    assert again == [{"20"}, {"20"}]


def test_workers_may_start_before_it_is_known_what_they_train_with() -> None:
    record, queue = Record(), JobQueue()
    queue.add(job("ok"), name="ok", work=1.0)
    with WorkerManager(SLOTS, "tests.trainers:start") as workers:
        workers.set_up({})
        workers.run(queue, record)
    assert [result.status for result in record.ended] == ["done"]


def test_the_number_of_workers_changes_no_result() -> None:
    outcomes = []
    for count in (1, 3):
        record = run([f"ok {number}" for number in range(20)], slots=[Slot(name=str(slot)) for slot in range(count)])
        outcomes.append(sorted((result.key, result.epochs) for result in record.ended))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("word", ["sleep", "spin", "stop"])
def test_a_job_without_end_is_timed_out_and_its_worker_replaced(word: str) -> None:
    record = run([word, "ok 1"], retries=1, job_timeout=JobTimeout(seconds=0.5))
    assert record.retried == [("timed_out", "no result after 0.5 s (--job_timeout)")]
    assert {result.status for result in record.ended} == {"timed_out", "done"}


@pytest.mark.parametrize("word", ["sleep", "stop"])
def test_a_worker_of_which_nothing_is_heard_is_replaced_without_being_told_a_limit(word: str) -> None:
    record = run([word, "ok 1"], retries=1, job_timeout=JobTimeout(least=0.7))
    assert record.retried == [("timed_out", "nothing was heard of it for 0.7 s (--job_timeout auto)")]
    assert {result.status for result in record.ended} == {"timed_out", "done"}


def test_a_training_that_reports_may_take_longer_than_it_may_be_silent() -> None:
    record = run(["talk", "ok 1"], job_timeout=JobTimeout(least=1.0))
    assert [(result.status, result.cost.attempts) for result in record.ended] == [("done", 1)] * 2


def test_no_signal_that_stops_the_program_ends_a_worker() -> None:
    """A scheduler sends them to all processes of a job, at any time: while a worker starts, and while it trains."""
    queue, record = fill(JobQueue(0), [f"nap {number}" for number in range(8)]), Record()
    with WorkerManager(SLOTS, "tests.trainers:start", {}) as workers:
        processes = children_of(os.getpid())

        def disturb() -> None:
            for _ in range(30):
                for process in processes:
                    for number in STOP_SIGNALS:
                        os.kill(process, number)
                time.sleep(0.03)

        sender = threading.Thread(target=disturb)
        sender.start()
        workers.run(queue, record)
        sender.join()
        assert children_of(os.getpid()) == processes
    assert [result.status for result in record.ended] == ["done"] * 8


def test_workers_that_cannot_start_end_the_run_with_their_last_words() -> None:
    with pytest.raises(WorkersBroken, match="RuntimeError: no such device"):
        run(["ok"], broken=True)


def test_a_worker_gets_the_environment_of_its_slot() -> None:
    slot = Slot(name="gpu 3", environment={"CUDA_VISIBLE_DEVICES": "3"})
    with WorkerManager([slot], "tests.trainers:start", {}) as workers:
        workers.run(JobQueue(), Record())
        environment = Path(f"/proc/{children_of(os.getpid())[-1]}/environ").read_bytes()
    assert b"CUDA_VISIBLE_DEVICES=3" in environment.split(b"\0")


def test_no_worker_is_left_after_closing() -> None:
    workers = WorkerManager(SLOTS, "tests.trainers:start", {})
    processes = children_of(os.getpid())
    assert len(processes) == 2
    workers.close()
    assert not any(is_alive(process) for process in processes)


MAIN = """
import sys
sys.path.insert(0, {root!r})
from job_queue import JobQueue
from tests.workers.contract import Record, job
from stopping.signals import STOP_SIGNALS
from tests.processes import alive_after, children_of, is_alive
from worker_manager import Slot, WorkerManager
workers = WorkerManager([Slot(name=str(slot)) for slot in range(3)], "tests.trainers:start", {{}})
print("ready", flush=True)
queue = JobQueue()
for word in ("sleep", "spin", "stop"):
    queue.add(job(word), name=word, work=1.0)
workers.run(queue, Record())
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 1.0])
def test_no_worker_outlives_a_killed_main_process(delay: float) -> None:
    """Not even one that hangs, spins or is stopped."""
    root = str(Path(__file__).parent.parent)
    main = subprocess.Popen([sys.executable, "-c", MAIN.format(root=root)], stdout=subprocess.PIPE)
    assert main.stdout is not None
    assert main.stdout.readline() == b"ready\n"
    processes = children_of(main.pid)
    assert len(processes) == 3
    time.sleep(delay)
    main.kill()
    main.wait()
    main.stdout.close()
    assert not alive_after(processes, seconds=2)
