"""A training as it is usually written: PyTorch's stock parts, put together as in its tutorials.

It is the baseline of the benchmarks: the same architecture, protocol, images and split, but stock modules
with their default initialisation, float32, eager mode, torch's default number of threads, and a DataLoader
over PIL images. `in_memory` is an optimised variant of the same script: normalised tensors in memory,
batches by index, crops and flips by tensor operations.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).parent.parent))

from image_data import ImageData
from records import TrainingConfig
from search_space.architecture import Architecture

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (N, H, W, C), labels (N,)

PROTOCOL = TrainingConfig()  # momentum, weight decay and label smoothing are the same for both sides
WARM_UP_STEPS = 3  # not timed when the speed of steps is measured
ACTIVATIONS = {"ReLU": nn.ReLU, "LeakyReLU": nn.LeakyReLU, "ELU": nn.ELU, "GELU": nn.GELU}
POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


@dataclass(frozen=True, kw_only=True, slots=True)
class UsualResult:
    """The outcome of a training; `seconds` is the whole call, including validation and preparation of the data."""

    accuracies: tuple[float, ...]  # share of validation images classified correctly, after each epoch
    seconds: float
    images_per_second: float  # in training, without validation


class Batches(Sized, Iterable[tuple[Tensor, Tensor]], Protocol):
    """Yields one epoch each time it is iterated: images (B, C, H, W) float32 and labels (B,)."""


def usual_network(architecture: Architecture) -> nn.Sequential:
    """The network of an architecture in stock modules, for normalised images (N, C, H, W); returns logits."""
    layers: list[nn.Module] = []
    channels = architecture.input_shape[0]
    for layer in architecture.layers:
        layers.append(
            nn.Conv2d(channels, layer.filters, layer.kernel, stride=layer.stride, padding=layer.kernel // 2, bias=False)
        )
        if layer.pool:
            layers.append(POOLINGS[architecture.pooling](2))
        layers += [nn.BatchNorm2d(layer.filters), ACTIVATIONS[architecture.activation]()]
        channels = layer.filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, architecture.classes))


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images that become PIL pictures when read and then pass through `transform`, as in torchvision's data sets."""

    def __init__(self, split: Split, transform: transforms.Compose) -> None:
        self.images, self.labels = split
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = self.images[index]  # (H, W, C)
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return self.transform(picture), int(self.labels[index])


class TensorBatches:
    """Batches by index from normalised tensors in memory; `augment` crops and flips them and drops the last batch."""

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int, augment: bool, flip: bool, padding: int):
        self.images, self.labels = images, labels  # (N, C, H, W) float32, (N,)
        self.batch_size, self.augment, self.flip, self.padding = batch_size, augment, flip, padding

    def __len__(self) -> int:
        count = len(self.labels)
        return count // self.batch_size if self.augment else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.labels)) if self.augment else torch.arange(len(self.labels))
        for indices in order.split(self.batch_size)[: len(self)]:
            images = self.images[indices]
            if self.augment and self.padding:
                images = random_crop(images, self.padding)
            if self.augment and self.flip:
                images = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)
            yield images, self.labels[indices]


def random_crop(images: Tensor, padding: int) -> Tensor:
    """A window of each padded image (B, C, H, W), each at its own random position."""
    count, channels, height, width = images.shape
    padded = nn.functional.pad(images, (padding, padding, padding, padding))
    top, left = torch.randint(2 * padding + 1, (2, count, 1))
    rows = (top + torch.arange(height))[:, None, :, None]  # (B, 1, H, 1)
    columns = (left + torch.arange(width))[:, None, None, :]  # (B, 1, 1, W)
    return padded[torch.arange(count)[:, None, None, None], torch.arange(channels)[:, None, None], rows, columns]


def statistics(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, with pixels from 0 to 1."""
    channels = [images[..., channel] for channel in range(images.shape[-1])]
    return [float(each.mean() / 255) for each in channels], [float(each.std() / 255) for each in channels]


def loader_batches(
    train: Split, validation: Split, *, batch_size: int, flip: bool, padding: int, workers: int
) -> tuple[Batches, Batches]:
    """Training and validation batches from DataLoaders over PIL pictures."""
    to_input = [transforms.ToTensor(), transforms.Normalize(*statistics(train[0]))]
    flips = [transforms.RandomHorizontalFlip()] if flip else []
    crop = transforms.RandomCrop(train[0].shape[1:3], padding=padding)
    pictures = Pictures(train, transforms.Compose([crop, *flips, *to_input]))
    val_pictures = Pictures(validation, transforms.Compose(to_input))
    return (
        DataLoader(pictures, batch_size, shuffle=True, num_workers=workers, drop_last=True),
        DataLoader(val_pictures, batch_size, num_workers=workers),
    )


def tensor_batches(
    train: Split, validation: Split, *, batch_size: int, flip: bool, padding: int
) -> tuple[Batches, Batches]:
    """Training and validation batches from tensors in memory."""
    mean, std = (torch.tensor(values).reshape(-1, 1, 1) for values in statistics(train[0]))

    def batches(split: Split, augment: bool) -> TensorBatches:
        images = torch.from_numpy(split[0]).permute(0, 3, 1, 2).contiguous() / 255
        return TensorBatches((images - mean) / std, torch.from_numpy(split[1]), batch_size, augment, flip, padding)

    return batches(train, True), batches(validation, False)


class Training:
    """The network, optimizer and schedule of a training that advances step by step."""

    def __init__(self, network: nn.Module, steps: int, learning_rate: float, fused: bool = False) -> None:
        self.network = network
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=learning_rate,
            momentum=PROTOCOL.momentum,
            weight_decay=PROTOCOL.weight_decay,
            nesterov=True,
            fused=fused,
        )
        # The protocol keeps momentum where it is, which is not the scheduler's default.
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=learning_rate, total_steps=steps, cycle_momentum=False
        )
        self.criterion = nn.CrossEntropyLoss(label_smoothing=PROTOCOL.label_smoothing)

    def run(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """One step of the optimizer on each batch."""
        self.network.train()
        for images, labels in batches:
            self.optimizer.zero_grad()
            self.criterion(self.network(images), labels).backward()
            self.optimizer.step()
            self.schedule.step()


@torch.no_grad()
def accuracy(network: nn.Module, batches: Batches) -> float:
    """The share of images that the network classifies correctly in evaluation mode."""
    network.eval()
    correct = total = 0
    for images, labels in batches:
        correct += int((network(images).argmax(1) == labels).sum())
        total += len(labels)
    return correct / total


def train_usual(
    architecture: Architecture,
    train: Split,
    validation: Split,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float,
    flip: bool,
    padding: int,
    workers: int = 2,
    in_memory: bool = False,
    threads: int | None = None,
    seed: int = 0,
    steps: int | None = None,
) -> UsualResult:
    """Trains the network of an architecture on the CPU, as the usual script does.

    `train` and `validation` are uint8 images (N, H, W, C) with labels (N,). `workers` are the processes
    of a DataLoader; with `in_memory` there is none. `threads` are those of torch, for this call alone;
    None leaves them as they are. With `steps` only speed is measured: that many steps after three that
    are not counted, and no validation. A DataLoader works ahead during those three, so `steps` should
    be many more than the batches it holds ready (two for each worker).
    """
    clock = time.perf_counter()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads or threads_before)
    torch.manual_seed(seed)
    try:
        network = usual_network(architecture)
        data: dict[str, Any] = {"batch_size": min(batch_size, len(train[1])), "flip": flip, "padding": padding}
        if in_memory:
            batches, val_batches = tensor_batches(train, validation, **data)
        else:
            batches, val_batches = loader_batches(train, validation, **data, workers=workers)
        if steps is None:
            training = Training(network, epochs * len(batches), learning_rate)
            accuracies, training_seconds = _run_epochs(training, batches, val_batches, epochs)
            images = epochs * len(batches) * data["batch_size"]
        else:
            accuracies, images = [], steps * data["batch_size"]
            training_seconds = _time_steps(Training(network, WARM_UP_STEPS + steps, learning_rate), batches, steps)
    finally:
        torch.set_num_threads(threads_before)
    return UsualResult(
        accuracies=tuple(accuracies),
        seconds=time.perf_counter() - clock,
        images_per_second=images / training_seconds,
    )


def train_by_protocol(
    architecture: Architecture, images: ImageData, protocol: TrainingConfig, **options: Any
) -> UsualResult:
    """`train_usual` on the splits of `images` with the settings of a resolved protocol; `options` are passed on."""
    return train_usual(
        architecture,
        images.split("train"),
        images.split("validation"),
        epochs=protocol.epochs,
        batch_size=protocol.batch_size,
        learning_rate=protocol.learning_rate,
        flip=protocol.flip == "on",
        padding=protocol.crop_padding or 0,
        **options,
    )


def _run_epochs(training: Training, batches: Batches, val_batches: Batches, epochs: int) -> tuple[list[float], float]:
    """Accuracy after each epoch, and the seconds spent in training."""
    accuracies, seconds = [], 0.0
    for _ in range(epochs):
        clock = time.perf_counter()
        training.run(batches)
        seconds += time.perf_counter() - clock
        accuracies.append(accuracy(training.network, val_batches))
    return accuracies, seconds


def _time_steps(training: Training, batches: Batches, steps: int) -> float:
    """The seconds of `steps` steps after a warm-up, over as many epochs as needed."""
    endless = itertools.chain.from_iterable(itertools.repeat(batches))
    training.run(itertools.islice(endless, WARM_UP_STEPS))
    clock = time.perf_counter()
    training.run(itertools.islice(endless, steps))
    return time.perf_counter() - clock
