"""A data set in memory, split, with its fingerprint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from image_data.catalogue import read_source
from image_data.source import PREPARATION, Images, Labels, PixelRange, Source
from image_data.splits import Split, check_memory, check_source, choose_splits
from records import DataConfig
from records.canonical import canonical_json
from records.runs import DataFacts, Preparation

HISTOGRAM_VALUES = 2**22  # pixels that are counted at once


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set in memory: training, validation and test images, and what describes them.

    Images are uint8 (N, H, W, C), labels int64 (N,). `fingerprint` is a SHA-256 over all pixels,
    labels and splits: data sets with equal fingerprints give equal trainings. `notes` say what a
    person should know of how they were read.
    """

    train_images: Images
    train_labels: Labels
    val_images: Images
    val_labels: Labels
    test_images: Images
    test_labels: Labels
    class_names: tuple[str, ...]
    fingerprint: str
    preparation: Preparation = PREPARATION
    notes: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        height, width, channels = self.test_images.shape[1:]
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

    @property
    def facts(self) -> DataFacts:
        """What a run remembers of its data."""
        return DataFacts(
            fingerprint=self.fingerprint,
            input_shape=self.input_shape,
            class_names=self.class_names,
            train_images=len(self.train_labels),
            val_images=len(self.val_labels),
            test_images=len(self.test_labels),
            preparation=self.preparation,
        )

    def only_test(self) -> ImageData:
        """A copy without training and validation images, so that their memory can be freed."""
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


def load_image_data(config: DataConfig, pixel_range: PixelRange | None = None) -> ImageData:
    """Loads a data set and splits it. Raises `InputError` for data that are missing, unusable or too large.

    The labels alone decide which image is in which split, so that only images that are used are read.
    `pixel_range` is that of the data that a network was trained on; by default, the training images
    have their own.
    """
    source = read_source(config)
    check_source(config, source)
    splits = choose_splits(source, config)
    check_memory(config, splits)
    return _read(splits, source, pixel_range)


def _histogram(values: Images) -> NDArray[np.int64]:
    """How often each value from 0 to 255 occurs; in pieces, since `bincount` converts each value to eight bytes."""
    pieces = np.array_split(values, max(1, -(-len(values) // HISTOGRAM_VALUES)))
    total = np.zeros(256, np.int64)
    for piece in pieces:
        total += np.bincount(piece, minlength=256)
    return total


def prepared_for(split: Split, pixel_range: PixelRange | None) -> tuple[Preparation, list[str]]:
    """How images are prepared: by the range of this split, unless another is given. With notes on it."""
    part, indices = split
    pixel_range = None if part.range_of is None else pixel_range or part.range_of(indices)
    if pixel_range is None:
        return PREPARATION, []
    low, high = pixel_range
    note = f"the type of the pixels does not say their range: {low:g} becomes black, and {high:g} white"
    return replace(PREPARATION, pixel_range=pixel_range), [note]


def contrast_notes(images: Images) -> list[str]:
    """A warning where all pixels of all images are the same."""
    if len(images) and (least := images.min()) == images.max():
        return [
            f"all pixels of all these images are the same ({least}), so there is nothing to learn from them; what is "
            "drawn in their transparency alone is lost, and must be saved as colours"
        ]
    return []


def _read(splits: Mapping[str, Split], source: Source, pixel_range: PixelRange | None) -> ImageData:
    """Training, validation and test split, with the fingerprint of all three. Each part is read once."""
    preparation, notes = prepared_for(splits["train"], pixel_range)
    images: dict[str, Images] = {}
    for part in dict.fromkeys(part for part, _ in splits.values()):
        names = [name for name, (of, _) in splits.items() if of is part]
        images |= zip(names, part.read([splits[name][1] for name in names], preparation.pixel_range), strict=True)
    labels = {name: part.labels[indices] for name, (part, indices) in splits.items()}
    data = ImageData(
        images["train"],
        labels["train"],
        images["validation"],
        labels["validation"],
        images["test"],
        labels["test"],
        class_names=tuple(source.class_names),
        fingerprint="",
        preparation=preparation,
        notes=(*source.notes, *notes, *contrast_notes(images["train"])),
    )
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        for array in data.split(name):
            digest.update(canonical_json([str(array.dtype), list(array.shape)]).encode())
            digest.update(array.data)
    return replace(data, fingerprint=digest.hexdigest())
