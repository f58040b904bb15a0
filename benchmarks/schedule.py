"""How near the order of jobs comes to the best possible schedule, on recorded training times, for 2 to 64 devices.

usage: python benchmarks/schedule.py [--run FOLDER] [--generations N]

Training times come from a finished run (its folder), or else from 40 networks trained here, for one epoch of
scikit-learn's digits. Generations of 2.5 jobs for each device are drawn from them (seeded, with replacement) and pass
through the real JobQueue and the real TrainingTime, on a clock that is simulated. Efficiency is the best possible
duration over the one reached: no schedule ends before its longest job, nor before all devices have shared the sum.

- in the order asked: the order of the population.
- longest FLOPs first.
- longest first as learned: FLOPs at first, corrected by the generations before.
- longest first, times known: what a perfect forecast would reach.
"""

from __future__ import annotations

import argparse
import heapq
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from job_queue import JobQueue
from records import TrainingConfig, TrainingJob, TrainingResult
from records.costs import Cost
from records.machine import cores, processor_name
from records.texts import Chromosome, JobKey, NetworkText
from records.trainings import Epoch
from run.training_time import Effort, TrainingTime
from search_space.architecture import architecture_of
from search_space.encoding import Encoding
from storage.checkpoint import load_state

DEVICES, JOBS_PER_DEVICE = (2, 8, 64), 2.5
NETWORKS, BATCH = 40, 32


@dataclass(frozen=True)
class Recorded:
    """A network that was trained, and the seconds it took."""

    effort: Effort
    seconds: float


def from_run(folder: Path) -> list[Recorded]:
    """The trainings of a finished run."""
    _, state = load_state(folder)
    encoding = Encoding(state.facts.input_shape, len(state.facts.class_names))
    seen: dict[str, Recorded] = {}
    for generation in state.generations:
        for individual in generation.individuals:
            result = state.results[individual.jobs[0]]
            if result.status == "done":
                architecture = architecture_of(encoding.phenotype(individual.chromosome))
                images = state.facts.train_images * len(result.epochs)
                effort = Effort(architecture, images, state.training.batch_size)
                seen[result.key] = Recorded(effort, result.cost.seconds)
    return list(seen.values())


def from_digits() -> list[Recorded]:
    """Random networks trained here, one after the other."""
    import torch

    from image_data import load_image_data
    from image_data.tensors import to_device
    from records import DataConfig
    from train_model import train_model
    from training.device import prepare_device
    from training.protocol import resolve_protocol

    config = DataConfig(dataset="digits")
    device = prepare_device("cpu", 1, deterministic=False)
    images = load_image_data(config)
    data, encoding = to_device(images, device), Encoding(images.input_shape, images.classes)
    protocol = TrainingConfig(epochs=1, batch_size=BATCH)
    protocol = resolve_protocol(protocol, config, images.input_shape, gpu=False)
    recorded = []
    for bits in np.random.default_rng(0).integers(0, 2, (1 + NETWORKS, encoding.length)):
        network = encoding.phenotype(Chromosome("".join(map(str, bits))))
        job = TrainingJob(phenotype=NetworkText(network), protocol=protocol, data_fingerprint=images.fingerprint)
        result, _ = train_model(job, data, torch.device("cpu"))
        recorded.append(Recorded(Effort(architecture_of(network), len(data.images), BATCH), result.cost.seconds))
    return recorded[1:]  # the first of a process pays for what is loaded on first use


def duration(generation: Sequence[Recorded], devices: int, work: Callable[[int, Recorded], float]) -> float:
    """Seconds until the last job of a generation has ended."""
    queue, protocol = JobQueue(), TrainingConfig()
    for number, item in enumerate(generation):
        job = TrainingJob(phenotype=NetworkText(str(number)), protocol=protocol, data_fingerprint="")
        queue.add(job, name=str(number), work=work(number, item))
    now, running = 0.0, [(0.0, "")] * devices  # when each device falls free, and the key of its job
    while not queue.is_finished:
        now, key = heapq.heappop(running)
        if key:
            queue.finish(TrainingResult(key=JobKey(key), status="done", epochs=(Epoch(train_loss=0.0),), cost=Cost()))
        attempt = queue.start()
        if attempt is not None:
            heapq.heappush(running, (now + generation[int(attempt.name)].seconds, attempt.key))
    return now


def efficiencies(recorded: list[Recorded], devices: int, generations: int) -> dict[str, list[float]]:
    """Best possible over reached duration of each generation, by the order of jobs."""
    generator = np.random.default_rng(devices)
    reached: dict[str, list[float]] = {}
    learned: list[tuple[Effort, float]] = []
    for number in range(generations):
        if number % 10 == 0:
            learned = []  # another run
        chosen = generator.integers(0, len(recorded), round(JOBS_PER_DEVICE * devices))
        generation = [recorded[index] for index in chosen]
        best = max(max(item.seconds for item in generation), sum(item.seconds for item in generation) / devices)
        times = TrainingTime(learned)
        orders: dict[str, Callable[[int, Recorded], float]] = {
            "in the order asked": lambda place, item: -place,
            "longest FLOPs first": lambda place, item: float(item.effort.features[0]),
            "longest first as learned": lambda place, item, times=times: times.seconds(item.effort),  # type: ignore[misc]
            "longest first, times known": lambda place, item: item.seconds,
        }
        for name, work in orders.items():
            reached.setdefault(name, []).append(best / duration(generation, devices, work))
        learned += [(item.effort, item.seconds) for item in generation]
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a finished run whose training times are used")
    parser.add_argument("--generations", type=int, default=200)
    options = parser.parse_args()
    recorded = from_run(options.run) if options.run else from_digits()
    seconds = [item.seconds for item in recorded]
    print(f"{processor_name()}, {cores()} cores; {len(recorded)} recorded trainings of {min(seconds):.2f} to")
    print(f"{max(seconds):.2f} s, median {statistics.median(seconds):.2f}; {options.generations} generations each\n")
    print(f"{'order':28}" + "".join(f"{f'{devices} devices':>22}" for devices in DEVICES))
    columns = [efficiencies(recorded, devices, options.generations) for devices in DEVICES]
    for name in columns[0]:
        cells = [f"{statistics.mean(column[name]):.3f} (lowest {min(column[name]):.2f})" for column in columns]
        print(f"{name:28}" + "".join(f"{cell:>22}" for cell in cells))


if __name__ == "__main__":
    main()
