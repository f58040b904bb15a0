"""Memory: the expected and the measured memory of trainings, and the memory of the processes of a run.

usage: python benchmarks/memory.py [--dataset cifar10.npz] [--networks N]

1. N random networks (default 8), each trained in a fresh process for four batches of 128 random 32×32 images: the
   growth of the process's resident memory from before the training to its peak, compared with ModelCost.memory, by
   which jobs are rejected, split into micro-batches, or made to wait.
2. A run of the real program, on --dataset or otherwise on digits: the proportional set size (PSS) of the main process
   and of each worker, in which memory shared by n processes counts as 1/n for each, and the unique set size (USS).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from records.machine import KEEP_PAGES, cores, processor_name
from records.texts import Chromosome
from search_space.cost import model_cost
from search_space.encoding import Encoding, decode

ROOT = Path(__file__).parent.parent
SHAPE, CLASSES, BATCH = (3, 32, 32), 10, 128
MIB = 2**20
WATCH_SECONDS = 90


def status(name: str, process: str = "self", file: str = "status") -> int:
    """An entry of a file of /proc, in bytes."""
    text = Path("/proc", process, file).read_text(encoding="utf-8")
    return 1024 * int(text.split(f"{name}:")[1].split()[0])


def measure(chromosome: Chromosome) -> None:
    """Prints by how many bytes this process grows while it trains a network."""
    import torch

    from image_data.tensors import TrainingData
    from records import DataConfig, TrainingConfig, TrainingJob
    from train_model import train_model
    from training.device import prepare_device
    from training.protocol import resolve_protocol

    device = prepare_device("cpu", 1, deterministic=False)
    images = torch.randint(0, 256, (4 * BATCH, *SHAPE[1:], SHAPE[0]), dtype=torch.uint8).permute(0, 3, 1, 2)
    labels = torch.randint(0, CLASSES, (len(images),))
    data = TrainingData(images, labels, images[:500], labels[:500], [127.5] * 3, [74.0] * 3)
    protocol = resolve_protocol(TrainingConfig(epochs=1), DataConfig(), SHAPE, gpu=False)
    encoding = Encoding(SHAPE, CLASSES)

    def train(bits: str) -> int:
        job = TrainingJob(phenotype=encoding.network(Chromosome(bits)), protocol=protocol, data_fingerprint="")
        return train_model(job, data, device)[0].cost.peak_memory or 0

    train("0000000000001111111")  # what torch loads once and keeps
    before = status("VmRSS")
    print(train(chromosome) - before, protocol.precision)


def expected_against_measured(count: int) -> None:
    print(f"{'chromosome':21}{'MFLOPs':>8}{'expected, MiB':>15}{'measured, MiB':>15}{'ratio':>7}")
    ratios = []
    for bits in np.random.default_rng(1).integers(0, 2, (count, 19)):
        chromosome = "".join(map(str, bits))
        command = [sys.executable, __file__, "--measure", chromosome]
        environment = {**os.environ, **KEEP_PAGES, "OMP_NUM_THREADS": "1"}
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
        cost = model_cost(decode(Encoding(SHAPE, CLASSES), Chromosome(chromosome)))
        expected, measured = cost.memory(2 if answer[1] == "bfloat16" else 4).bytes(BATCH), int(answer[0])
        ratios.append(expected / measured)
        print(
            f"{chromosome:21}{cost.flops / 1e6:8.0f}{expected / MIB:15.0f}{measured / MIB:15.0f}{ratios[-1]:7.2f}",
            flush=True,
        )
    print(f"expected over measured: {min(ratios):.2f} to {max(ratios):.2f}, median {np.median(ratios):.2f}")


def watch_run(dataset: str) -> None:
    """The peaks of the processes of a run, sampled ten times a second while all of them are alive."""
    print(f"\n{'process of a run on ' + Path(dataset).name:32}{'peak PSS, MiB':>15}{'peak USS, MiB':>15}")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "evolution.py"), "--dataset", dataset, "--generations", "1"]
        command += ["--population", "4", "--epochs", "1", "--output_dir", folder]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peaks: dict[str, tuple[int, int]] = {}
        begin = time.monotonic()
        while run.poll() is None and time.monotonic() - begin < WATCH_SECONDS:
            time.sleep(0.1)
            for process in [str(run.pid), *children(run.pid)]:
                try:
                    pss = status("Pss", process, "smaps_rollup")
                    uss = status("Private_Clean", process, "smaps_rollup") + status(
                        "Private_Dirty", process, "smaps_rollup"
                    )
                except (OSError, IndexError):
                    continue  # it has just ended
                before = peaks.get(process, (0, 0))
                peaks[process] = (max(before[0], pss), max(before[1], uss))
        run.terminate()
        run.wait()
    for process, (pss, uss) in peaks.items():
        name = "main" if process == str(run.pid) else "worker"
        print(f"{name:32}{pss / MIB:15.0f}{uss / MIB:15.0f}")


def children(parent: int) -> list[str]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="data set of the run that is watched")
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--measure", metavar="BITS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    print(f"{processor_name()}, {cores()} cores; batch {BATCH}, {SHAPE[1]}×{SHAPE[2]}×{SHAPE[0]}\n")
    expected_against_measured(options.networks)
    watch_run(options.dataset)


if __name__ == "__main__":
    main()
