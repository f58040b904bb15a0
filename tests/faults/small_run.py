"""A run small enough to be broken a thousand times: the real search, queue, files and workers, without torch.

Fitness is a function of the network alone, so a run that was disturbed must end with the same files as
one that was not. As a program, it continues the run in a folder, or begins one:

    python -m tests.faults.small_run FOLDER [--workers N] [--delay SECONDS] [--seed S] [--least SECONDS]
        [--variant rich | steady]

The plain variant is the genetic algorithm alone; the rich one adds halving, the predictor and a
second objective; the steady one does not wait for generations.
"""

from __future__ import annotations

if __name__ == "__main__":
    from stopping.signals import quit_on_signals

    quit_on_signals()

import argparse
import csv
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from job_queue import AUTO, Attempt, JobQueue, JobTimeout
from records import (
    DataConfig,
    EvolutionConfig,
    InputError,
    Limits,
    RunFault,
    RunState,
    TrainingConfig,
    TrainingJob,
    TrainingResult,
)
from records.canonical import VERSION, canonical_json, content_hash, from_json, to_json
from records.command_line import BAD_INPUT, FAULT, run_command
from records.costs import Cost
from records.runs import DataFacts
from records.trainings import Epoch
from reporting.console import Console
from reporting.watcher import Watcher
from run.algorithms import new_search
from run.scheme import loop_of
from run.stop_signals import StopSignals
from run.trainings import Means
from run.work import Work
from search_space.encoding import Encoding
from search_space.genes import STANDARD
from search_space.space import NetworkSpace
from search_space.tables import gene_table_text
from storage.audit import audit
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from storage.files import file_sha256, temporary_of, write_whole
from tests.trainers import misbehave
from worker_manager import Observer, Slot, WorkerManager

FACTS = DataFacts(
    fingerprint="none",
    input_shape=(1, 8, 8),
    class_names=("a", "b"),
    train_images=8,
    val_images=2,
    test_images=2,
)
TRAINER = "tests.faults.small_run:start_trainer"
MEASURED = ("seconds", "images_per_second", "peak_memory_bytes", "device", "attempts")


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"population": 4, "surrogate": "off"},
    "steady": {"population": 4, "surrogate": "off", "scheme": "steady_state", "early_stopping": "none"},
    "rich": {"generations": 2, "population": 8, "early_stopping": "halving", "objectives": ("accuracy", "parameters")},
}
EPOCHS = {"plain": 1, "steady": 1, "rich": 9}  # 1, 3 and 9, where halving is on


def birth(seed: int, variant: str = "plain", epochs: int | None = None, **settings: Any) -> RunState:
    """The state of the run before its first generation; `settings` are search settings in addition to the variant's."""
    config = EvolutionConfig(**{"generations": 3, "elitism": 1, "seed": seed, **VARIANTS[variant], **settings})
    engine = new_search(config, NetworkSpace(Encoding(FACTS.input_shape, len(FACTS.class_names))))
    return RunState(
        version=VERSION,
        search=config,
        training=TrainingConfig(
            epochs=epochs or EPOCHS[variant],
            precision="float32",
            flip="off",
            crop_padding=1,
            micro_batch=128,
            cuda_graph="off",
        ),
        data=DataConfig(dataset="digits"),
        facts=FACTS,
        gene_table=gene_table_text(STANDARD),
        generations=(),
        results={},
        population=tuple(engine.ask()),
    )


def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
    """The result of training a job: numbers drawn from its seed, and weights of a few bytes, which are not durable yet.

    The training ends after the first epoch whose accuracy is below the job's threshold.
    """
    job = from_json(TrainingJob, task["job"])
    rng = random.Random(job.seed)
    weights = rng.randbytes(256)
    write_whole(root / task["weights"], weights)
    epochs = [Epoch(train_loss=rng.random(), score=rng.random(), loss=rng.random())]
    while len(epochs) < job.protocol.epochs and not _is_stopped(job, epochs):
        epochs.append(Epoch(train_loss=rng.random(), score=rng.random(), loss=rng.random()))
    return TrainingResult(
        key=job.key,
        status="done",
        epochs=tuple(epochs),
        parameters=rng.randrange(10**6),
        flops=rng.randrange(10**6),
        micro_batch=task["micro_batch"],
        weights=task["weights"],
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )


def _is_stopped(job: TrainingJob, epochs: list[Epoch]) -> bool:
    needed = job.stop_below[len(epochs) - 1 : len(epochs)]
    return bool(needed) and (epochs[-1].score or 0.0) < needed[0]


def start_trainer(setup: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
    """The trainer of a worker process: it logs each start as an empty file, waits for a random time, and trains."""
    root, starts = Path(setup["root"]), Path(setup["starts"])
    starts.mkdir(parents=True, exist_ok=True)

    def run(task: Mapping[str, Any], report: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        job = from_json(TrainingJob, task["job"])
        (starts / f"{job.key}.{time.monotonic_ns()}").touch()
        bad = _bad(root, job.key, len(list(starts.glob(f"{job.key}.*"))))
        for place in ("build", "first batch", "validation"):
            if bad.get("place") == place:
                misbehave(bad["way"], 0)
            time.sleep(random.random() * setup["delay"] / 3)
            report({"epoch": 0.3, "images_per_second": 1.0})
        if bad.get("place") == "saving":
            half = root / task["weights"]
            half.parent.mkdir(parents=True, exist_ok=True)
            temporary_of(half).write_bytes(b"half of the weights")
            misbehave(bad["way"], 0)
        return to_json(train(root, task))

    return run


def _bad(root: Path, key: str, tries: int) -> dict[str, str]:
    """How a test wants this try of a job to fail: `way` and `place`, at most `tries` times, or nothing."""
    path = root / "bad.json"
    bad: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return bad if key.startswith(bad.get("key", "nothing")) and tries <= bad.get("tries", tries) else {}


class InlineWorkers:
    """Trains in this process, one job after another, for faults that concern only the files of the main process."""

    slots: tuple[Slot, ...] = (Slot(name="inline"),)

    def __init__(self, run: RunDirectory) -> None:
        self.directory = run
        self.started: list[TrainingJob] = []

    @property
    def starts(self) -> int:
        return len(self.started)

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None:
        while (attempt := jobs.start()) is not None:
            self.started.append(attempt.job)
            observer.job_ended("inline", attempt, jobs.finish(self.result_of(attempt)))

    def result_of(self, attempt: Attempt) -> TrainingResult:
        weights = self.directory.relative(self.directory.weights(attempt.name))
        job = _through_json(to_json(attempt.job))
        return train(self.directory.root, {"job": job, "micro_batch": attempt.micro_batch, "weights": weights})


class OrderedWorkers(InlineWorkers):
    """Several trainings at once, in this process; `choose` names the one that ends next."""

    def __init__(self, run: RunDirectory, choose: Callable[[Sequence[str]], str], count: int) -> None:
        super().__init__(run)
        self.slots = tuple(Slot(name=f"cpu {number}") for number in range(count))
        self.choose = choose

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None:
        while not jobs.is_finished:
            self.feed(jobs)
            running = {attempt.name: attempt for attempt in jobs.running.values()}
            attempt = running[self.choose(list(running))]
            result = jobs.finish(self.result_of(attempt))
            self.feed(jobs)
            observer.job_ended("cpu 0", attempt, result)

    def feed(self, jobs: JobQueue) -> None:
        while len(jobs.running) < len(self.slots) and (attempt := jobs.start()) is not None:
            self.started.append(attempt.job)


def in_order(run: RunDirectory, names: Sequence[str], workers: int, variant: str = "steady") -> RunState:
    """Runs a whole run whose trainings end in this order."""
    left = iter(names)
    return go_on(run, OrderedWorkers(run, lambda running: next(left), workers), NoSignals(), variant=variant)


def _through_json(value: object) -> Any:
    return json.loads(canonical_json(value))


class Told(Console):
    """A console that passes every line that a person would see to a function."""

    def __init__(self, told: Callable[[str], None]) -> None:
        super().__init__()
        self.told = told

    def say(self, message: str, always: bool = False, wrap: bool = True) -> None:
        self.told(message)


def evolved(run: RunDirectory, state: RunState, means: Means, watcher: Watcher) -> Work:
    """A run after its last generation. No figures are drawn, which would take longer than the rest of a small run."""
    work = Work(run, state, means, watcher)
    loop_of(work).evolve()
    return work


def go_on(
    run: RunDirectory,
    workers: Any,
    stop: StopSignals,
    *,
    seed: int = 0,
    variant: str = "plain",
    limits: Limits | None = None,
    state: RunState | None = None,
    reused: Sequence[RunDirectory] = (),
    warn: Callable[[str], None] = print,
    say: Callable[[str], None] = lambda message: None,
) -> RunState:
    """Resumes the run in a folder, or begins one, and takes it to its end, as `evolution.py` does."""
    limits = limits or Limits(min_free_disk=0.0)
    console = Told(say)
    state = state or (load_state(run.root)[1] if run.states() else birth(seed, variant))
    audit(run, state.results, warn)
    run.drop_states_after(state.generation)
    save_state(run, state)
    work = evolved(run, state, Means(workers=workers, stop=stop, limits=limits, reused=reused), console)
    best = work.engine.best
    if best is None:
        raise RunFault("there is no best network")
    result = work.trainings.trained(work.last_job(best), best.name)
    run.write(run.best_model, (run.root / str(result.weights)).read_bytes())
    return work.state


def inline(
    folder: Path, seed: int = 0, variant: str = "plain", warn: Callable[[str], None] = lambda warning: None
) -> RunState:
    """`go_on` without worker processes, with the folder locked."""
    run = RunDirectory(folder)
    run.lock()
    try:
        return go_on(run, InlineWorkers(run), NoSignals(), seed=seed, variant=variant, warn=warn)
    finally:
        run.unlock()


class NoSignals(StopSignals):
    """Leaves the process's signals alone, so that it can run anywhere."""

    def __init__(self) -> None:
        pass

    def run(self, workers: Any, jobs: JobQueue, observer: Observer) -> None:
        workers.run(jobs, observer)


def fingerprint(folder: Path) -> str:
    """A SHA-256 over everything in a finished run that must be the same however the run was disturbed."""
    run, state = load_state(folder)
    with open(run.history, encoding="utf-8", newline="") as file:
        history = [{name: row[name] for name in row if name not in MEASURED} for row in csv.DictReader(file)]
    results = {key: to_json(replace(result, cost=Cost())) for key, result in state.results.items()}
    state_content = {**to_json(state), "results": results, "version": ""}
    return content_hash(_through_json([state_content, history, file_sha256(run.best_model)]))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--least", type=float, default=AUTO.least, help="seconds that a training may be silent")
    parser.add_argument("--variant", choices=VARIANTS, default="plain")
    options = parser.parse_args(arguments)
    run = RunDirectory(options.folder)
    try:
        run.lock()
    except InputError as refusal:
        print(refusal, file=sys.stderr)
        return BAD_INPUT
    slots = [Slot(name=f"cpu {number}") for number in range(options.workers)]
    setup = {"root": str(run.root), "starts": str(run.root / "starts"), "delay": options.delay}
    try:
        with StopSignals() as stop:
            manager = WorkerManager(
                slots,
                TRAINER,
                setup,
                task=lambda attempt: {
                    "micro_batch": attempt.micro_batch,
                    "weights": run.relative(run.weights(attempt.name)),
                },
                job_timeout=JobTimeout(least=options.least),
            )
            with manager:
                go_on(run, manager, stop, seed=options.seed, variant=options.variant)
    except RunFault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return FAULT
    finally:
        run.unlock()
    print(fingerprint(run.root))
    return 0


if __name__ == "__main__":
    run_command(main)
