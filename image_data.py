"""Data sets as uint8 tensors, their splits, and batched augmentation."""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from data_sources import NAMED_SETS, read_source
from hardware import free_memory
from own_data import Images, Labels, Part, Places, Source
from records import MINIMUM_SIDE, DataConfig, InputError, canonical_json

Split = tuple[Part, Places]  # some images of a part

SHARED_ARRAYS = ("train_images", "train_labels", "val_images", "val_labels")
NO_FLIP = ("digits", "mnist", "fashion_mnist", "kmnist", "svhn")
DIGITS_VAL_FRACTION, VAL_FRACTION = 0.2, 0.1
TEST_FRACTION = 0.2  # of data that come without a test split: digits, plain folders of images
MOST_LIGHT = 0.4  # share by which strong augmentation changes brightness and contrast at most
COPIES = 2  # of the pixels at most: those read here, and those that the workers share
HISTOGRAM_VALUES = 2**22  # pixels that are counted at once
SPLIT_SEED = 0  # splits are fixed per data set, whatever the seed of the search


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set in memory: training, validation and test images, and what describes them.

    Images are uint8 (N, H, W, C), labels int64 (N,). `fingerprint` is a SHA-256 over all pixels,
    labels and splits: two data sets of one fingerprint train alike.
    """

    train_images: Images
    train_labels: Labels
    val_images: Images
    val_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        height, width, channels = self.train_images.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def class_counts(self) -> list[int]:
        """The training images of each class."""
        return [int(count) for count in np.bincount(self.train_labels, minlength=self.classes)]

    def split(self, name: str) -> tuple[Images, Labels]:
        """The images and labels of "train", "validation" or "test"."""
        prefix = {"train": "train", "validation": "val", "test": "test"}[name]
        return getattr(self, f"{prefix}_images"), getattr(self, f"{prefix}_labels")

    def only_test(self) -> ImageData:
        """The same without training and validation images; their memory is free once this is all that is left."""
        images, labels = np.empty((0, *self.train_images.shape[1:]), np.uint8), np.empty(0, np.int64)
        return replace(self, train_images=images, train_labels=labels, val_images=images, val_labels=labels)

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel of the training images, in pixel values."""
        channels = self.train_images.reshape(-1, self.train_images.shape[-1])
        counts = [_histogram(channels[:, channel]) for channel in range(channels.shape[1])]
        values = np.arange(256)
        means = [float((count * values).sum() / count.sum()) for count in counts]
        variances = [
            float((count * (values - mean) ** 2).sum() / count.sum()) for count, mean in zip(counts, means, strict=True)
        ]
        return means, [math.sqrt(variance) for variance in variances]


def load_image_data(config: DataConfig) -> ImageData:
    """Loads a data set and splits it. Raises `InputError` for data that are missing, not as needed, or too large.

    Which image is in which split follows from the labels alone, so only pixels that are kept are read.
    """
    source = read_source(config)
    _check_source(config, source)
    splits = _choose(source, config)
    _check_memory(config, splits)
    return _read(splits, source.class_names)


def _histogram(values: Images) -> NDArray[np.int64]:
    """How often each value from 0 to 255 occurs; a part at a time, as `bincount` makes eight bytes of each."""
    pieces = np.array_split(values, max(1, -(-len(values) // HISTOGRAM_VALUES)))
    total = np.zeros(256, np.int64)
    for piece in pieces:
        total += np.bincount(piece, minlength=256)
    return total


def may_flip(config: DataConfig) -> bool:
    """Whether mirrored images are still of their class: not so for digits, letters and MNIST-likes."""
    return config.dataset not in NO_FLIP


def _check_source(config: DataConfig, source: Source) -> None:
    """Raises `InputError` unless images and labels can be trained on."""
    name = config.dataset
    for split, part in source.parts.items():
        if part.shape != source.train.shape:
            ours, theirs = ("×".join(map(str, each.shape)) for each in (source.train, part))
            raise InputError(f"{name}: training images are {ours}, but {split} images {theirs}")
        if split != "training" and not len(part.labels):
            raise InputError(f"{name}: there are no {split} images")
    height, width, channels = source.train.shape
    if min(height, width) < MINIMUM_SIDE or channels not in (1, 3):
        raise InputError(
            f"{name}: images must be at least {MINIMUM_SIDE}×{MINIMUM_SIDE} pixels with 1 or 3 channels, "
            f"but are {height}×{width} with {channels}"
        )
    if config.val_fraction is not None and source.validation is not None:
        raise InputError(
            f"--val_fraction is for data without a validation split, but {name} has "
            f"{len(source.validation.labels):,} validation images; leave the flag out"
        )
    _check_labels(name, source)


def _check_labels(name: str, source: Source) -> None:
    """Raises `InputError` unless each class is in the splits there are, and can be in those still to be made."""
    labels, class_names = source.train.labels, source.class_names
    in_range = labels.min(initial=0) >= 0 and labels.max(initial=-1) < len(class_names)
    counts = np.bincount(labels, minlength=len(class_names)) if in_range else np.zeros(1)
    if not counts.all():
        found = np.unique(labels)
        raise InputError(
            f"{name}: labels must be the whole numbers from 0 on without a gap, but the training labels are "
            f"{', '.join(map(str, found[:12]))}{', …' if len(found) > 12 else ''}"
        )
    if len(counts) < 2:
        raise InputError(f"{name}: at least 2 classes are needed, but there is {len(counts)}")
    for split, part in list(source.parts.items())[1:]:
        if part.labels.min() < 0 or part.labels.max() >= len(counts):
            raise InputError(
                f"{name}: {split} labels must lie between 0 and {len(counts) - 1} as the training labels do, "
                f"but run from {part.labels.min()} to {part.labels.max()}"
            )
    if source.validation is not None and len(missing := np.setdiff1d(labels, source.validation.labels)):
        named = ", ".join(repr(class_names[label]) for label in missing[:5])
        raise InputError(f"{name}: every class must be among the validation images, but there is none of {named}")
    uses = ["train", *(["validate"] if source.validation is None else []), *(["test"] if source.test is None else [])]
    rare = int(counts.argmin())
    if counts[rare] < len(uses):
        raise InputError(
            f"{name}: class {class_names[rare]!r} has {counts[rare]} training image{'s' if counts[rare] > 1 else ''}; "
            f"each class needs at least {len(uses)}, one each to {' and to '.join(uses)}"
        )


def _stratified(labels: Labels, count: int, least: int = 1, leave: int = 1) -> Places:
    """Places of `count` images, each class by its share (largest remainders), ascending.

    At least `least` of each class are taken and `leave` left. Raises `InputError` where that cannot be.
    """
    totals = np.bincount(labels)
    if not least * len(totals) <= count <= len(labels) - leave * len(totals) or totals.min() < least + leave:
        raise InputError(
            f"{count} of {len(labels)} training images cannot be set apart so that all {len(totals)} classes "
            "stay on both sides; change --val_fraction or --train_limit"
        )
    shares = totals * count / len(labels)
    taken = np.clip(np.floor(shares).astype(np.int64), least, totals - leave)
    while (difference := count - int(taken.sum())) != 0:
        if difference > 0:
            taken[np.where(taken < totals - leave, shares - taken, -np.inf).argmax()] += 1
        else:
            taken[np.where(taken > least, shares - taken, np.inf).argmin()] -= 1
    rng = np.random.default_rng(SPLIT_SEED)
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:number] for label, number in enumerate(taken)]
    return np.sort(np.concatenate(chosen))


def _choose(source: Source, config: DataConfig) -> dict[str, Split]:
    """The images of "train", "validation" and "test"; of the training images where the data set comes without."""
    labels, classes = source.train.labels, len(source.class_names)
    kept = np.arange(len(labels))
    left_to_make = (source.validation is None) + (source.test is None)
    splits: dict[str, Split] = {}
    if source.test is None:
        count = max(round(TEST_FRACTION * len(labels)), classes)
        test = _stratified(labels, count, leave=left_to_make)
        splits["test"], kept = (source.train, test), np.delete(kept, test)
    else:
        splits["test"] = source.test, np.arange(len(source.test.labels))
    kept = kept[_limited(labels[kept], config.train_limit, least=1 if source.validation else 2)]
    if source.validation is None:
        default = DIGITS_VAL_FRACTION if config.dataset == "digits" else VAL_FRACTION
        fraction = default if config.val_fraction is None else config.val_fraction
        validation = _stratified(labels[kept], max(round(fraction * len(kept)), classes))
        splits["validation"], kept = (source.train, kept[validation]), np.delete(kept, validation)
    else:
        splits["validation"] = source.validation, np.arange(len(source.validation.labels))
    return {**splits, "train": (source.train, kept)}


def _limited(labels: Labels, train_limit: int | None, least: int) -> Places:
    """The places of what `--train_limit` keeps, at least so many of each class."""
    if train_limit is None or train_limit >= len(labels):
        return np.arange(len(labels))
    classes = int(labels.max()) + 1
    if train_limit < least * classes:
        images = "two images" if least == 2 else "one image"
        raise InputError(
            f"--train_limit must be at least {least * classes} ({images} for each of {classes} classes), "
            f"but is {train_limit}"
        )
    return _stratified(labels, train_limit, least=least, leave=0)


def _check_memory(config: DataConfig, splits: Mapping[str, Split]) -> None:
    """Raises `InputError` for images that do not fit into the memory that is free, before any is read."""
    each = COPIES * math.prod(splits["train"][0].shape)
    count = sum(len(places) for _, places in splits.values())
    loading = max(part.loading for part, _ in splits.values())
    need, free = count * each + loading, free_memory()
    if free is None or need <= free:
        return
    height, width, channels = splits["train"][0].shape
    advice, room = [], max(0, free - loading) / each  # images
    side = int(min(height, width) * math.sqrt(room / count)) // 8 * 8
    if side >= MINIMUM_SIDE and config.dataset not in NAMED_SETS:
        advice.append(f"make them smaller, for instance by --image_size {side}")
    limit = int(room) - count + _limitable(splits)
    if limit > 0:
        advice.append(f"use fewer, by --train_limit {limit}")
    raise InputError(
        f"{config.dataset}: its {count:,} images of {height}×{width}×{channels} need {need / 1e9:,.2f} GB of memory "
        f"({COPIES} bytes a value, while workers take them over), but {free / 1e9:,.2f} GB are free; "
        + ", or ".join([*advice, "free some"])
    )


def _limitable(splits: Mapping[str, Split]) -> int:
    """The images on which `--train_limit` has an effect: validation images of one's own are not among them."""
    trained = splits["train"][0]
    return sum(len(splits[name][1]) for name in ("train", "validation") if splits[name][0] is trained)


def _read(splits: Mapping[str, Split], class_names: Sequence[str]) -> ImageData:
    """Training, validation and test split, with the fingerprint of all three. Each part is read once."""
    images: dict[str, Images] = {}
    for part in dict.fromkeys(part for part, _ in splits.values()):
        names = [name for name, (of, _) in splits.items() if of is part]
        images |= zip(names, part.read([splits[name][1] for name in names]), strict=True)
    labels = {name: part.labels[places] for name, (part, places) in splits.items()}
    data = ImageData(
        images["train"],
        labels["train"],
        images["validation"],
        labels["validation"],
        images["test"],
        labels["test"],
        class_names=tuple(class_names),
        fingerprint="",
    )
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        for array in data.split(name):
            digest.update(canonical_json([str(array.dtype), list(array.shape)]).encode())
            digest.update(array.data)
    return replace(data, fingerprint=digest.hexdigest())


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a worker trains with, as tensors on its device; there are no test images here.

    Images are uint8 (N, C, H, W) in channels_last memory, labels int64 (N,); `mean` and `std` are
    those of the training split.
    """

    images: Tensor
    labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    mean: list[float]
    std: list[float]

    def for_training(self, split: str) -> tuple[Tensor, Tensor]:
        """The images and labels to train on: "train", or "all" with the validation images."""
        if split == "train":
            return self.images, self.labels
        # Concatenated in NHWC, so that the result is channels_last like its parts.
        images = torch.cat([part.permute(0, 2, 3, 1) for part in (self.images, self.val_images)])
        return images.permute(0, 3, 1, 2), torch.cat([self.labels, self.val_labels])


def to_device(data: ImageData, device: torch.device) -> TrainingData:
    """The training and validation images on a device. On the CPU nothing is copied."""
    mean, std = data.statistics()
    return TrainingData(
        image_tensor(data.train_images, device),
        torch.from_numpy(data.train_labels).to(device),
        image_tensor(data.val_images, device),
        torch.from_numpy(data.val_labels).to(device),
        mean,
        std,
    )


def image_tensor(images: Images, device: torch.device) -> Tensor:
    """Images (N, H, W, C) as a uint8 tensor (N, C, H, W) in channels_last memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)


def augment(
    images: Tensor, padding: int, flip: bool, generator: torch.Generator, augmentation: str = "basic"
) -> Tensor:
    """The images of a batch, each varied at random as `--augmentation` says; padding in pixels.

    `images` are uint8 (B, C, H, W) in channels_last memory on the generator's device, and so is the
    result. Nothing here waits for the device.
    """
    if augmentation == "none":
        return images
    images = _crop_and_flip(images, padding, flip, generator)
    if augmentation == "strong":
        images = _change_light(images, generator)
    return images if augmentation == "basic" else _cut_out(images, generator)


def _crop_and_flip(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """A random padded crop and a random horizontal flip of each image of a batch.

    Both are one indexed read from a view of all windows of the padded batch and of its mirror image.
    """
    count, _, height, width = images.shape
    device = images.device
    batch = images.permute(0, 2, 3, 1)  # (B, H, W, C)
    if padding:
        batch = functional.pad(batch, (0, 0, padding, padding, padding, padding))
    sides = torch.stack([batch, batch.flip(2)]) if flip else batch.unsqueeze(0)  # as they are, and mirrored
    windows = sides.unfold(2, height, 1).unfold(3, width, 1)  # (2, B, 2p+1, 2p+1, C, H, W), a view
    side = top = left = torch.zeros(count, dtype=torch.int64, device=device)
    if flip:
        side = (torch.rand(count, generator=generator, device=device) < 0.5).long()
    if padding:
        top, left = torch.randint(2 * padding + 1, (2, count), generator=generator, device=device)
    chosen = windows.permute(0, 1, 2, 3, 5, 6, 4)[side, torch.arange(count, device=device), top, left]
    return chosen.permute(0, 3, 1, 2)


def _change_light(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness times a random factor, then contrast about the mean of each image times another."""
    factors = torch.rand(2, len(images), 1, 1, 1, generator=generator, device=images.device)
    brightness, contrast = 1 + MOST_LIGHT * (2 * factors - 1)
    pixels = images.float() * brightness  # (B, C, H, W)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    changed: Tensor = (pixels - mean) * contrast + mean
    return changed.round().clamp(0, 255).to(torch.uint8)


def _cut_out(images: Tensor, generator: torch.Generator) -> Tensor:
    """A square of half the image's shorter side is set to 0, as the padding of crops is.

    Its centre is any pixel, so that it may lie in part outside (DeVries & Taylor 2017, sec. 3.2).
    """
    count, _, height, width = images.shape
    device, side = images.device, min(height, width) // 2
    hidden = []
    for length in (height, width):
        start = torch.randint(length, (count, 1), generator=generator, device=device) - side // 2
        place = torch.arange(length, device=device)
        hidden.append((place >= start) & (place < start + side))  # (B, length)
    rows, columns = hidden
    square = rows[:, :, None, None] & columns[:, None, :, None]  # (B, H, W, 1)
    return images.permute(0, 2, 3, 1).masked_fill(square, 0).permute(0, 3, 1, 2)


def new_shared_memory() -> int:
    """Memory that other processes can map, as a file descriptor, to be inherited and closed by the caller.

    It has no name in a file system, so nothing is left behind however processes end.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("training_data")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def share_training_data(data: ImageData, descriptor: int) -> list[dict[str, Any]]:
    """Copies training and validation arrays into shared memory; returns the table of contents."""
    contents: list[dict[str, Any]] = []
    with open(descriptor, "wb", closefd=False) as file:
        for name in SHARED_ARRAYS:
            array = np.ascontiguousarray(getattr(data, name))
            contents.append({"dtype": str(array.dtype), "shape": list(array.shape), "offset": file.tell()})
            file.write(array.data)
            file.write(bytes(-file.tell() % 64))
    return contents


def map_training_data(descriptor: int, contents: list[dict[str, Any]], class_names: Sequence[str]) -> ImageData:
    """The arrays that another process shared; its test images are not among them."""
    memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    arrays: list[NDArray[Any]] = [
        np.ndarray(item["shape"], item["dtype"], buffer=memory, offset=item["offset"]) for item in contents
    ]
    return training_images(arrays, class_names)


def training_images(arrays: Sequence[NDArray[Any]], class_names: Sequence[str]) -> ImageData:
    """The data set of the `SHARED_ARRAYS`, without test images."""
    images, labels, val_images, val_labels = arrays
    return ImageData(
        images, labels, val_images, val_labels, images[:0], labels[:0], class_names=tuple(class_names), fingerprint=""
    )
