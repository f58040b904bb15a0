"""Small data sets made here, how they load, and what a saved drawing must be."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from image_data import ImageData, load_image_data
from records import DataConfig, InputError


def check_files(paths: Sequence[Path], folder: Path, name: str) -> None:
    """A drawing that is sound XML, and a picture that can be decoded and is not blank."""
    assert list(paths) == [folder / f"{name}.svg", folder / f"{name}.png"]
    root = ElementTree.fromstring(paths[0].read_text())  # noqa: S314 our own file
    assert root.tag.endswith("svg")
    with Image.open(io.BytesIO(paths[1].read_bytes())) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100
        assert np.asarray(picture.convert("L")).min() < 128


def images_of(count: int, *shape: int, seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


X, Y = images_of(40, 8, 8), np.arange(40) % 4
X_TEST, Y_TEST = images_of(12, 8, 8, seed=2), np.arange(12) % 4


def write_npz(path: Path, **changes: Any) -> Path:
    """Forty training and twelve test images in four classes, as Keras ships its data; None leaves an array out."""
    arrays: dict[str, Any] = {"x_train": X, "y_train": Y, "x_test": X_TEST, "y_test": Y_TEST, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def load(dataset: Path | str, **options: Any) -> ImageData:
    return load_image_data(DataConfig(dataset=str(dataset), **options))


def pairs(*parts: tuple[NDArray[np.uint8], NDArray[Any]]) -> Counter[tuple[bytes, int]]:
    """How often each image occurs with each label."""
    return Counter(
        (image.tobytes(), int(label)) for images, labels in parts for image, label in zip(images, labels, strict=True)
    )


def same(one: ImageData, two: ImageData, *names: str) -> bool:
    """Whether the splits of these names are the same images and labels in the same order."""
    return all(np.array_equal(one.split(name)[part], two.split(name)[part]) for name in names for part in (0, 1))


def refusal(action: Callable[[], object]) -> str:
    """The one line with which an action is refused."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def write_pictures(
    folder: Path, mode: str = "RGB", count: int = 10, sizes: tuple[tuple[int, int], ...] = ((12, 10),)
) -> Path:
    """A folder of the classes cat (bright pictures) and dog (dark ones); sizes are (width, height), in turn."""
    for name, brightness in (("cat", 200), ("dog", 20)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture = Image.new("L", sizes[number % len(sizes)], brightness + number).convert(mode)
            picture.save(folder / name / f"{number}.png")
    return folder


def brightness_fits_labels(data: ImageData) -> bool:
    parts = [data.split(name) for name in ("train", "validation", "test")]
    return all(np.array_equal(images.mean(axis=(1, 2, 3)) < 100, labels == 1) for images, labels in parts)


X_VAL, Y_VAL = images_of(8, 8, 8, seed=3), np.arange(8) % 4


def counts(data: ImageData) -> list[int]:
    return [len(data.split(name)[1]) for name in ("train", "validation", "test")]
