"""All that is to be known of one GPU in one go, eight minutes at most by plan: steps, CUDA graphs, trainings at once.

usage: python benchmarks/gpu_speed.py [--dataset cifar10.npz] [--seconds S]
       python benchmarks/gpu_speed.py --device cpu --networks small --counts 1 2 --seconds 0.1

1. Images per second and seconds for 50,000 images of three networks at batch 64, 128 and 512: the usual script with
   its pictures on disk (ImageFolder, at most 8 loader workers), our loop eager in float32, eager in bfloat16 and
   channels_last, compiled (its seconds apart), and captured as a CUDA graph (its seconds apart).
2. 1, 2, 4, 8 and 16 trainings at once on the GPU, as processes, as processes under NVIDIA's MPS where its daemon can be
   started, and as captured graphs on streams of one process; times the speed of one.
3. With --dataset: one network trained to 94% on the CIFAR-10 test images, seconds of training.

Each figure is the median of five slices after warm-up. GPU utilisation is read through nvidia-ml-py, where it is
installed. `--device cpu` walks through the same code on a CPU, to see that it works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from training_speed import CLASSES, NETWORKS, steps_of
from usual_script import Training, usual_network

from image_data import ImageData, load_image_data
from image_data.tensors import image_tensor, to_device
from model_generator import build_model
from records import DataConfig, TrainingConfig, TrainingJob
from records.machine import cores
from records.texts import Chromosome, NetworkText
from search_space.architecture import network_text
from search_space.cost import model_cost
from search_space.encoding import Encoding, decode
from train_model import train_model
from training.device import prepare_device
from training.loop import TrainingLoop, capture_cuda_graph
from training.metrics import accuracy_and_loss, predict
from training.protocol import resolve_protocol

SLICES = 5
IMAGES = 10_240
EPOCH = 50_000
SHAPE = (3, 32, 32)
PICTURES = 2_048
# A wide network of the 19-bit space, and a schedule for it; what the search of a person's own would hand over.
GOOD_NETWORK, GOOD_EPOCHS = "1100100000000000000", 30


@dataclass(frozen=True)
class Way:
    """How our loop is run."""

    name: str
    precision: str = "bfloat16"
    channels_last: bool = True
    compiled: bool = False
    graph: bool = False


WAYS = (
    Way("eager float32", precision="float32", channels_last=False),
    Way("eager bfloat16 channels_last"),
    Way("compiled", compiled=True),
    Way("CUDA graph", graph=True),
)


def random_data(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (IMAGES, *SHAPE[1:], SHAPE[0]), dtype=np.uint8)
    return image_tensor(images, device), torch.from_numpy(generator.integers(0, CLASSES, IMAGES)).to(device)


def make_loop(way: Way, name: str, batch: int, device: torch.device) -> TrainingLoop:
    """A training that is warm: compiled or captured where the way says so."""
    architecture = decode(Encoding(SHAPE, CLASSES), Chromosome(NETWORKS[name]))
    model = build_model(architecture, [127.5] * 3, [74.0] * 3).to(device)
    if way.channels_last:
        model.to(memory_format=torch.channels_last)
    if way.compiled:
        model.compile()
    protocol = TrainingConfig(
        epochs=1000,
        batch_size=batch,
        crop_padding=2,
        flip="on",
        precision=way.precision,
        cuda_graph="on" if way.graph else "off",
    )
    capture = capture_cuda_graph if device.type == "cuda" else None
    return TrainingLoop(protocol, model, random_data(device), micro_batch=batch, seed=0, capture=capture)


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def warm_up(step: Callable[[], None], device: torch.device, steps: int = 8) -> float:
    """Seconds of the first steps: with compiling, or capturing."""
    clock = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for(device)
    return time.perf_counter() - clock


def slice_speed(step: Callable[[], object], batch: int, device: torch.device, seconds: float) -> float:
    """Images per second of one slice; the device has finished all of them."""
    clock, images = time.perf_counter(), 0
    while time.perf_counter() - clock < seconds:
        for _ in range(4):
            step()
            images += batch
        wait_for(device)
    return images / (time.perf_counter() - clock)


def side_stream(device: torch.device) -> AbstractContextManager[object]:
    """Captures must not happen on the default stream."""
    return torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()


def measure_way(way: Way, name: str, batch: int, device: torch.device, seconds: float) -> tuple[float, float, str]:
    """Median images per second, the seconds of the first steps, and why there is no graph."""
    with side_stream(device):
        loop = make_loop(way, name, batch, device)
        step = steps_of(loop)
        first = warm_up(step, device)
        speeds = [slice_speed(step, batch, device, seconds) for _ in range(SLICES)]
    return statistics.median(speeds), first, loop.eager_because


def write_pictures(folder: Path) -> None:
    """A folder of class folders with PNG files, as ImageFolder reads them."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for number in range(PICTURES):
        place = folder / str(number % CLASSES)
        place.mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (*SHAPE[1:], SHAPE[0]), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")


def measure_usual(folder: Path, name: str, batch: int, device: torch.device, seconds: float) -> float:
    """Images per second of the usual script: pictures on disk, PIL, a DataLoader, float32, eager."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.RandomCrop(SHAPE[1:], padding=2),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    pictures = datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(
        pictures, batch, shuffle=True, num_workers=min(8, cores()), drop_last=True, pin_memory=device.type == "cuda",
        persistent_workers=True,
    )  # fmt: skip
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    network = usual_network(decode(Encoding(SHAPE, CLASSES), Chromosome(NETWORKS[name]))).to(device)
    training = Training(network, 1_000_000, 0.1)

    def step() -> None:
        images, labels = next(batches)
        training.run([(images.to(device, non_blocking=True), labels.to(device, non_blocking=True))])

    warm_up(step, device, 18)  # what the loader holds ready
    return statistics.median(slice_speed(step, batch, device, seconds) for _ in range(3))


def steps_table(device: torch.device, networks: Sequence[NetworkText], seconds: float) -> None:
    print(f"\n{'network':8}{'batch':>6}  {'way':30}{'images/s':>10}{'s/epoch':>9}{'first steps, s':>16}")
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder))
        for name in networks:
            for batch in (64, 128, 512):
                usual = measure_usual(Path(folder), name, batch, device, seconds)
                print(f"{name:8}{batch:6}  {'usual script, pictures on disk':30}{usual:10,.0f}{EPOCH / usual:9.2f}")
                for way in WAYS:
                    if way.compiled and batch != 128:
                        continue  # half a minute each
                    speed, first, because = measure_way(way, name, batch, device, seconds)
                    note = f"  ({because})" if because else ""
                    row = f"{name:8}{batch:6}  {way.name:30}{speed:10,.0f}{EPOCH / speed:9.2f}{first:16.2f}{note}"
                    print(row, flush=True)


def serve(pipe: Connection, name: str, batch: int, device_name: str, seconds: float) -> None:
    """One of several processes that train at once."""
    device = prepare_device(device_name, 1, deterministic=False)
    with side_stream(device):
        step = steps_of(make_loop(WAYS[-1], name, batch, device))
        warm_up(step, device)
        pipe.send("ready")
        while pipe.recv() == "go":
            pipe.send(slice_speed(step, batch, device, seconds))


def processes_at_once(count: int, name: str, batch: int, device: torch.device, seconds: float) -> float:
    """Images per second of so many processes together."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(count):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, name, batch, str(device), seconds)))
        processes[-1].start()
        pipes.append(ours)
    try:
        for pipe in pipes:
            pipe.recv()
        speeds = []
        for _ in range(3):
            for pipe in pipes:
                pipe.send("go")
            speeds.append(sum(pipe.recv() for pipe in pipes))
        for pipe in pipes:
            pipe.send("stop")
        return float(statistics.median(speeds))
    finally:
        for process in processes:
            process.join(10)
            process.kill()


def streams_at_once(count: int, name: str, batch: int, device: torch.device, seconds: float) -> float:
    """Images per second of so many trainings on streams of one process, their steps launched in turn."""
    turns: list[tuple[AbstractContextManager[object], Callable[[], None]]] = []
    for _ in range(count):
        stream = side_stream(device)
        with stream:
            step = steps_of(make_loop(WAYS[-1], name, batch, device))
            warm_up(step, device)
        turns.append((stream, step))

    def step_all() -> None:
        for stream, step in turns:
            with stream:
                step()

    return statistics.median(slice_speed(step_all, count * batch, device, seconds) for _ in range(3))


@contextmanager
def multi_process_service() -> Iterator[bool]:
    """NVIDIA's MPS while the block runs; says whether it could be started."""
    control = shutil.which("nvidia-cuda-mps-control")
    with tempfile.TemporaryDirectory() as folder:
        if control is None:
            yield False
            return
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        started = False
        try:
            started = subprocess.run([control, "-d"], check=False, timeout=20).returncode == 0
            yield started
        finally:
            if started:
                subprocess.run([control], input=b"quit\n", check=False, timeout=20)
            for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
                del os.environ[name]


class Utilisation:
    """Mean GPU utilisation while a block runs, in percent; None without nvidia-ml-py."""

    def __enter__(self) -> Utilisation:
        self.samples: list[int] = []
        self._stop = threading.Event()
        try:
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        except Exception:  # no package, no driver, no permission: there is no figure
            return self

        def watch() -> None:
            while not self._stop.wait(0.1):
                self.samples.append(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)

        threading.Thread(target=watch, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()

    def __str__(self) -> str:
        return f"{statistics.mean(self.samples):.0f}%" if self.samples else "–"


def together_table(
    device: torch.device, networks: Sequence[NetworkText], seconds: float, counts: Sequence[int]
) -> None:
    print(f"\n{'network':8}{'at once':>8}  {'way':28}{'images/s':>10}{'× one':>7}{'GPU':>6}")
    for name in networks:
        if name == "large":
            continue  # one fills a GPU
        with multi_process_service() as has_service:
            if has_service:
                _rows("processes under MPS", processes_at_once, name, device, seconds, counts)
            else:
                print("MPS could not be started: no row with it")
        _rows("processes", processes_at_once, name, device, seconds, counts)
        _rows("graphs on streams", streams_at_once, name, device, seconds, counts)


def _rows(
    kind: str,
    measure: Callable[[int, str, int, torch.device, float], float],
    name: str,
    device: torch.device,
    seconds: float,
    counts: Sequence[int],
) -> None:
    one = 0.0
    for count in counts:
        with Utilisation() as use:
            speed = measure(count, name, 128, device, seconds)
        one = one or speed
        print(f"{name:8}{count:8}  {kind:28}{speed:10,.0f}{speed / one:7.2f}{use!s:>6}", flush=True)


def train_to_94(path: str, device: torch.device) -> None:
    """One network on all but the test images, then its accuracy on those."""
    config = DataConfig(dataset=path)
    data: ImageData = load_image_data(config)
    architecture = decode(Encoding(data.input_shape, data.classes), Chromosome(GOOD_NETWORK))
    wanted = TrainingConfig(epochs=GOOD_EPOCHS, batch_size=512, learning_rate=0.4)
    protocol = resolve_protocol(wanted, config, data.input_shape, gpu=device.type == "cuda")
    network = network_text(architecture)
    job = TrainingJob(phenotype=network, protocol=protocol, data_fingerprint=data.fingerprint, split="all")
    result, model = train_model(job, to_device(data, device), device)
    labels = torch.from_numpy(data.test_labels).to(device)
    accuracy, _ = accuracy_and_loss(predict(model, image_tensor(data.test_images, device), protocol.precision), labels)
    print(
        f"\n{architecture.describe()}, {model_cost(architecture).flops / 1e6:,.0f} MFLOPs an image:\n"
        f"test accuracy {accuracy:.4f} ({len(labels):,} images) after {GOOD_EPOCHS} epochs, "
        f"{result.cost.seconds:.1f} s of training"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="CIFAR-10 as an .npz file, for the training to 94%%")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each of the slices of a figure")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="trainings at once")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = prepare_device(options.device, 1, deterministic=False)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU: the figures mean nothing"
    print(f"{name}; Python {sys.version.split()[0]}, torch {torch.__version__}; {time.strftime('%Y-%m-%d')}")
    clock = time.perf_counter()
    steps_table(device, options.networks, options.seconds)
    together_table(device, options.networks, options.seconds, options.counts)
    if options.dataset:
        train_to_94(options.dataset, device)
    print(f"\n{time.perf_counter() - clock:.0f} s in all")


if __name__ == "__main__":
    main()
