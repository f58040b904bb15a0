"""Seconds until a search has found a network of a given validation accuracy: evolution.py against Optuna.

usage: python benchmarks/time_to_accuracy.py
       python benchmarks/time_to_accuracy.py --dataset cifar10.npz --train_limit 10000 --seeds 3 --max_minutes 60
needs: pip install -r benchmarks/requirements.txt

Both search the same space on the same cores, with the same protocol, images and split, and they take turns, so that
other load on the machine affects both. A search is timed from the start of its process, including imports, to
the end of the first training whose validation accuracy after its last epoch reaches the target. A search that
has not reached it after --max_minutes counts with that time, printed as ">"; medians and quartiles that depend
on such a time are bounds and are marked in the same way.

- evolution.py, with its defaults and one worker for each core;
- Optuna's TPESampler with one categorical parameter for each gene, one trial at a time, each trained by the usual
  script (usual_script.py), which uses all cores through its threads and two loader processes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from records import DataConfig, InputError, RunFault, TrainingConfig
from records.command_line import DONE, run_command
from records.flags import Parser, add_settings, given
from records.machine import cores, processor_name
from records.texts import Chromosome, JobKey
from search_space.encoding import Encoding, decode
from search_space.genes import STANDARD_GENES, STANDARD_LENGTH
from storage.directory import RunDirectory
from storage.results import find_result

# Optuna, and modules that import torch, are imported by the process that searches, so that they are timed.
if TYPE_CHECKING:
    import optuna

POLL_SECONDS = 0.05  # between two polls for finished trainings
END_SECONDS = 10  # after which a search that does not end on request is killed
GENERATIONS = 1000  # of evolution.py, which is to continue until it is ended here
SYSTEMS = ("evolution.py", "optuna")


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """The target of both systems, and the time that they may take."""

    data: DataConfig
    epochs: int
    batch_size: int
    target: float  # validation accuracy, 0 to 1
    max_seconds: float

    def flags(self) -> list[str]:
        """Data and training as flags, which are the same for evolution.py and this program."""
        settings = {**asdict(self.data), "epochs": self.epochs, "batch_size": self.batch_size}
        return [part for name, value in settings.items() if value is not None for part in (f"--{name}", str(value))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The outcome of a search: its time, the trainings that had ended by then, and the best accuracy among them."""

    seconds: float
    trainings: int
    best: float


def build_parser() -> Parser:
    parser = Parser(
        prog="time_to_accuracy.py",
        description="Seconds until evolution.py and Optuna have found a network of a given validation accuracy.",
    )
    add_settings(parser, "data", DataConfig, dataset="digits")
    parser.add_argument(
        "--target", type=float, metavar="X", help="validation accuracy (default: digits 0.98, else 0.6)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="epochs of each training (default: digits 8, else 3)")
    parser.add_argument("--batch_size", type=int, metavar="N", help="images in a batch (default: digits 32, else 128)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="searches of each system (default: 5)")
    parser.add_argument("--max_minutes", type=float, default=30.0, metavar="X", help="of one search (default: 30)")
    parser.add_argument("--peer_seed", type=int, help=argparse.SUPPRESS)  # this process is the search with Optuna
    return parser


def goal_of(options: argparse.Namespace) -> Goal:
    """The goal that the flags ask for. Raises `InputError` for invalid values."""
    data = DataConfig(**{"dataset": "digits", **given(options, DataConfig)})
    target, epochs, batch_size = (0.98, 8, 32) if data.dataset == "digits" else (0.6, 3, 128)
    goal = Goal(
        data=data,
        epochs=epochs if options.epochs is None else options.epochs,
        batch_size=batch_size if options.batch_size is None else options.batch_size,
        target=target if options.target is None else options.target,
        max_seconds=60 * options.max_minutes,
    )
    TrainingConfig(epochs=goal.epochs, batch_size=goal.batch_size)
    if not (0 < goal.target <= 1 and goal.max_seconds > 0 and options.seeds >= 1):
        raise InputError("--target must be over 0 and at most 1, --max_minutes over 0, --seeds at least 1")
    return goal


def sealed_accuracies(folder: Path) -> Iterator[list[float]]:
    """Validation accuracies of the trainings that evolution.py has ended, read again at each step; 0 for failures."""
    run = RunDirectory(folder)
    accuracies: dict[str, float] = {}
    while True:
        for path in run.job_files():
            if path.stem not in accuracies and (result := find_result(run, JobKey(path.stem))) is not None:
                accuracies[path.stem] = 0.0 if result.fitness is None else result.fitness.value
        yield list(accuracies.values())


def printed_accuracies(output: Path) -> Iterator[list[float]]:
    """Validation accuracies that the search with Optuna has printed, read again at each step."""
    while True:
        yield [
            float(line) for line in output.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
        ]


def time_search(system: str, seed: int, goal: Goal) -> Found:
    """Times one search in a separate process; the process and its files are removed at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name), Path(name, "output.txt")
        if system == "optuna":
            command, progress = [__file__, "--peer_seed", str(seed)], printed_accuracies(output)
        else:
            command = [str(PROJECT / system), "--seed", str(seed), "--output_dir", str(folder / "run")]
            command += ["--cpu_workers", str(cores()), "--generations", str(GENERATIONS)]
            progress = sealed_accuracies(folder / "run")
        (folder / "temporary").mkdir()
        errors = folder / "errors.txt"
        with open(output, "wb") as out, open(errors, "wb") as err:
            clock = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, *command, *goal.flags()],
                stdout=out,
                stderr=err,
                env={**os.environ, "TMPDIR": str(folder / "temporary")},
                start_new_session=True,  # Ctrl-C is for this process, which then ends the search
            )
            try:
                return _await_target(process, clock, progress, goal)
            except RunFault as fault:
                said = errors.read_text(errors="replace").strip().splitlines()
                raise RunFault(f"{system}, seed {seed}: {fault}: {said[-1] if said else 'nothing was said'}") from fault
            finally:
                _end(process)


def _await_target(process: subprocess.Popen[bytes], clock: float, progress: Iterator[list[float]], goal: Goal) -> Found:
    """Polls until a training has reached the target or time is up. Raises `RunFault` if the search ends before that."""
    while True:
        status = process.poll()
        accuracies = next(progress)
        seconds, best = time.monotonic() - clock, max(accuracies, default=0.0)
        if best >= goal.target or seconds >= goal.max_seconds:
            return Found(seconds=min(seconds, goal.max_seconds), trainings=len(accuracies), best=best)
        if status is not None:
            raise RunFault(f"the search ended with exit status {status} before it had found {goal.target}")
        time.sleep(POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a search and the processes it started: evolution.py ends its own, Optuna's loaders are killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):  # if all of them have ended
        os.killpg(process.pid, signal.SIGKILL)


def search_by_optuna(goal: Goal, seed: int) -> None:
    """Prints the validation accuracy of one training after another, until one reaches the target."""
    import optuna
    from usual_script import train_by_protocol

    from image_data import load_image_data
    from training.protocol import resolve_protocol

    data = load_image_data(goal.data)
    config = TrainingConfig(epochs=goal.epochs, batch_size=goal.batch_size)
    protocol = resolve_protocol(config, goal.data, data.input_shape, gpu=False)
    encoding = Encoding(data.input_shape, data.classes)

    def objective(trial: optuna.Trial) -> float:
        result = train_by_protocol(decode(encoding, suggest_chromosome(trial)), data, protocol, seed=seed)
        print(result.accuracies[-1], flush=True)
        if result.accuracies[-1] >= goal.target:
            trial.study.stop()
        return result.accuracies[-1]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_jobs=1)


def suggest_chromosome(trial: optuna.Trial) -> Chromosome:
    """A chromosome whose genes have the values that Optuna suggests; bits that code for nothing are 0."""
    bits = ["0"] * STANDARD_LENGTH
    for gene in STANDARD_GENES:
        code = gene.values.index(trial.suggest_categorical(gene.name, gene.values))
        for locus, bit in zip(gene.loci, f"{code:0{len(gene.loci)}b}", strict=True):
            bits[locus] = bit
    return Chromosome("".join(bits))


def print_head(goal: Goal, seeds: int) -> None:
    """Prints what is measured, and on which machine."""
    packages = ("torch", "torchvision", "optuna")
    try:
        versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(f"{error.name} is missing; pip install -r benchmarks/requirements.txt") from error
    limit = f", {goal.data.train_limit:,} images" if goal.data.train_limit else ""
    print(f"seconds until a network has a validation accuracy of {goal.target:g}, {seeds} seeds")
    print(f"{Path(goal.data.dataset).name}{limit}; --epochs {goal.epochs} --batch_size {goal.batch_size}")
    print(f"{cores()} cores of {processor_name()}, {platform.system()}; Python {platform.python_version()}, {versions}")
    print(f"\n{'':13}" + "".join(f"{system:>14} trainings   best" for system in SYSTEMS))


def print_summary(seconds: dict[str, list[float]], max_seconds: float) -> None:
    """Prints median and quartiles of both systems, and the ratio of the medians; ">" and "<" mark bounds."""
    for name, percent in (("lower quartile", 25), ("median", 50), ("upper quartile", 75)):
        cells = [in_words(*percentile(seconds[system], percent, max_seconds)) for system in SYSTEMS]
        print(f"{name:14}{cells[0]:>13}{cells[1]:>31}")
    (ours, ours_is_bound), (peer, peer_is_bound) = (percentile(seconds[each], 50, max_seconds) for each in SYSTEMS)
    sign = {(True, False): "<", (False, True): ">", (True, True): "unknown, about "}.get((ours_is_bound, peer_is_bound))
    print(f"ratio of medians, optuna to evolution.py: {sign or ''}{peer / ours:.2f}")


def percentile(seconds: Sequence[float], percent: float, max_seconds: float) -> tuple[float, bool]:
    """A percentile, and whether it is only a bound because it depends on a search that was cut off."""
    is_bound = bool(np.percentile(seconds, percent, method="higher") >= max_seconds)
    return float(np.percentile(seconds, percent)), is_bound


def in_words(seconds: float, is_bound: bool) -> str:
    return f"{'>' if is_bound else ''}{seconds:.1f} s"


def compare(goal: Goal, seeds: int) -> None:
    print_head(goal, seeds)
    seconds: dict[str, list[float]] = {system: [] for system in SYSTEMS}
    for seed in range(seeds):
        found: dict[str, Found] = {}
        for system in SYSTEMS if seed % 2 == 0 else SYSTEMS[::-1]:
            found[system] = time_search(system, seed, goal)
            seconds[system].append(found[system].seconds)
        cells = [
            f"{in_words(each.seconds, each.best < goal.target):>14}{each.trainings:>10} {each.best:.4f}"
            for each in (found[system] for system in SYSTEMS)
        ]
        print(f"{f'seed {seed}':13}" + "".join(cells), flush=True)
    print_summary(seconds, goal.max_seconds)


def main(arguments: Sequence[str]) -> int:
    options = build_parser().parse(arguments)
    goal = goal_of(options)
    if options.peer_seed is not None:
        search_by_optuna(goal, options.peer_seed)
    else:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it leaves nothing behind either
        compare(goal, options.seeds)
    return DONE


if __name__ == "__main__":
    run_command(main)
