"""The state machine of jobs: waiting, running, done, failed. No processes, clocks or files here."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from records import Cost, TrainingJob, TrainingResult

SMALLEST_MICRO_BATCH = 2  # batch normalisation needs two values per channel


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try at a job: the `number` of the try, from 1, and the micro-batch to try it with.

    `name` is the individual that the job is trained for; `work` the expected effort (FLOPs), by
    which the longest goes first.
    """

    job: TrainingJob
    key: str
    name: str
    work: float
    micro_batch: int
    number: int = 1


class JobQueue:
    """Jobs by expected effort, the longest first; each tried at most 1 + `max_retries` times.

    The end of a generation waits for its last job, so a long job must not start last.
    """

    def __init__(self, max_retries: int = 2) -> None:
        self.max_retries = max_retries
        self.running: dict[str, Attempt] = {}
        self.results: dict[str, TrainingResult] = {}
        self._waiting: list[tuple[float, int, Attempt]] = []
        self._keys: set[str] = set()
        self._added = 0

    def add(self, job: TrainingJob, *, name: str, work: float) -> None:
        """Queues a job. Raises ValueError if an equal job was added before."""
        key = job.key
        if key in self._keys:
            raise ValueError(f"job {key} of {name} was added before")
        self._keys.add(key)
        micro_batch = job.protocol.micro_batch or job.protocol.batch_size
        self._push(Attempt(job=job, key=key, name=name, work=work, micro_batch=micro_batch))

    def _push(self, attempt: Attempt) -> None:
        heapq.heappush(self._waiting, (-attempt.work, self._added, attempt))
        self._added += 1

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return len(self._waiting)

    @property
    def is_finished(self) -> bool:
        return not self._waiting and not self.running

    def start(self) -> Attempt | None:
        """Hands out the longest job that waits; None if there is none."""
        if not self._waiting:
            return None
        attempt = heapq.heappop(self._waiting)[-1]
        self.running[attempt.key] = attempt
        return attempt

    def finish(self, result: TrainingResult) -> TrainingResult:
        """Takes the result of a running job, and returns it with the number of tries filled in."""
        attempt = self.running.pop(result.key)
        result = replace(result, cost=replace(result.cost, attempts=attempt.number))
        self.results[result.key] = result
        return result

    def fail(self, key: str, status: str, reason: str, cost: Cost) -> TrainingResult | None:
        """Takes the failure of a running job. Queues it again and returns None, or returns its final result.

        A job that ran out of memory is tried again with half the micro-batch.
        """
        attempt = self.running.pop(key)
        if attempt.number <= self.max_retries:
            micro_batch = attempt.micro_batch
            if status == "out_of_memory":
                micro_batch = max(SMALLEST_MICRO_BATCH, micro_batch // 2)
            self._push(replace(attempt, number=attempt.number + 1, micro_batch=micro_batch))
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
