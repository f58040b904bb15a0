"""All images of a data set that comes without splits, and images as a network expects them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from unicodedata import normalize

import numpy as np

from image_data.catalogue import NAMED_SETS, read_source
from image_data.data_set import ImageData, contrast_notes, prepared_for
from image_data.source import Images, PixelRange
from image_data.splits import check_memory
from records import DataConfig, InputError
from records.words import listed


def has_splits(config: DataConfig) -> bool:
    """Whether a data set says which of its images are for testing: a named one, or one that has a test split."""
    return config.dataset in NAMED_SETS or len(read_source(config).parts) > 1


def load_whole(config: DataConfig, pixel_range: PixelRange | None = None) -> ImageData:
    """All images of a data set without splits, as test images. Raises `InputError` as `load_image_data` does."""
    source = read_source(config)
    everything = np.arange(len(source.train.labels))
    if not len(everything):
        raise InputError(f"{config.dataset}: there are no images")
    check_memory(config, {"train": (source.train, everything)})
    preparation, notes = prepared_for((source.train, everything), pixel_range)
    [images], labels = source.train.read([everything], preparation.pixel_range), source.train.labels
    if labels.min() < 0 or labels.max() >= len(source.class_names):
        raise InputError(f"{config.dataset}: labels must be from 0 to {len(source.class_names) - 1}")
    none, no_labels = images[:0], labels[:0]
    return ImageData(
        none,
        no_labels,
        none,
        no_labels,
        images,
        labels,
        tuple(source.class_names),
        fingerprint="",
        preparation=preparation,
        notes=(*source.notes, *notes, *contrast_notes(images)),
    )


def in_classes_of(data: ImageData, class_names: Sequence[str], name: str) -> ImageData:
    """The data with labels that count the classes in this order, matched by name.

    Classes that are only numbered from 0 on, on either side, are matched by number. Raises
    `InputError` that lists the differences where the names are not the same.
    """
    wanted, found = ([normalize("NFC", each) for each in names] for names in (class_names, data.class_names))
    if wanted == found:
        return data
    if len(wanted) == len(found) and [str(number) for number in range(len(wanted))] in (wanted, found):
        return replace(data, class_names=tuple(class_names))
    if sorted(wanted) != sorted(found):
        missing, surplus = (
            [each for each in one if each not in other] for one, other in ((wanted, found), (found, wanted))
        )
        parts = [
            f"it lacks {listed(missing)}" if missing else "",
            f"it has {listed(surplus)} besides" if surplus else "",
        ]
        raise InputError(
            f"the classes of {name} are not those of the network: {', and '.join(filter(None, parts))}; "
            "name its classes as the network's are named"
        )
    numbers = np.array([wanted.index(each) for each in found])
    labels = {f"{part}_labels": numbers[getattr(data, f"{part}_labels")] for part in ("train", "val", "test")}
    return replace(data, class_names=tuple(class_names), **labels)


def with_channels(images: Images, channels: int) -> Images:
    """Images (N, H, W, C) with so many channels: colours become grey as Pillow makes them, grey is repeated."""
    if images.shape[3] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=3)
    red, green, blue = (images[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[..., None]
