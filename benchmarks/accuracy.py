"""Whether what makes training fast changes what it comes to: accuracies and rankings, bfloat16 against float32.

usage: python benchmarks/accuracy.py [--seeds N] [--networks N] [--data_dir DIR] [--skip fashion_mnist]

1. Seeds: networks of three sizes, N seeds each (default 10), on digits (8 epochs, batch 32) and, but for the largest,
   on 4,000 images of Fashion-MNIST (3 epochs): validation accuracy by our training in bfloat16, with all that is on by
   default, and in float32, which leaves out bfloat16 and the matrix products on small maps; with --usual_script also by
   benchmarks/usual_script.py with tensors in memory. Means, standard deviations, and the difference of the means with
   its standard error.
2. Ranking: Kendall's τ over N random networks (default 40) on digits, between bfloat16 and float32, and between two
   seeds of float32.

Trainings run on one worker process for each core.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing.pool
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from training_speed import NETWORKS

from image_data import ImageData, load_image_data
from image_data.tensors import to_device
from records import DataConfig, TrainingConfig, TrainingJob
from records.machine import cores, processor_name
from records.texts import Chromosome
from search_space.architecture import network_text
from search_space.encoding import Encoding, decode
from train_model import train_model
from training.device import prepare_device
from training.protocol import resolve_protocol

TASKS = {
    "digits": (DataConfig(dataset="digits"), TrainingConfig(epochs=8, batch_size=32)),
    "fashion_mnist": (DataConfig(dataset="fashion_mnist", train_limit=4000), TrainingConfig(epochs=3)),
}
RANKING = TrainingConfig(epochs=2, batch_size=32)  # short enough for accuracies to differ
SLOW = ("fashion_mnist", "large")  # five minutes a training in float32
WAYS = ("bfloat16", "float32")


@dataclass(frozen=True)
class Trial:
    """One training: which images, how, what, and with which seed."""

    task: str
    way: str
    chromosome: Chromosome
    seed: int
    protocol: TrainingConfig
    data_dir: str


@cache
def images_of(task: str, data_dir: str) -> tuple[DataConfig, ImageData]:
    config = replace(TASKS[task][0], data_dir=data_dir)
    return config, load_image_data(config)


def run(trial: Trial) -> float:
    """Validation accuracy after the last epoch."""
    device = prepare_device("cpu", 1, deterministic=False)
    config, images = images_of(trial.task, trial.data_dir)
    architecture = decode(Encoding(images.input_shape, images.classes), trial.chromosome)
    protocol = resolve_protocol(trial.protocol, config, images.input_shape, gpu=False)
    if trial.way == "usual script":
        from usual_script import train_by_protocol

        result = train_by_protocol(architecture, images, protocol, in_memory=True, threads=1, seed=trial.seed)
        return result.accuracies[-1]
    job = TrainingJob(
        phenotype=network_text(architecture),
        protocol=replace(protocol, precision=trial.way),
        data_fingerprint="",
        replicate=trial.seed,
    )
    fitness = train_model(job, to_device(images, device), device)[0].fitness
    return math.nan if fitness is None else fitness.value


def kendall(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's τ-b, which allows for ties."""
    pairs = list(itertools.combinations(range(len(first)), 2))
    signs = [(np.sign(first[i] - first[j]), np.sign(second[i] - second[j])) for i, j in pairs]
    agreement = sum(one * two for one, two in signs)
    return float(agreement / math.sqrt(sum(one != 0 for one, _ in signs) * sum(two != 0 for _, two in signs)))


def seeds_table(
    pool: multiprocessing.pool.Pool, tasks: Sequence[str], ways: Sequence[str], seeds: int, data_dir: str
) -> None:
    print(f"\n{'data':14}{'network':9}" + "".join(f"{way:>18}" for way in ways) + f"{'bfloat16 − float32':>21}")
    for task, (name, chromosome) in itertools.product(tasks, NETWORKS.items()):
        if (task, name) == SLOW:
            continue
        protocol = TASKS[task][1]
        trials = [
            Trial(task, way, Chromosome(chromosome), seed, protocol, data_dir) for way in ways for seed in range(seeds)
        ]
        values = pool.map(run, trials, chunksize=1)
        groups = [values[start : start + seeds] for start in range(0, len(values), seeds)]
        cells = [f"{statistics.mean(group):.4f} ± {statistics.stdev(group):.4f}" for group in groups]
        gap = statistics.mean(groups[0]) - statistics.mean(groups[1])
        error = math.sqrt(sum(statistics.variance(group) / seeds for group in groups[:2]))
        print(
            f"{task:14}{name:9}" + "".join(f"{cell:>18}" for cell in cells) + f"{f'{gap:+.4f} ± {error:.4f}':>21}",
            flush=True,
        )


def ranking(pool: multiprocessing.pool.Pool, networks: int, data_dir: str) -> None:
    draws = np.random.default_rng(0).integers(0, 2, (networks, 19))
    chromosomes = ["".join(map(str, bits)) for bits in draws]
    ways = (("bfloat16", 0), ("float32", 1), ("float32", 2))
    trials = [
        Trial("digits", way, Chromosome(bits), seed, RANKING, data_dir) for way, seed in ways for bits in chromosomes
    ]
    values = pool.map(run, trials, chunksize=1)
    rounded, exact, again = (values[start : start + networks] for start in range(0, len(values), networks))
    print(f"\nKendall's τ over {networks} networks on digits, {RANKING.epochs} epochs:")
    print(f"bfloat16 and float32 {kendall(rounded, exact):.3f}, and another seed of float32 "
          f"{kendall(rounded, again):.3f}, two float32 seeds {kendall(exact, again):.3f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--data_dir", default="data", help="where torchvision's data sets are")
    parser.add_argument("--skip", choices=TASKS, help="leave a data set out")
    parser.add_argument("--usual_script", action="store_true", help="train by the usual script as well")
    options = parser.parse_args()
    ways = [*WAYS, "usual script"] if options.usual_script else WAYS
    import torch

    print(f"{processor_name()}, {cores()} cores; Python {platform.python_version()}, torch {torch.__version__};")
    print(f"{options.seeds} seeds, {time.strftime('%Y-%m-%d')}")
    tasks = [task for task in TASKS if task != options.skip]
    with multiprocessing.get_context("spawn").Pool(cores()) as pool:
        seeds_table(pool, tasks, ways, options.seeds, options.data_dir)
        ranking(pool, options.networks, options.data_dir)


if __name__ == "__main__":
    main()
