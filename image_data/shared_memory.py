"""Training and validation images in memory that worker processes map."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_data.data_set import ImageData

SHARED_ARRAYS = ("train_images", "train_labels", "val_images", "val_labels")


def new_shared_memory() -> int:
    """The file descriptor of memory that other processes can map: they inherit it, and the caller closes it.

    The memory has no name in a file system, so that nothing is left behind however the processes end.
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
    """The data set whose arrays another process shared; it has no test images."""
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
