"""The time lost between trainings: different orchestrators run the same jobs on the same workers.

usage: python benchmarks/orchestration.py [--workers N] [--jobs N] [--trainings N] [--only TEXT]
The other systems are installed by: pip install -r benchmarks/requirements.txt

Each system runs no-op jobs, and trainings of distinct small networks on scikit-learn's digits for four epochs with
batch size 32: the same networks, by the same `train_model`, on one CPU thread each. No-ops and trainings are each
measured in a fresh interpreter. All times are taken inside the workers.

- start-up: from the start of that interpreter to the start of the first training, including imports, the start of the
  workers and the reading of the data.
- ms a no-op: each worker first holds one job until all workers hold one. The time is measured from the end of the first
  of these to the end of the last no-op, and divided by the number of no-ops. For ours alone, queueing the no-ops is
  included.
- wall: from the start of the first training to the end of the last. Inside: the sum of the seconds of all trainings.
- idle: 1 − inside / (workers × wall), the share of the devices' time that no training used.

Ours hands out the longest training first; the others get the trainings in the order drawn. Two rows of ours do more
than the others: they write weights, and one of them also seals results, as a run does. Optuna's sampler (TPE) proposes
19 bits for each trial, as in normal use, but the networks trained are the same; the time for which its threads wait for
each other (for the global interpreter lock) is inside the trainings, so it shows in its wall time, not in its idle
share. Systems that take seconds for a job get fewer jobs, as the table says.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from job_queue import Attempt, JobQueue
from records import DataConfig, TrainingConfig, TrainingJob, TrainingResult
from records.canonical import from_json, to_json
from records.costs import Cost
from records.machine import cores, processor_name
from records.texts import Chromosome, NetworkText
from records.trainings import Epoch
from search_space.architecture import architecture_of
from search_space.encoding import Encoding
from search_space.genes import STANDARD_LENGTH
from storage.directory import RunDirectory
from storage.files import make_durable
from storage.results import seal_result
from worker_manager import Slot, WorkerManager

# Modules that import torch are imported late: a no-op needs no torch.
if TYPE_CHECKING:
    from image_data.tensors import TrainingData

DIGITS = DataConfig(dataset="digits")
SMALL = (0, 1, 3)  # loci that are 0 in the networks trained: 16 to 128 filters, kernel sizes 1 and 3
TIME_LIMIT = 180.0  # seconds for one system and one kind of job
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": os.path.dirname(os.path.abspath(__file__)),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the switch that has Ray listen on the loopback address alone
    "RAY_USAGE_STATS_ENABLED": "0",
}

Task = TrainingJob | str  # a training, a warm-up (the path of its token), or a no-op (no text)
Span = tuple[float, float]  # start and end of a job, in seconds since 1970


def work(task: Task) -> Span:
    """One job, as a worker of any system does it."""
    if isinstance(task, TrainingJob):
        return train(task)
    begun = time.time()
    if task:
        hold(Path(task))
    return begun, time.time()


def hold(token: Path) -> None:
    """Removes its token and waits until no other is left, that is, until each worker holds one of these jobs."""
    token.unlink()
    while any(token.parent.iterdir()):
        time.sleep(0.001)


def train(job: TrainingJob) -> Span:
    import torch

    from train_model import train_model

    torch.set_num_threads(1)
    cost = train_model(job, training_data(), torch.device("cpu"))[0].cost
    return cost.started, cost.started + cost.seconds


@functools.cache
def training_data() -> TrainingData:
    """The digits, read once in each process."""
    import torch

    from image_data import load_image_data
    from image_data.tensors import to_device

    return to_device(load_image_data(DIGITS), torch.device("cpu"))


class Recorder:
    """An observer that notes when jobs began and ended, and seals results where a run is given."""

    def __init__(self, run: RunDirectory | None) -> None:
        self.run = run
        self.spans: list[Span] = []

    def job_started(self, slot: str, attempt: Attempt) -> None: ...

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None: ...

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None: ...

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        if result.status != "done":
            raise RuntimeError(f"{attempt.name} failed: {result.status} ({result.reason})")
        if self.run is not None:
            if result.weights is not None:
                make_durable(self.run.root / result.weights)
            seal_result(self.run, result)
        self.spans.append((result.cost.started, result.cost.started + result.cost.seconds))


def start(setup: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
    """A trainer for our workers that does the same as the workers of the other systems, and writes no weights."""

    def run(task: Mapping[str, Any], report: object) -> dict[str, Any]:
        job = from_json(TrainingJob, task["job"])
        begun, ended = work(job if job.data_fingerprint else job.phenotype)
        cost = Cost(started=begun, seconds=ended - begun)
        return to_json(TrainingResult(key=job.key, status="done", epochs=(Epoch(train_loss=0.0),), cost=cost))

    return run


def ours(tasks: Sequence[Task], workers: int, folder: Path, *, weights: bool = False, seal: bool = False) -> list[Span]:
    """`JobQueue` and `WorkerManager`; with `weights`, the trainer writes the weights as in a run."""
    trainings = isinstance(tasks[0], TrainingJob)
    run = RunDirectory(folder / "run")
    recorder = Recorder(run if seal else None)
    slots = [Slot(name=f"cpu {place}") for place in range(1, workers + 1)]
    # No-ops are queued after the warm-up, so that queueing them is counted.
    batches = [tasks] if trainings else [tasks[:workers], tasks[workers:]]
    manager = start_writing(slots, run) if weights and trainings else WorkerManager(slots, "orchestration:start", {})
    with manager:
        for batch in batches:
            manager.run(queue_of(batch), recorder)
    return recorder.spans


def start_writing(slots: Sequence[Slot], run: RunDirectory) -> WorkerManager:
    """Starts workers as a run does: they import their modules while the data is read here."""
    from image_data import load_image_data
    from image_data.shared_memory import new_shared_memory, share_training_data
    from workers.trainers import WorkerSetup

    descriptor = new_shared_memory()
    manager = WorkerManager(
        slots,
        "workers.trainers:start_trainer",
        descriptors=[descriptor],
        task=lambda attempt: {"micro_batch": attempt.micro_batch, "weights": run.relative(run.weights(attempt.name))},
    )
    data = load_image_data(DIGITS)
    setup = WorkerSetup(
        descriptor=descriptor,
        contents=share_training_data(data, descriptor),
        class_names=list(data.class_names),
        device="cpu",
        threads=1,
        deterministic=False,
        root=str(run.root),
    )
    manager.set_up(asdict(setup))
    return manager


def queue_of(tasks: Sequence[Task]) -> JobQueue:
    """A queue of the tasks, with the times that a run expects before its first training."""
    queue = JobQueue()
    for number, task in enumerate(tasks, start=1):
        if isinstance(task, TrainingJob):
            job, seconds = task, expected_seconds(task)
        else:
            job, seconds = no_op(task, number), 0.0
        queue.add(job, name=f"gen1/ind{number}", work=seconds)
    return queue


def expected_seconds(job: TrainingJob) -> float:
    from run.training_time import Effort, TrainingTime

    images = 1  # the same number for every training, so it does not affect which takes longest
    return TrainingTime().seconds(Effort(architecture_of(job.phenotype), images, job.protocol.batch_size))


def no_op(task: str, number: int) -> TrainingJob:
    return TrainingJob(phenotype=NetworkText(task), protocol=TrainingConfig(), data_fingerprint="", replicate=number)


def process_pool(tasks: Sequence[Task], workers: int, folder: Path) -> list[Span]:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, tasks))


def process_per_job(tasks: Sequence[Task], workers: int, folder: Path) -> list[Span]:
    """One thread for each worker starts a process, takes its answer, joins it, and starts the next."""
    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(in_a_process, tasks))


def in_a_process(task: Task) -> Span:
    context = multiprocessing.get_context("spawn")
    answer, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_work, args=(task, sender))
    process.start()
    sender.close()
    with closing(answer):
        span: Span = answer.recv()
    process.join()
    return span


def send_work(task: Task, sender: Any) -> None:
    sender.send(work(task))


def ray_tune(tasks: Sequence[Task], workers: int, folder: Path, *, reuse: bool = False) -> list[Span]:
    import ray
    from ray import tune

    def trial(config: Mapping[str, int]) -> dict[str, float]:
        begun, ended = work(tasks[config["number"]])
        return {"begun": begun, "ended": ended}

    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        object_store_memory=100_000_000,
        _temp_dir=str(folder),
    )
    try:
        results: Any = tune.Tuner(
            trial,
            param_space={"number": tune.grid_search(list(range(len(tasks))))},
            tune_config=tune.TuneConfig(max_concurrent_trials=workers, reuse_actors=reuse),
            run_config=tune.RunConfig(storage_path=str(folder / "trials"), verbose=0),
        ).fit()
        return [(result.metrics["begun"], result.metrics["ended"]) for result in results]
    finally:
        ray.shutdown()


def optuna_threads(tasks: Sequence[Task], workers: int, folder: Path) -> list[Span]:
    import optuna

    spans: list[Span] = []
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler())
    study.optimize(lambda trial: try_out(trial, tasks, spans), n_trials=len(tasks), n_jobs=workers)
    return spans


def optuna_journal(tasks: Sequence[Task], workers: int, folder: Path) -> list[Span]:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        shares = [pool.submit(take_part, tasks, str(folder / "journal")) for _ in range(workers)]
        return [span for share in shares for span in share.result()]


def take_part(tasks: Sequence[Task], journal: str) -> list[Span]:
    """Runs in one of the processes that share a study: takes trials until there are as many as tasks."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(journal)),
        sampler=optuna.samplers.TPESampler(),
        study_name="shared",
        direction="maximize",
        load_if_exists=True,
    )
    spans: list[Span] = []

    def objective(trial: Any) -> float:
        if trial.number >= len(tasks):
            study.stop()
            raise optuna.TrialPruned
        return try_out(trial, tasks, spans)

    study.optimize(objective)
    return spans


def try_out(trial: Any, tasks: Sequence[Task], spans: list[Span]) -> float:
    """One trial; its value is that of OneMax, since the cost for the sampler does not depend on the value."""
    bits = [trial.suggest_int(f"bit {locus}", 0, 1) for locus in range(STANDARD_LENGTH)]
    spans.append(work(tasks[trial.number]))
    return float(sum(bits))


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A row of the table: the function that runs the jobs, the package it needs, and the most jobs that it gets."""

    name: str
    run: Callable[[Sequence[Task], int, Path], list[Span]]
    package: str | None = None
    jobs: int = 10_000
    trainings: int = 1000


SYSTEMS = (
    System(name="ours, nothing written", run=ours),
    System(name="ours, weights written", run=functools.partial(ours, weights=True), jobs=0),  # a no-op has none
    System(name="ours, weights written, results sealed", run=functools.partial(ours, weights=True, seal=True)),
    System(name="concurrent.futures process pool", run=process_pool),
    System(name="a spawned process per job", run=process_per_job, jobs=20, trainings=8),
    System(name="Ray Tune", run=ray_tune, package="ray", jobs=20, trainings=8),
    System(name="Ray Tune, actors reused", run=functools.partial(ray_tune, reuse=True), package="ray", jobs=100),
    System(name="Optuna, threads", run=optuna_threads, package="optuna", jobs=200),
    System(name="Optuna, processes and a journal", run=optuna_journal, package="optuna", jobs=200),
)


def draw_jobs(count: int) -> list[TrainingJob]:
    """Trainings of distinct small networks, by a seeded draw."""
    import numpy as np

    from image_data import load_image_data
    from training.protocol import resolve_protocol

    data = load_image_data(DIGITS)
    protocol = resolve_protocol(TrainingConfig(epochs=4, batch_size=32), DIGITS, data.input_shape, gpu=False)
    encoding = Encoding(data.input_shape, data.classes)
    rng = np.random.default_rng(0)
    networks: dict[str, TrainingJob] = {}
    while len(networks) < count:
        bits = rng.integers(2, size=STANDARD_LENGTH)
        bits[list(SMALL)] = 0
        network = encoding.phenotype(Chromosome("".join(map(str, bits))))
        networks[network] = TrainingJob(
            phenotype=NetworkText(network), protocol=protocol, data_fingerprint=data.fingerprint
        )
    return list(networks.values())


def measure(system: System, tasks: Sequence[Task], workers: int) -> tuple[float, list[Span]]:
    """The seconds of start-up and the spans of the tasks; no-ops are preceded by one warm-up for each worker."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not isinstance(tasks[0], TrainingJob):
            tasks = [*tokens(folder / "tokens", workers), *tasks]
        content = [to_json(task) if isinstance(task, TrainingJob) else task for task in tasks]
        (folder / "tasks.json").write_text(json.dumps(content))
        clock = time.time()
        run_fresh(system.name, workers, folder)
        spans = [(begun, ended) for begun, ended in json.loads((folder / "spans.json").read_text())]
    return min(spans)[0] - clock, spans


def run_fresh(name: str, workers: int, folder: Path) -> None:
    """Measures in a fresh interpreter, and ends whatever it leaves behind. Raises RuntimeError if it fails."""
    command = [sys.executable, "-c", "import orchestration; orchestration.measure_here()", name, str(workers)]
    environment = {**os.environ, **ENVIRONMENT}
    with open(folder / "output.txt", "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, str(folder)], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        status = process.wait(TIME_LIMIT)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if status:
        raise RuntimeError((folder / "output.txt").read_text().strip() or f"exit status {status}")


def tokens(folder: Path, workers: int) -> list[str]:
    folder.mkdir()
    paths = [folder / str(place) for place in range(workers)]
    for path in paths:
        path.touch()
    return [str(path) for path in paths]


def measure_here() -> None:
    """What the fresh interpreter of one measurement does."""
    name, workers, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    content = json.loads((folder / "tasks.json").read_text())
    tasks = [task if isinstance(task, str) else from_json(TrainingJob, task) for task in content]
    system = next(system for system in SYSTEMS if system.name == name)
    (folder / "spans.json").write_text(json.dumps(system.run(tasks, workers, folder)))


def row_of(system: System, jobs: int, trainings: Sequence[TrainingJob], workers: int) -> list[str]:
    """The cells of a system, measured."""
    jobs, trainings = min(jobs, system.jobs), trainings[: system.trainings]
    row = [system.name, *["–"] * (len(HEADINGS) - 1)]
    if jobs:
        spans = sorted(measure(system, [""] * jobs, workers)[1])
        warm = min(ended for _, ended in spans[:workers])  # the warm-ups start first
        seconds = max(ended for _, ended in spans) - warm
        row[1:3] = str(jobs), f"{1000 * seconds / jobs:.2f}"
    if trainings:
        start_up, spans = measure(system, trainings, workers)
        wall = max(ended for _, ended in spans) - min(spans)[0]
        inside = sum(ended - begun for begun, ended in spans)
        idle = 1 - inside / (workers * wall)
        row[3:] = str(len(spans)), f"{start_up:.2f}", f"{wall:.2f}", f"{inside:.2f}", f"{100 * idle:.1f} %"
    return row


HEADINGS = ("system", "no-ops", "ms a no-op", "trainings", "start-up s", "wall s", "inside s", "idle")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells))


def describe_versions() -> str:
    packages = [name for name in ("torch", "ray", "optuna") if importlib.util.find_spec(name)]
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{name} {importlib.metadata.version(name)}" for name in packages)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the loss between trainings, ours and that of others.")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="jobs at once (default: 2)")
    parser.add_argument("--jobs", type=int, default=500, metavar="N", help="no-op jobs (default: 500)")
    parser.add_argument("--trainings", type=int, default=40, metavar="N", help="trainings (default: 40)")
    parser.add_argument("--only", default="", metavar="TEXT", help="systems whose name contains this (default: all)")
    options = parser.parse_args()
    print(f"{processor_name()}, {cores()} cores")
    print(describe_versions())
    trainings = draw_jobs(options.trainings)
    rows: list[Sequence[str]] = [HEADINGS]
    for system in SYSTEMS:
        if options.only not in system.name:
            continue
        if system.package and not importlib.util.find_spec(system.package):
            print(f"{system.name} is not installed (pip install -r benchmarks/requirements.txt)")
            continue
        try:
            rows.append(row_of(system, options.jobs, trainings, options.workers))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"{system.name} failed: {error}")
    print_table(rows)


if __name__ == "__main__":
    main()
