"""Images per second of training on CPU cores: ours, the usual script, and what lies between them, side by side.

usage: python benchmarks/training_speed.py [--rounds N] [--shapes 32x32x3 28x28x1] [--networks small middle large]
       [--compile]

Every row is one or two processes that train the same network on the same random images, batch 128. All rows of a
network are alive at once, and take turns in slices of seconds (A B C … C B A …), so that they meet the same machine.
The figure is the median over the rounds, of all images of a row's processes together; quartiles beside it.

- usual script (a): benchmarks/usual_script.py with a DataLoader of 2 workers and torch's own threads.
- usual script, two at once: (a) twice, one thread each, as many trainings at once as we run.
- tensors in memory (b): the same script without DataLoader and PIL; once, and two at once.
- our trainer, one at a time: our training in one process with one thread for each core, as a script that trains one
  network after the other would use it: the difference to (a) is the trainer's, that to the last row the workers'.
- steps from (b) to ours, each added to those above it, two processes of one thread each; for the first shape only.
- ours: one worker of one thread for each core.

MFU is the share of the matrix products' own rate, measured in the same processes at the same time (bfloat16, the best
of three sizes), that 3 × FLOPs × images/s comes to; FLOPs as model_cost counts them, products with padding included.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent))

from records.machine import KEEP_PAGES, cores, processor_name
from records.texts import Chromosome
from search_space.architecture import Architecture
from search_space.cost import model_cost
from search_space.encoding import Encoding, decode

if TYPE_CHECKING:
    from training.loop import TrainingLoop

NETWORKS = {"small": "0000100000001111111", "middle": "0100100000001011011", "large": "1101000000001111111"}
IMAGES, BATCH, PADDING, CLASSES = 25_600, 128, 2, 10
UNTIMED, TIMED = 0.6, 1.2  # seconds of a slice; the first let a DataLoader use up what it holds ready
MATRICES = ((1024, 1024, 1024), (2048, 1024, 1024), (4096, 1152, 128))
Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Row:
    """A way to train, in so many processes with so many threads each (0: torch's own number)."""

    name: str
    way: str
    processes: int
    threads: int
    environment: dict[str, str] = field(default_factory=dict)


def rows(with_steps: bool, with_compile: bool) -> list[Row]:
    """The contestants; `with_steps` with those between the usual script and ours."""
    n, quiet = cores(), {"OMP_NUM_THREADS": "1"}
    kept = {**quiet, **KEEP_PAGES}
    usual = [
        Row("usual script (a)", "usual", 1, 0),
        Row("usual script, two at once", "usual", n, 1, quiet),
        Row("tensors in memory (b)", "memory", 1, 0),
    ]
    steps = [
        Row("tensors in memory, two at once", "memory", n, 1, quiet),
        Row("+ uint8 windows, normalised in the network", "windows", n, 1, quiet),
        Row("+ channels_last", "channels_last", n, 1, quiet),
        Row("+ bfloat16", "bfloat16", n, 1, quiet),
        Row("+ fused optimizer", "fused", n, 1, quiet),
        Row("+ memory kept", "fused", n, 1, kept),
    ]
    ours = [Row("our trainer, one at a time", "ours", 1, n, KEEP_PAGES), Row("ours", "ours", n, 1, kept)]
    compiled = [Row("ours, compiled", "compiled", n, 1, kept)]
    return usual + (steps if with_steps else []) + ours + (compiled if with_compile else [])


def make_step(way: str, architecture: Architecture) -> Callable[[], object]:
    """A function that makes one step of training on 128 images. Imports torch, so that rows can set their threads."""
    import numpy as np
    from usual_script import Training, loader_batches, tensor_batches

    generator = np.random.default_rng(0)
    channels, height, width = architecture.input_shape
    images = generator.integers(0, 256, (IMAGES, height, width, channels), dtype=np.uint8)
    data = (images, generator.integers(0, CLASSES, IMAGES))
    if way in ("usual", "memory"):
        from usual_script import usual_network

        training = Training(usual_network(architecture), 1_000_000, 0.1)
        make = functools.partial(loader_batches, workers=2) if way == "usual" else tensor_batches
        parts = make(data, data, batch_size=BATCH, flip=True, padding=PADDING)
        batches = itertools.chain.from_iterable(itertools.repeat(parts[0]))
        return lambda: training.run(itertools.islice(batches, 1))
    if way in ("ours", "compiled"):
        return our_step(architecture, data, compiled=way == "compiled")
    return half_way_step(way, architecture, data)


def our_step(architecture: Architecture, data: tuple[object, object], compiled: bool) -> Callable[[], object]:
    import torch

    from model_generator import build_model
    from records import TrainingConfig
    from training.loop import TrainingLoop

    images, labels = (torch.as_tensor(part) for part in data)
    channels = architecture.input_shape[0]
    model = build_model(architecture, [127.5] * channels, [74.0] * channels).to(memory_format=torch.channels_last)
    if compiled:
        model.compile()
    protocol = TrainingConfig(epochs=10_000, crop_padding=PADDING, flip="on", precision="bfloat16", cuda_graph="off")
    loop = TrainingLoop(protocol, model.train(), (images.permute(0, 3, 1, 2), labels), BATCH, seed=0)
    return steps_of(loop)


def steps_of(loop: TrainingLoop) -> Callable[[], None]:
    """A function that makes one step after the other, through as many epochs as it takes."""
    places = itertools.cycle(range(loop.steps))

    def step() -> None:
        if next(places) == 0:
            loop.start_epoch()
        loop.advance()

    return step


def half_way_step(way: str, architecture: Architecture, data: tuple[object, object]) -> Callable[[], object]:
    """The usual network and optimizer with the first of our steps, up to the one that is named."""
    import torch
    from torch import nn
    from usual_script import Training, usual_network

    from model_generator import Normalize
    from training.augmentation import augment

    reached = ("windows", "channels_last", "bfloat16", "fused").index(way)
    images, labels = (torch.as_tensor(part) for part in data)  # (N, H, W, C), (N,)
    channels = architecture.input_shape[0]
    network = nn.Sequential(Normalize([127.5] * channels, [74.0] * channels), usual_network(architecture))
    if reached >= 1:
        network.to(memory_format=torch.channels_last)
    training = Training(network, 1_000_000, 0.1, fused=reached >= 3)
    generator = torch.Generator().manual_seed(0)
    precision = torch.autocast("cpu", torch.bfloat16, enabled=reached >= 2)

    def step() -> None:
        chosen = torch.randint(IMAGES, (BATCH,), generator=generator)
        batch = augment(images[chosen].permute(0, 3, 1, 2), PADDING, True, generator)
        with precision:
            training.run([(batch if reached >= 1 else batch.contiguous(), labels[chosen])])

    return step


def serve(pipe: Connection, row: Row, architecture: Architecture) -> None:
    """The life of one process: a slice of training, or of matrix products, whenever it is told."""
    import torch

    multiprocessing.set_start_method("fork", force=True)  # a script's own default; a DataLoader would spawn here
    if row.threads:
        torch.set_num_threads(row.threads)
    clock = time.perf_counter()
    step = make_step(row.way, architecture)
    step()
    step()
    pipe.send(time.perf_counter() - clock)
    try:
        while True:
            pipe.send(matrix_rate() if pipe.recv() == "matrices" else timed_slice(step))
    except EOFError:
        pass  # the benchmark has ended


def timed_slice(step: Callable[[], object]) -> float:
    """Images per second of one slice."""
    clock, images = time.perf_counter(), 0
    while time.perf_counter() - clock < UNTIMED:
        step()
    clock = time.perf_counter()
    while images < 2 * BATCH or time.perf_counter() - clock < TIMED:
        step()
        images += BATCH
    return images / (time.perf_counter() - clock)


def matrix_rate() -> float:
    """FLOPs per second of a bfloat16 matrix product, the best of three sizes."""
    import torch

    best = 0.0
    for rows, inner, columns in MATRICES:
        left, right = torch.randn(rows, inner).bfloat16(), torch.randn(columns, inner).bfloat16().T
        for _ in range(5):
            left @ right
        clock, count = time.perf_counter(), 0
        while time.perf_counter() - clock < 0.2:
            left @ right
            count += 1
        best = max(best, 2 * rows * inner * columns * count / (time.perf_counter() - clock))
    return best


class Contestant:
    """The processes of a row, and what they have reached."""

    def __init__(self, row: Row, pipes: list[Connection]) -> None:
        self.row, self.pipes = row, pipes
        self.start_seconds = max(pipe.recv() for pipe in pipes)
        self.speeds: list[float] = []

    def ask(self, what: str) -> float:
        """The sum over the processes, all at work at once."""
        for pipe in self.pipes:
            pipe.send(what)
        answers: list[float] = [pipe.recv() for pipe in self.pipes]
        return sum(answers)


@contextmanager
def contestant(row: Row, architecture: Architecture) -> Iterator[Contestant]:
    context = multiprocessing.get_context("spawn")
    before = dict(os.environ)
    os.environ.update(row.environment)
    processes, pipes = [], []
    for _ in range(row.processes):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, row, architecture)))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    os.environ.clear()
    os.environ.update(before)
    try:
        yield Contestant(row, pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join()


def compete(name: str, shape: Shape, listed: list[Row], rounds: int) -> None:
    """Prints the table of one network on one shape of images."""
    architecture = decode(Encoding(shape, CLASSES), Chromosome(NETWORKS[name]))
    cost = model_cost(architecture)
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(contestant(row, architecture)) for row in listed]
        ours = next(each for each in all_of_them if each.row.name == "ours")
        matrices = []
        for number in range(rounds):
            matrices.append(ours.ask("matrices"))
            for each in all_of_them if number % 2 == 0 else reversed(all_of_them):
                each.speeds.append(each.ask("steps"))
    rate, (one, many) = statistics.median(matrices), (statistics.median(each.speeds) for each in all_of_them[:2])
    print(f"\n{name}, {shape[1]}×{shape[2]}×{shape[0]}: {architecture.describe()}, {cost.flops / 1e6:.0f} MFLOPs")
    print(f"matrix products {rate / 1e12:.2f} TFLOP/s on all cores; {rounds} rounds")
    print(f"{'':44}{'images/s':>9}{'quartiles':>16}{'× (a)':>8}{'× two (a)':>11}{'MFU':>6}")
    for each in all_of_them:
        low, median, high = statistics.quantiles(each.speeds, n=4)
        share = 3 * cost.flops * median / rate
        started = f"   {each.start_seconds:.0f} s to compile" if each.row.way == "compiled" else ""
        print(
            f"{each.row.name:44}{median:9,.0f}{f'{low:,.0f}–{high:,.0f}':>16}"
            f"{median / one:8.2f}{median / many:11.2f}{share:6.2f}{started}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", nargs="+", default=["32x32x3", "28x28x1"], help="height x width x channels")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--compile", action="store_true", help="torch.compile as well; minutes more")
    options = parser.parse_args()

    import torch
    import torchvision

    print(f"{processor_name()}, {cores()} cores; Python {platform.python_version()}, torch {torch.__version__},")
    print(f"torchvision {torchvision.__version__}; batch {BATCH}, {time.strftime('%Y-%m-%d')}")
    for text in options.shapes:
        height, width, channels = map(int, text.split("x"))
        for name in options.networks:
            listed = rows(text == options.shapes[0], options.compile and text == options.shapes[0])
            compete(name, (channels, height, width), listed, options.rounds)


if __name__ == "__main__":
    main()
