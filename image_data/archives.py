"""Reads .npz archives, the format in which Keras ships its data sets."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from image_data.source import (
    Images,
    Indices,
    Labels,
    Part,
    PixelRange,
    Shape,
    Size,
    Source,
    fitted,
    refuse_large,
    with_channels,
)
from records import InputError
from records.words import listed

CHUNK = 2**22  # bytes of an array that are read at once
MOST_IMAGES = 2**25  # more labels than this would take much memory from a small file
MOST_NAME_BYTES = 2**24  # of all class names together
ARRAYS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "classes")


@dataclass(frozen=True)
class _Array:
    """The header of an array in an archive."""

    shape: Shape
    is_fortran: bool
    dtype: np.dtype[Any]


def read_npz(path: Path, size: Size | None) -> Source:
    """Reads an archive with `x_train` and `y_train`, as Keras names them, and optionally the same of "val" and "test".

    Pixels are read later, a few rows at a time. Pickled contents are refused without being read.
    """
    with _damage_refused(path), open(path, "rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
            raise InputError(f"{path}: expected an .npz archive, found a single array")
    with _damage_refused(path), zipfile.ZipFile(path) as archive:
        splits = _splits(path, archive)
        needed = [f"{axis}_{split}" for split in splits for axis in "xy"]
        arrays = {name: _header(archive, name) for name in ARRAYS if name in needed}
        _check_images(path, splits, arrays, size)
        labels = {split: _read_labels(archive, f"y_{split}") for split in splits}
        class_names = _class_names(path, archive, labels["train"])
    parts = {split: _array_part(path, f"x_{split}", arrays[f"x_{split}"], labels[split], size) for split in splits}
    return Source(parts["train"], parts.get("val"), parts.get("test"), class_names)


@contextlib.contextmanager
def _damage_refused(path: Path) -> Iterator[None]:
    """Turns what NumPy and zipfile raise on a damaged file, or one of another format, into an `InputError`."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # they raise a dozen kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not an .npz file of plain arrays, or damaged ({reason})") from error


def _splits(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """The splits whose arrays are there. Raises `InputError` where one is missing, or there twice."""
    names = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
    splits = ["train", *(each for each in ("val", "test") if {f"x_{each}", f"y_{each}"} & set(names))]
    needed = [f"{axis}_{split}" for split in splits for axis in "xy"]
    if missing := [name for name in needed if name not in names]:
        raise InputError(
            f"{path}: expected the arrays {', '.join(needed)}, but {', '.join(missing)} is missing "
            f"(found {listed(names) or 'none'})"
        )
    if twice := [name for name in ARRAYS if names.count(name) > 1]:
        raise InputError(f"{path}: the array {twice[0]} is there twice")
    return splits


def _header(archive: zipfile.ZipFile, name: str) -> _Array:
    """Shape and type of an array; raises `ValueError` unless the file holds as much as they say."""
    with archive.open(f"{name}.npy") as file:
        array = _read_header(file)
        declared = file.tell() + array.dtype.itemsize * math.prod(array.shape)
    if (size := archive.getinfo(f"{name}.npy").file_size) != declared:
        raise ValueError(f"{name} has {size:,} bytes, but {declared:,} by its header")
    return array


def _read_header(file: IO[bytes]) -> _Array:
    """Shape, memory order and type of an array; leaves the file at the first value."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array in format {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    array = _Array(*read(file))
    if array.dtype.hasobject:
        raise ValueError("it holds Python objects")
    return array


def _check_images(path: Path, splits: Sequence[str], arrays: Mapping[str, _Array], size: Size | None) -> None:
    for split in splits:
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if images.dtype != np.uint8 or len(images.shape) not in (3, 4):
            raise InputError(
                f"{path}: x_{split} must hold uint8 pixels of shape (N, H, W) or (N, H, W, C), "
                f"but is {images.dtype} of shape {images.shape}"
            )
        count = images.shape[0]
        if count > MOST_IMAGES:
            raise InputError(f"{path}: x_{split} holds {count:,} images; at most {MOST_IMAGES:,} can be read")
        if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
            raise InputError(
                f"{path}: y_{split} must hold one whole number for each of the {count} images, "
                f"but is {labels.dtype} of shape {labels.shape}"
            )
        if size is None:
            refuse_large(str(path), *images.shape[1:3])
        elif images.shape[3:] not in ((), (1,), (3,)):
            raise InputError(f"{path}: images must have 1 or 3 channels, but x_{split} has {images.shape[3]}")


def _read_labels(archive: zipfile.ZipFile, name: str) -> Labels:
    """Labels, whose number was checked. Raises `InputError` for one that is too large for any class."""
    with archive.open(f"{name}.npy") as file:
        values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False).reshape(-1)
    if (most := values.max(initial=0)) > np.iinfo(np.int64).max:
        raise InputError(f"{archive.filename}: {name} must number the classes from 0 up, but holds {most}")
    return values.astype(np.int64)


def _class_names(path: Path, archive: zipfile.ZipFile, labels: Labels) -> list[str]:
    """The names in the array `classes`, or the labels where there is none."""
    # A label beyond the number of images is not a class: `check_source` refuses it.
    count = min(int(labels.max(initial=-1)) + 1, len(labels))
    if "classes.npy" not in archive.namelist():
        return [str(label) for label in range(count)]
    array = _header(archive, "classes")
    if array.shape != (count,):
        raise InputError(
            f"{path}: classes must name the {count} classes of the training labels, but has the shape {array.shape}"
        )
    if count * array.dtype.itemsize > MOST_NAME_BYTES:
        raise InputError(f"{path}: the names in classes take {count * array.dtype.itemsize:,} bytes; shorten them")
    with archive.open("classes.npy") as file:
        found = np.lib.format.read_array(file, allow_pickle=False).tolist()
    names = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in found]
    if twins := [name for name, number in Counter(normalize("NFC", name) for name in names).items() if number > 1]:
        raise InputError(f"{path}: several classes look like {twins[0]!r}; give each class a name of its own")
    return names


def _array_part(path: Path, name: str, array: _Array, labels: Labels, size: Size | None) -> Part:
    height, width, *channels = array.shape[1:]
    shape = (*(size or (height, width)), *(channels or [1]))
    loading = math.prod(array.shape) if array.is_fortran else CHUNK
    return Part(labels, shape, partial(_read_rows, path, name, shape, size), loading)


def _read_rows(
    path: Path, name: str, shape: Shape, size: Size | None, selections: Sequence[Indices], _: PixelRange | None
) -> list[Images]:
    found = [np.empty((len(indices), *shape), np.uint8) for indices in selections]
    with _damage_refused(path), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        for start, rows in _rows(file):
            for images, indices in zip(found, selections, strict=True):
                low, high = np.searchsorted(indices, (start, start + len(rows)))
                chosen = rows[indices[low:high] - start]
                images[low:high] = chosen if size is None else _resized(chosen, size)
    return found


def _rows(file: IO[bytes]) -> Iterator[tuple[int, Images]]:
    """The images of an array (N, H, W, C) in chunks, each with the index of its first image.

    Reads to the end of the entry, where zipfile compares the checksum.
    """
    array = _read_header(file)
    count, each = array.shape[0], math.prod(array.shape[1:])
    if array.is_fortran:
        values = np.frombuffer(file.read(count * each), np.uint8).reshape(array.shape[::-1]).transpose()
        yield 0, with_channels(values)
    else:
        step = max(1, CHUNK // max(1, each))
        for start in range(0, count, step):
            number = min(step, count - start)
            values = np.frombuffer(file.read(number * each), np.uint8).reshape(number, *array.shape[1:])
            yield start, with_channels(values)
    if file.read(1):
        raise ValueError("an array is longer than its header says")


def _resized(images: Images, size: Size) -> Images:
    from PIL import Image

    is_grey = images.shape[3] == 1
    pictures = [Image.fromarray(image[:, :, 0] if is_grey else image) for image in images]
    resized = [fitted(picture, size) for picture in pictures]
    return with_channels(np.stack(resized)) if resized else np.empty((0, *size, images.shape[3]), np.uint8)
