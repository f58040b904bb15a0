"""The state machine of jobs: nothing lost, nothing twice, the longest first, a bounded number of tries."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from job_queue import AUTO, LONGEST_WAIT, PARTS_OF_LIMIT, Attempt, Concurrency, JobQueue, JobTimeout, WaitingClock
from records import TrainingConfig, TrainingJob, TrainingResult
from records.costs import Cost
from records.errors import FAILURES
from records.texts import JobKey, NetworkText
from records.trainings import Epoch
from search_space.cost import MemoryNeed


def job(phenotype: str, batch_size: int = 128, micro_batch: int | None = None) -> TrainingJob:
    protocol = TrainingConfig(batch_size=batch_size, micro_batch=micro_batch)
    return TrainingJob(phenotype=NetworkText(phenotype), protocol=protocol, data_fingerprint="test")


def success(key: str) -> TrainingResult:
    epochs = (Epoch(train_loss=1.0, score=0.5, loss=1.0),)
    return TrainingResult(key=JobKey(key), status="done", epochs=epochs, cost=Cost(seconds=3.0, device="gpu 1"))


def started(queue: JobQueue) -> Attempt:
    attempt = queue.start()
    assert attempt is not None
    return attempt


@dataclass
class Ticket:
    """What is expected of one job: where it is in the queue, and how often it has been tried."""

    key: str
    name: str
    work: float
    micro_batch: int
    place: int
    tries: int = 0


@dataclass
class Ledger:
    """A second book of the same jobs, kept as plainly as can be."""

    waiting: list[Ticket] = field(default_factory=list)
    running: list[Ticket] = field(default_factory=list)
    ended: dict[str, Ticket] = field(default_factory=dict)
    added: list[TrainingJob] = field(default_factory=list)


class QueueMachine(RuleBasedStateMachine):
    """Any order of adding, starting, finishing and failing, compared with the ledger."""

    @initialize(max_retries=st.integers(0, 3))
    def begin(self, max_retries: int) -> None:
        self.max_retries = max_retries
        self.queue = JobQueue(max_retries)
        self.ledger = Ledger()

    @rule(work=st.sampled_from([0.0, 1.0, 2.5, 1e18]), batch=st.integers(2, 300), own=st.booleans())
    def add(self, work: float, batch: int, own: bool) -> None:
        micro_batch = max(2, batch // 3) if own else None
        new = job(f"network {len(self.ledger.added)}", batch, micro_batch)
        name = f"gen1/ind{len(self.ledger.added)}"
        self.queue.add(new, name=name, work=work)
        self.ledger.added.append(new)
        self.ledger.waiting.append(Ticket(new.key, name, work, micro_batch or batch, len(self.ledger.added)))

    @precondition(lambda self: self.ledger.added)
    @rule(pick=st.integers(0))
    def add_again(self, pick: int) -> None:
        old = self.ledger.added[pick % len(self.ledger.added)]
        with pytest.raises(ValueError, match=f"job {old.key} of twin was added before"):
            self.queue.add(old, name="twin", work=9e99)

    @rule()
    def start(self) -> None:
        attempt = self.queue.start()
        if not self.ledger.waiting:
            assert attempt is None
            return
        assert attempt is not None
        ticket = min(self.ledger.waiting, key=lambda ticket: (-ticket.work, ticket.place))
        self.ledger.waiting.remove(ticket)
        self.ledger.running.append(ticket)
        ticket.tries += 1
        assert (attempt.key, attempt.name, attempt.work) == (ticket.key, ticket.name, ticket.work)
        assert (attempt.number, attempt.micro_batch) == (ticket.tries, ticket.micro_batch)
        assert attempt.job.key == ticket.key
        assert attempt.number <= 1 + self.max_retries

    @precondition(lambda self: self.ledger.running)
    @rule(pick=st.integers(0))
    def finish(self, pick: int) -> None:
        ticket = self.ledger.running.pop(pick % len(self.ledger.running))
        result = self.queue.finish(success(ticket.key))
        assert (result.key, result.status, result.cost.attempts) == (ticket.key, "done", ticket.tries)
        self.ledger.ended[ticket.key] = ticket

    @precondition(lambda self: self.ledger.running)
    @rule(pick=st.integers(0), status=st.sampled_from(FAILURES))
    def fail(self, pick: int, status: str) -> None:
        ticket = self.ledger.running.pop(pick % len(self.ledger.running))
        result = self.queue.fail(JobKey(ticket.key), status, "its reason", Cost(device="cpu 2"))
        if ticket.tries <= self.max_retries:
            assert result is None
            if status == "out_of_memory":
                ticket.micro_batch = max(2, ticket.micro_batch // 2)
            self.ledger.waiting.append(ticket)
            return
        assert result is not None
        assert (result.status, result.reason, result.micro_batch) == (status, "its reason", ticket.micro_batch)
        assert result.cost == Cost(device="cpu 2", attempts=1 + self.max_retries)
        self.ledger.ended[ticket.key] = ticket

    @precondition(lambda self: len(self.ledger.running) < len(self.ledger.added))
    @rule(pick=st.integers(0))
    def end_what_does_not_run(self, pick: int) -> None:
        idle = [*(ticket.key for ticket in self.ledger.waiting), *self.ledger.ended]
        key = idle[pick % len(idle)]
        with pytest.raises(KeyError):
            self.queue.finish(success(key))
        with pytest.raises(KeyError):
            self.queue.fail(JobKey(key), "crashed", "", Cost())

    @invariant()
    def no_job_is_lost_or_in_two_places(self) -> None:
        ledger = self.ledger
        assert self.queue.waiting == len(ledger.waiting)
        assert self.queue.running.keys() == {ticket.key for ticket in ledger.running}
        assert self.queue.results.keys() == ledger.ended.keys()
        assert all(key == result.key for key, result in self.queue.results.items())
        assert self.queue.waiting + len(self.queue.running) + len(self.queue.results) == len(ledger.added)
        assert self.queue.is_finished == (len(ledger.ended) == len(ledger.added))

    def teardown(self) -> None:
        """Whatever happened, a queue that is worked off holds one result for each job."""
        if not hasattr(self, "queue"):
            return
        tries = 0
        while not self.queue.is_finished:
            self.queue.start()
            for key in list(self.queue.running):
                self.queue.fail(key, "crashed", "", Cost())
            tries += 1
            assert tries <= (1 + self.max_retries) * len(self.ledger.added)
        assert self.queue.results.keys() == {added.key for added in self.ledger.added}
        assert self.queue.start() is None


QueueMachine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
TestQueueMachine = QueueMachine.TestCase


def test_the_longest_job_starts_first_and_equals_in_the_order_they_came() -> None:
    queue = JobQueue()
    for name, work in [("short", 1.0), ("long", 9.0), ("first", 5.0), ("second", 5.0)]:
        queue.add(job(name), name=name, work=work)
    assert [started(queue).name for _ in range(4)] == ["long", "first", "second", "short"]


def test_where_nothing_waits_jobs_start_in_the_order_they_came() -> None:
    queue = JobQueue(longest_first=False)
    for name, work in [("short", 1.0), ("long", 9.0), ("middle", 5.0)]:
        queue.add(job(name), name=name, work=work)
    assert [started(queue).name for _ in range(3)] == ["short", "long", "middle"]


def test_a_queue_without_jobs_is_finished_and_hands_out_nothing() -> None:
    queue = JobQueue()
    assert queue.start() is None
    assert queue.is_finished


def test_a_queue_is_not_finished_while_a_job_runs() -> None:
    queue = JobQueue()
    queue.add(job("one"), name="one", work=1.0)
    attempt = started(queue)
    assert not queue.is_finished
    queue.finish(success(attempt.key))
    assert queue.is_finished


@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_a_job_that_keeps_failing_is_tried_once_and_then_max_retries_times(max_retries: int) -> None:
    queue = JobQueue(max_retries)
    queue.add(job("bad"), name="bad", work=1.0)
    tries = 0
    while (attempt := queue.start()) is not None:
        tries += 1
        queue.fail(attempt.key, "crashed", "signal SIGKILL", Cost())
    assert tries == 1 + max_retries
    result = queue.results[job("bad").key]
    assert (result.status, result.reason, result.cost.attempts) == ("crashed", "signal SIGKILL", tries)


@given(batch=st.integers(2, 1000), retries=st.integers(0, 15))
@settings(deadline=None)
def test_out_of_memory_halves_the_micro_batch_down_to_two(batch: int, retries: int) -> None:
    queue = JobQueue(retries)
    queue.add(job("large", batch), name="large", work=1.0)
    sizes = []
    while (attempt := queue.start()) is not None:
        sizes.append(attempt.micro_batch)
        queue.fail(attempt.key, "out_of_memory", "", Cost())
    assert sizes[0] == batch
    assert all(after == max(2, before // 2) for before, after in itertools.pairwise(sizes))
    assert queue.results[job("large", batch).key].micro_batch == sizes[-1] >= 2


@pytest.mark.parametrize("status", [status for status in FAILURES if status != "out_of_memory"])
def test_other_failures_leave_the_micro_batch_as_it_is(status: str) -> None:
    queue = JobQueue()
    queue.add(job("bad", 128, 32), name="bad", work=1.0)
    queue.fail(started(queue).key, status, "", Cost())
    assert started(queue).micro_batch == 32


def test_a_job_that_succeeds_after_failures_is_done_and_tells_its_tries() -> None:
    queue = JobQueue()
    queue.add(job("shaky"), name="shaky", work=1.0)
    queue.fail(started(queue).key, "crashed", "", Cost())
    result = queue.finish(success(started(queue).key))
    assert (result.status, result.cost.attempts) == ("done", 2)
    assert (result.cost.seconds, result.cost.device) == (3.0, "gpu 1")
    assert queue.results == {result.key: result}


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize("longest_first", [True, False])
def test_a_retry_keeps_the_place_of_its_job(status: str, longest_first: bool) -> None:
    queue = JobQueue(longest_first=longest_first)
    for name in ("bad", "equal", "last"):
        queue.add(job(name), name=name, work=1.0 if name == "last" else 5.0)
    queue.fail(started(queue).key, status, "", Cost())
    queue.fail(started(queue).key, status, "", Cost())
    assert [started(queue).name for _ in range(3)] == ["bad", "equal", "last"]


def test_an_equal_job_is_refused_even_after_it_ended() -> None:
    queue = JobQueue()
    queue.add(job("one"), name="gen1/ind1", work=1.0)
    queue.finish(success(started(queue).key))
    with pytest.raises(ValueError, match="gen2/ind5 was added before"):
        queue.add(job("one"), name="gen2/ind5", work=1.0)
    assert queue.is_finished


# Jobs that stall


def attempt_of(work: float, number: int = 1) -> Attempt:
    return Attempt(job=job("one"), key=job("one").key, name="one", work=work, micro_batch=128, number=number)


@pytest.mark.parametrize(
    ("work", "pace", "number", "expected"),
    [
        (1.0, 1.0, 1, 600.0),  # the floor
        (1000.0, 1.0, 1, 10_000.0),
        (1000.0, 0.01, 1, 600.0),  # learnt on a fast device
        (1.0, 500.0, 1, 5000.0),  # learnt on a slow one
        (1000.0, 1.0, 3, 30_000.0),
    ],
)
def test_a_training_may_be_silent_for_many_times_as_long_as_it_is_expected_to_take(
    work: float, pace: float, number: int, expected: float
) -> None:
    assert AUTO.limit(attempt_of(work, number), pace) == expected


@pytest.mark.parametrize("seconds", [3.0, math.inf])
def test_a_limit_that_a_person_gave_is_the_same_for_every_training(seconds: float) -> None:
    for work, number in itertools.product((0.0, 1e9), (1, 3)):
        assert JobTimeout(seconds=seconds).limit(attempt_of(work, number), 7.0) == seconds


def test_the_pace_is_the_median_of_what_jobs_took() -> None:
    queue = JobQueue()
    assert queue.pace == 1.0
    for number, seconds in enumerate((8.0, 1e6, 6.0)):  # the second was suspended
        queue.add(job(str(number)), name=str(number), work=2.0)
        key = started(queue).key
        queue.finish(replace(success(key), cost=Cost(seconds=seconds)))
    assert queue.pace == 4.0


@given(limit=st.floats(0.1, 1e5), naps=st.lists(st.floats(0, 1e6), max_size=5), late=st.floats(1, 3), data=st.data())
@settings(deadline=None, max_examples=50)
def test_a_suspension_costs_a_job_a_small_part_of_its_limit(
    limit: float, naps: list[float], late: float, data: st.DataObject
) -> None:
    """`naps` are suspensions, at any wait; the others end late by some factor. Time is simulated."""
    clock, waits, awake = WaitingClock(), 0, 0.0
    at = {data.draw(st.integers(0, PARTS_OF_LIMIT)): nap for nap in naps}
    while clock.now < limit:
        asked = clock.next_wait([(0.0, limit), (math.inf, 1.0)])
        assert asked is not None
        assert 0 < asked <= min(LONGEST_WAIT, limit / PARTS_OF_LIMIT)
        clock.waited(late * asked + at.get(waits, 0.0), asked)
        awake += asked
        waits += 1
        if waits > 3 * PARTS_OF_LIMIT:
            break  # of the many short waits of a long limit these are enough
    assert clock.now == pytest.approx(awake)
    assert clock.now >= limit or waits > 3 * PARTS_OF_LIMIT


def test_nothing_is_waited_for_where_nobody_has_a_limit() -> None:
    assert WaitingClock().next_wait([]) is None
    assert WaitingClock().next_wait([(0.0, math.inf), (math.inf, 600.0)]) is None


def test_a_wait_that_events_ended_counts_as_long_as_it_was() -> None:
    clock = WaitingClock()
    clock.waited(0.5, 10.0)
    clock.waited(2.0, None)
    assert clock.now == 2.5


# Memory

NEED = MemoryNeed(fixed=100, image=10)  # 1,380 bytes with 128 images at once


def test_a_job_waits_until_there_is_room_and_smaller_ones_go_first() -> None:
    queue = JobQueue()
    queue.add(job("large"), name="large", work=9.0, need=NEED)
    queue.add(job("small"), name="small", work=1.0)
    assert [attempt.name for attempt in (queue.start(1379), queue.start(1379)) if attempt] == ["small"]
    assert not queue.is_finished
    large = queue.start(1380)
    assert large is not None
    assert (large.name, large.memory) == ("large", 1380)


def test_the_longest_that_fits_goes_first() -> None:
    queue = JobQueue()
    for name, work, fixed in [("a", 1.0, 10), ("b", 3.0, 30), ("c", 2.0, 20)]:
        queue.add(job(name), name=name, work=work, need=MemoryNeed(fixed=fixed))
    started = [queue.start(room) for room in (25, 5, 1000)]
    assert [attempt and attempt.name for attempt in started] == ["c", None, "b"]


def test_a_job_too_large_for_every_device_is_cut_into_pieces_before_it_starts() -> None:
    queue = JobQueue(room=500)
    attempt = queue.add(job("large"), name="large", work=1.0, need=NEED)
    assert isinstance(attempt, Attempt)
    assert (attempt.micro_batch, attempt.number) == (32, 1)  # 420 bytes; 64 images would need 740
    assert queue.start(500) == attempt


def test_a_job_that_no_piece_makes_small_enough_fails_without_being_started() -> None:
    queue = JobQueue(room=110)
    result = queue.add(job("large"), name="large", work=1.0, need=NEED)
    assert isinstance(result, TrainingResult)
    assert (result.status, result.key) == ("out_of_memory", job("large").key)
    assert queue.is_finished
    assert queue.start() is None


def test_second_tries_can_be_left_waiting() -> None:
    queue = JobQueue()
    queue.add(job("crashes"), name="crashes", work=9.0)
    queue.fail(started(queue).key, "crashed", "", Cost())
    assert queue.start(retries=False) is None
    queue.add(job("new"), name="new", work=1.0)
    first = queue.start(retries=False)
    assert first is not None
    assert first.name == "new"
    assert started(queue).name == "crashes"


# Trainings at once


def settled(speeds: dict[int, float], most: int = 8, jobs: int = 200) -> list[int]:
    """The limits that a device goes through which does `speeds[n]` work a second with n trainings at once."""
    concurrency, now, limits = Concurrency(most), 0.0, [1]
    for _ in range(jobs):
        now += 1 / speeds[concurrency.limit]
        concurrency.job_ended(1.0, now)
        if concurrency.limit != limits[-1]:
            limits.append(concurrency.limit)
    return limits


def test_more_trainings_at_once_are_tried_while_they_pay() -> None:
    assert settled({1: 1.0, 2: 1.9, 4: 3.0, 8: 5.0}) == [1, 2, 4, 8]
    assert settled({1: 1.0, 2: 1.9, 4: 3.0, 8: 3.1}) == [1, 2, 4, 8, 4]
    assert settled({1: 1.0, 2: 0.9}) == [1, 2, 1]
    assert settled({1: 1.0, 2: 2.0, 3: 3.0}, most=3) == [1, 2, 3]
    assert settled({1: 1.0, 2: 2.0, 3: 2.0}, most=3) == [1, 2, 3, 2]
    assert settled({1: 1.0}, most=1) == [1]
