"""A data set before its pixels are read: labels and shapes first, pixels only on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from records import InputError
from records.runs import Preparation
from records.settings import MAXIMUM_IMAGE_SIDE, MINIMUM_SIDE

Images = NDArray[np.uint8]  # (N, H, W, C)
Labels = NDArray[np.int64]  # (N,)
Indices = NDArray[np.int64]  # of images in a part, ascending
Size = tuple[int, int]  # height, width
Shape = tuple[int, ...]
PixelRange = tuple[float, float]  # values of pixels that become 0 and 255

PREPARATION = Preparation(version=2)  # the rules by which pictures in folders are found and prepared now
FOLDER_SIDE = 64  # pixels, for folders whose pictures differ in size
EXAMPLE_SIDE = 128  # pixels of the longer side, in advice


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one split, which have not been read yet.

    `shape` is that of one image, (H, W, C). `read` takes several arrays of indices, and a range, and
    returns the images of each, uint8 (n, H, W, C); meanwhile it needs `loading` bytes beyond what it
    returns. `range_of` is there where the type of the pixels does not say which values are black and
    white; it finds the range of the images with these indices, for `read`.
    """

    labels: Labels
    shape: Shape
    read: Callable[[Sequence[Indices], PixelRange | None], list[Images]]
    loading: int = 0
    range_of: Callable[[Indices], PixelRange | None] | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """A data set before its pixels are read; `validation` and `test` are None where it has no such split.

    `notes` say what a person should know of how it was read.
    """

    train: Part
    validation: Part | None
    test: Part | None
    class_names: list[str]
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, Part]:
        """The splits that the data set has, by name."""
        found = {"training": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in found.items() if part is not None}


def in_memory(images: Images, labels: Labels) -> Part:
    """A part whose images are in memory already."""
    return Part(labels, images.shape[1:], lambda selections, _: [images[indices] for indices in selections])


def with_channels(images: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W) → (N, H, W, 1); images that have channels are returned as they are."""
    return images if images.ndim == 4 else images[..., None]


def fitted(picture: Any, size: Size | None) -> Images:
    """A PIL picture as an array; with a size, cropped around the middle to its proportions, then resized."""
    from PIL import ImageOps

    return np.asarray(picture if size is None else ImageOps.fit(picture, size[::-1]))


def refuse_large(name: str, height: int, width: int) -> None:
    """Raises `InputError` for images that are larger than networks read, with sizes that would do."""
    longer = max(height, width)
    if longer > MAXIMUM_IMAGE_SIDE:
        like = "x".join(str(max(MINIMUM_SIDE, round(EXAMPLE_SIDE * side / longer))) for side in (height, width))
        raise InputError(
            f"{name}: images are {height}×{width} pixels, but networks read at most {MAXIMUM_IMAGE_SIDE} pixels a "
            f"side; name a size, for instance --image_size {FOLDER_SIDE} (a square from the middle) or {like} (the "
            "whole images)"
        )
