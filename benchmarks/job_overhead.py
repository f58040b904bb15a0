"""What a job costs beyond its training: jobs that do nothing, through the real queue and warm workers.

usage: python benchmarks/job_overhead.py [JOBS] [WORKERS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from job_queue import Attempt, JobQueue
from records import Epoch, TrainingConfig, TrainingJob, TrainingResult, from_json
from worker_manager import Slot, WorkerManager

ROUNDS = 5


def start(setup: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
    """A trainer that returns at once."""

    def train(task: Mapping[str, Any], report: object) -> dict[str, Any]:
        key = from_json(TrainingJob, task["job"]).key
        return asdict(TrainingResult(key=key, status="done", epochs=(Epoch(train_loss=0.0),)))

    return train


class Nobody:
    """An observer that looks away."""

    def job_started(self, slot: str, attempt: Attempt) -> None: ...

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None: ...

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None: ...

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None: ...


def main(jobs: int, workers: int) -> None:
    protocol = TrainingConfig()
    slots = [Slot(name=f"cpu {number}") for number in range(workers)]
    with WorkerManager(slots, "job_overhead:start", {}) as manager:
        milliseconds = []
        for index in range(ROUNDS):
            queue, clock = JobQueue(), time.perf_counter()
            for number in range(jobs):
                job = TrainingJob(phenotype=f"{index} {number}", protocol=protocol, data_fingerprint="")
                queue.add(job, name="nobody", work=float(number))
            manager.run(queue, Nobody())
            milliseconds.append(1000 * (time.perf_counter() - clock) / jobs)
    print(f"{jobs} jobs on {workers} workers: {milliseconds[0]:.2f} ms a job with the workers' start,")
    warm = milliseconds[1:]
    print(f"{statistics.median(warm):.2f} ms warm (median of {len(warm)}; {min(warm):.2f} to {max(warm):.2f})")


if __name__ == "__main__":
    main(*(int(argument) for argument in (sys.argv[1:] + ["10000", "2"][len(sys.argv) - 1 :])))
