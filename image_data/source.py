"""A data set before its pixels are read: labels and shapes come first, pixels where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from records import InputError
from records.settings import MAXIMUM_IMAGE_SIDE, MINIMUM_SIDE

Images = NDArray[np.uint8]  # (N, H, W, C)
Labels = NDArray[np.int64]  # (N,)
Places = NDArray[np.int64]  # of images in a part, ascending
Size = tuple[int, int]  # height, width
Shape = tuple[int, ...]

FOLDER_SIDE = 64  # pixels, for folders whose pictures differ in size
EXAMPLE_SIDE = 128  # pixels of the longer side, in advice


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one split, as they can be read.

    `shape` is that of an image, (H, W, C). `read` takes several arrays of places and returns the
    images at each, uint8 (n, H, W, C). It holds `loading` bytes beside what it returns.
    """

    labels: Labels
    shape: Shape
    read: Callable[[Sequence[Places]], list[Images]]
    loading: int = 0


@dataclass(frozen=True, eq=False)
class Source:
    """A data set before its pixels are read; `validation` and `test` are None where it comes without them."""

    train: Part
    validation: Part | None
    test: Part | None
    class_names: list[str]

    @property
    def parts(self) -> dict[str, Part]:
        """The splits that the data set comes with, by name."""
        found = {"training": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in found.items() if part is not None}


def held(images: Images, labels: Labels) -> Part:
    """Images that are in memory already."""
    return Part(labels, images.shape[1:], lambda selections: [images[places] for places in selections])


def with_channels(images: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W) → (N, H, W, 1); images that have channels as they are."""
    return images if images.ndim == 4 else images[..., None]


def refuse_large(name: str, height: int, width: int) -> None:
    longer = max(height, width)
    if longer > MAXIMUM_IMAGE_SIDE:
        like = "x".join(str(max(MINIMUM_SIDE, round(EXAMPLE_SIDE * side / longer))) for side in (height, width))
        raise InputError(
            f"{name}: images are {height}×{width} pixels, but networks read at most {MAXIMUM_IMAGE_SIDE} a side; "
            f"name a size, for instance --image_size {FOLDER_SIDE} (a square from the middle) or {like} (all of them)"
        )
