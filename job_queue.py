"""The state machine of training jobs: waiting, running, done, failed. No processes, clocks or files."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from records import TrainingJob, TrainingResult
from records.costs import Cost
from records.texts import JobKey
from search_space.cost import MemoryNeed

NO_NEED = MemoryNeed()
GAIN = 1.1  # speed-up that doubling the number of concurrent trainings must bring
SMALLEST_MICRO_BATCH = 2  # batch normalisation needs two values per channel
PATIENCE = 10.0  # times as long as a training was expected to take, that it may be silent
LEAST_PATIENCE = 600.0  # seconds that any training may be silent
LONGEST_WAIT = 10.0  # seconds; and at most a part of a limit, so that a suspension costs a job no more of it
PARTS_OF_LIMIT = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt at a job: its `number`, counted from 1, and its micro-batch.

    `name` is the individual that the job is for, `work` the expected seconds, `need` the expected
    memory.
    """

    job: TrainingJob
    key: JobKey
    name: str
    work: float
    micro_batch: int
    need: MemoryNeed = NO_NEED
    number: int = 1

    @property
    def memory(self) -> int:
        """The memory that this attempt is expected to take, in bytes."""
        return self.need.bytes(self.micro_batch)

    def halved(self) -> Attempt:
        """The same attempt with half the micro-batch, but not less than the smallest."""
        return replace(self, micro_batch=max(SMALLEST_MICRO_BATCH, self.micro_batch // 2))


@dataclass(frozen=True, kw_only=True, slots=True)
class JobTimeout:
    """When a job counts as stalled.

    With `seconds`, that long after it was started (infinity: never). Without, when nothing was heard of
    it for `PATIENCE` times as long as all of it was expected to take, and at least for `least` seconds;
    longer at each further try, as the machine may be slower than those that were learnt from.
    """

    seconds: float | None = None
    least: float = LEAST_PATIENCE

    @property
    def is_of_silence(self) -> bool:
        """Whether a report of progress begins the time anew."""
        return self.seconds is None

    def limit(self, attempt: Attempt, pace: float) -> float:
        """Seconds after which an attempt counts as stalled; `pace` corrects what was expected of it."""
        if self.seconds is not None:
            return self.seconds
        return max(self.least, PATIENCE * pace * attempt.work) * attempt.number

    def reason(self, limit: float) -> str:
        if self.is_of_silence:
            return f"nothing was heard of it for {limit:.4g} s (--job_timeout auto)"
        return f"no result after {limit} s (--job_timeout)"


AUTO = JobTimeout()


class WaitingClock:
    """The seconds for which the workers have been waited for: `now`.

    It stands still while this process is suspended, alone or with its workers, or busy with results:
    a wait counts for no longer than was asked for.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def next_wait(self, limits: Iterable[tuple[float, float]]) -> float | None:
        """How long to wait, given since when each worker is waited for and its limit; None if none has one."""
        waits = (
            max(0.0, min(since + limit - self.now, limit / PARTS_OF_LIMIT, LONGEST_WAIT))
            for since, limit in limits
            if since + limit < math.inf
        )
        return min(waits, default=None)

    def waited(self, seconds: float, asked: float | None) -> None:
        """Takes note of a wait."""
        self.now += seconds if asked is None else min(seconds, asked)


class JobQueue:
    """Jobs by expected duration, the longest first; each is tried at most 1 + `max_retries` times.

    A generation ends with its last job, so long jobs start first. In a steady state nothing waits for
    a generation, and without `longest_first` jobs start in the order in which they were added. A retry
    keeps the place of its job. `room` is the memory of the largest device, in bytes.
    """

    def __init__(self, max_retries: int = 2, room: float = math.inf, longest_first: bool = True) -> None:
        self.max_retries, self.room, self.longest_first = max_retries, room, longest_first
        self.running: dict[JobKey, Attempt] = {}
        self.results: dict[JobKey, TrainingResult] = {}
        self._ratios: list[float] = []  # sorted: what jobs took, in units of what was expected of them
        self._waiting: list[tuple[float, int, Attempt]] = []  # sorted
        self._places: dict[JobKey, tuple[float, int]] = {}  # of all jobs that were added, by which they are sorted

    def add(self, job: TrainingJob, *, name: str, work: float, need: MemoryNeed = NO_NEED) -> Attempt | TrainingResult:
        """Queues a job and returns its first attempt, with a micro-batch that fits into `room`.

        If no micro-batch fits, the job is not queued and its failure is returned. Raises ValueError if
        an equal job was added before.
        """
        key = job.key
        if key in self._places:
            raise ValueError(f"job {key} of {name} was added before")
        self._places[key] = (-work if self.longest_first else 0.0, len(self._places))
        micro_batch = job.protocol.micro_batch or job.protocol.batch_size
        attempt = Attempt(job=job, key=key, name=name, work=work, micro_batch=micro_batch, need=need)
        while attempt.memory > self.room and attempt.micro_batch > SMALLEST_MICRO_BATCH:
            attempt = attempt.halved()
        if attempt.memory > self.room:
            reason = f"it needs about {attempt.memory / 1e9:.1f} GB, and there are {self.room / 1e9:.1f}"
            self.results[key] = TrainingResult(
                key=key, status="out_of_memory", reason=reason, micro_batch=attempt.micro_batch
            )
            return self.results[key]
        self._push(attempt)
        return attempt

    def _push(self, attempt: Attempt) -> None:
        bisect.insort(self._waiting, (*self._places[attempt.key], attempt))

    @property
    def pace(self) -> float:
        """By which factor jobs take longer than expected: the median so far, or 1 before the first has ended."""
        return self._ratios[len(self._ratios) // 2] if self._ratios else 1.0

    @property
    def waiting(self) -> int:
        """The number of jobs that wait for a worker."""
        return len(self._waiting)

    @property
    def is_finished(self) -> bool:
        return not self._waiting and not self.running

    def start(self, room: float = math.inf, retries: bool = True) -> Attempt | None:
        """Starts the first waiting job that needs at most `room` bytes; None if there is none.

        Without `retries` only jobs that were not tried before are started.
        """
        for index, (_, _, attempt) in enumerate(self._waiting):
            if attempt.memory <= room and (retries or attempt.number == 1):
                del self._waiting[index]
                self.running[attempt.key] = attempt
                return attempt
        return None

    def finish(self, result: TrainingResult) -> TrainingResult:
        """Records the result of a running job and returns it with the number of attempts."""
        attempt = self.running.pop(result.key)
        if attempt.work > 0:
            bisect.insort(self._ratios, result.cost.seconds / attempt.work)
        result = replace(result, cost=replace(result.cost, attempts=attempt.number))
        self.results[result.key] = result
        return result

    def fail(self, key: JobKey, status: str, reason: str, cost: Cost) -> TrainingResult | None:
        """Records the failure of a running job: queues a retry and returns None, or returns the final result.

        A job that ran out of memory is retried with half the micro-batch.
        """
        attempt = self.running.pop(key)
        if attempt.number <= self.max_retries:
            again = attempt.halved() if status == "out_of_memory" else attempt
            self._push(replace(again, number=attempt.number + 1))
            return None
        result = TrainingResult(
            key=key,
            status=status,
            reason=reason,
            micro_batch=attempt.micro_batch,
            cost=replace(cost, attempts=attempt.number),
        )
        self.results[key] = result
        return result


class Concurrency:
    """The number of concurrent trainings on one device: the `limit` is doubled while throughput rises.

    Throughput is the work of ended jobs per second, measured over twice as many jobs as the limit.
    When doubling raised it by less than `GAIN`, the previous limit is kept for good. The caller
    provides the time, in seconds.
    """

    def __init__(self, most: int) -> None:
        self.most, self.limit = most, 1
        self._is_settled = most == 1
        self._before, self._speed = 1, 0.0  # the limit before the last doubling, and its speed
        self._since: float | None = None
        self._work, self._ended = 0.0, 0

    def job_ended(self, work: float, now: float) -> None:
        if self._is_settled:
            return
        if self._since is None:  # the first job that ends under a new limit began under the old one
            self._since = now
            return
        self._work += work
        self._ended += 1
        if self._ended < 2 * self.limit:
            return
        speed = self._work / max(now - self._since, 1e-9)
        if speed < GAIN * self._speed:
            self.limit = self._before
            self._is_settled = True
        elif self.limit == self.most:
            self._is_settled = True
        else:
            self._speed, self._before, self.limit = speed, self.limit, min(2 * self.limit, self.most)
        self._since, self._work, self._ended = None, 0.0, 0
