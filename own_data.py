"""Reads data of one's own: folders of pictures and .npz archives. Labels and shapes come first, pixels where asked."""

from __future__ import annotations

import contextlib
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from records import MAXIMUM_IMAGE_SIDE, MINIMUM_SIDE, InputError

Images = NDArray[np.uint8]  # (N, H, W, C)
Labels = NDArray[np.int64]  # (N,)
Places = NDArray[np.int64]  # of images in a part, ascending
Size = tuple[int, int]  # height, width
Shape = tuple[int, ...]

FOLDER_SIDE = 64  # pixels, for folders whose pictures differ in size
EXAMPLE_SIDE = 128  # pixels of the longer side, in advice
FOLDERS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
PICTURES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
CHUNK = 2**22  # bytes of an array that are read at once


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


def _refuse_large(name: str, height: int, width: int) -> None:
    longer = max(height, width)
    if longer > MAXIMUM_IMAGE_SIDE:
        like = "x".join(str(max(MINIMUM_SIDE, round(EXAMPLE_SIDE * side / longer))) for side in (height, width))
        raise InputError(
            f"{name}: images are {height}×{width} pixels, but networks read at most {MAXIMUM_IMAGE_SIDE} a side; "
            f"name a size, for instance --image_size {FOLDER_SIDE} (a square from the middle) or {like} (all of them)"
        )


# Folders


@dataclass(frozen=True)
class _Listing:
    """The pictures of a folder of class folders: their classes, in alphabetical order, paths and labels."""

    folder: Path
    class_names: list[str]
    paths: list[str]
    labels: Labels


def read_folder(folder: Path, size: Size | None) -> Source:
    """A folder of class folders, or one with such folders `train` and perhaps `val` and `test`.

    Every header is read, so that all pictures are found to be pictures, and how large they are;
    pixels are read where they are asked for.
    """
    try:
        listings = {name: _list(part) for name, part in _split_folders(folder).items()}
    except OSError as error:
        raise InputError(f"cannot read the folder {error.filename or folder} ({error.strerror})") from error
    class_names = listings["train"].class_names
    for other in listings.values():
        if other.class_names != class_names:
            raise InputError(f"{other.folder} {_difference(class_names, other.class_names)}; give all the same folders")
    looks = {_look_at(path) for listing in listings.values() for path in listing.paths}
    is_grey = all(mode in ("1", "L") or mode.startswith(("I", "F")) for _, mode in looks)
    sizes = {found for found, _ in looks}
    if size is None and len(sizes) > 1:
        size = FOLDER_SIDE, FOLDER_SIDE
    width, height = sizes.pop()
    if size is None:
        _refuse_large(str(folder), height, width)
    shape = (*(size or (height, width)), 1 if is_grey else 3)
    parts = {
        name: Part(listing.labels, shape, partial(_read_pictures, listing.paths, shape, size))
        for name, listing in listings.items()
    }
    return Source(parts["train"], parts.get("validation"), parts.get("test"), class_names)


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders of the splits, by name; the folder itself is all there is to train where it holds the classes."""
    children = sorted(child for child in folder.iterdir() if child.is_dir())
    found: dict[str, Path] = {}
    for name, spellings in FOLDERS.items():
        there = [child for child in children if child.name.lower() in spellings]
        if len(there) > 1:
            raise InputError(f"{folder}: {' and '.join(part.name for part in there)} are both there; keep one of them")
        if there:
            found[name] = there[0]
    has_classes = "train" in found and any(child.is_dir() for child in found["train"].iterdir())
    return found if has_classes else {"train": folder}


def _list(folder: Path) -> _Listing:
    """Lists a folder in the order of torchvision's ImageFolder, without what is hidden or left by zip (__MACOSX)."""
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__")))
    paths, labels = list[str](), list[int]()
    for label, name in enumerate(names):
        found = [
            os.path.join(root, file)
            for root, _, files in sorted(os.walk(folder / name, followlinks=True))
            for file in sorted(files)
            if file.lower().endswith(PICTURES) and not file.startswith(".")
        ]
        if not found:
            raise InputError(f"{folder / name}: there is no picture of this class ({', '.join(PICTURES)})")
        paths += found
        labels += [label] * len(found)
    if not names:
        raise InputError(f"{folder}: expected one folder of images for each class, found no folder")
    # A name that is not UTF-8 could not be printed.
    shown = [os.fsencode(name).decode(errors="replace") for name in names]
    return _Listing(folder, shown, paths, np.asarray(labels, dtype=np.int64))


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    """Which classes are missing, and which are too many."""
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    lacks = f"lacks {_some(missing)}" if missing else ""
    more = f"has {_some(surplus)}, which the training images have not" if surplus else ""
    return ", and ".join(filter(None, (lacks, more)))


def _some(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _look_at(path: str) -> tuple[tuple[int, int], str]:
    """Width, height and mode of a picture, from its header."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size, picture.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the picture {path} ({error})") from error


def _read_pictures(paths: Sequence[str], shape: Shape, size: Size | None, selections: Sequence[Places]) -> list[Images]:
    found = [np.empty((len(places), *shape), np.uint8) for places in selections]
    for images, places in zip(found, selections, strict=True):
        for image, place in zip(images, places, strict=True):
            image[:] = _read_picture(paths[place], shape[2] == 1, size).reshape(shape)
    return found


def _read_picture(path: str, is_grey: bool, size: Size | None) -> Images:
    """One picture as an array (H, W) or (H, W, 3), resized if a size is given."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels: Image.Image = picture
            if picture.mode.startswith("I"):  # 16 bits a pixel, which PIL would clip at 255
                pixels = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            # A palette may hold transparency, which only RGBA can carry on the way to RGB.
            converted = pixels.convert("L") if is_grey else pixels.convert("RGBA").convert("RGB")
            return _fitted(converted, size)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot read the picture {path} ({error})") from error


def _fitted(picture: Any, size: Size | None) -> Images:
    """A PIL picture as an array: the largest part around its middle that has the form of `size`, resized to it."""
    from PIL import ImageOps

    return np.asarray(picture if size is None else ImageOps.fit(picture, size[::-1]))


# Archives


@dataclass(frozen=True)
class _Array:
    """An array of an archive, from its header alone."""

    shape: Shape
    is_fortran: bool
    dtype: np.dtype[Any]


def read_npz(path: Path, size: Size | None) -> Source:
    """The arrays that Keras ships its data sets in; those for validation and test may be missing.

    Pixels are read row by row where they are asked for. Pickled contents are refused, never read.
    """
    with _sound(path), open(path, "rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
            raise InputError(f"{path}: expected an .npz archive, found a single array")
    with _sound(path), zipfile.ZipFile(path) as archive:
        names = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
        arrays = {name: _header(archive, name) for name in names}
        splits = ["train", *(each for each in ("val", "test") if {f"x_{each}", f"y_{each}"} & set(names))]
        needed = [f"{axis}_{split}" for split in splits for axis in "xy"]
        if missing := [name for name in needed if name not in arrays]:
            raise InputError(
                f"{path}: expected the arrays {', '.join(needed)}, but {', '.join(missing)} is missing "
                f"(found {', '.join(arrays) or 'none'})"
            )
        _check_images(path, splits, arrays, size)
        labels = {split: _read_labels(archive, f"y_{split}") for split in splits}
        class_names = _class_names(path, archive, arrays.get("classes"), labels["train"])
    parts = {split: _array_part(path, f"x_{split}", arrays[f"x_{split}"], labels[split], size) for split in splits}
    return Source(parts["train"], parts.get("val"), parts.get("test"), class_names)


@contextlib.contextmanager
def _sound(path: Path) -> Iterator[None]:
    """What NumPy and zipfile raise on a file that is no archive, or damaged, as an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except (
        ValueError,
        OSError,
        EOFError,
        IndexError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not an .npz file of plain arrays, or damaged ({reason})") from error


def _header(archive: zipfile.ZipFile, name: str) -> _Array:
    with archive.open(f"{name}.npy") as file:
        return _read_header(file)


def _read_header(file: IO[bytes]) -> _Array:
    """Shape, order and type of an array; the file then stands at its first value."""
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
        if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
            raise InputError(
                f"{path}: y_{split} must hold one whole number for each of the {count} images, "
                f"but is {labels.dtype} of shape {labels.shape}"
            )
        if size is None:
            _refuse_large(str(path), *images.shape[1:3])
        elif images.shape[3:] not in ((), (1,), (3,)):
            raise InputError(f"{path}: images must have 1 or 3 channels, but x_{split} has {images.shape[3]}")


def _read_labels(archive: zipfile.ZipFile, name: str) -> Labels:
    with archive.open(f"{name}.npy") as file:
        values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return values.reshape(-1).astype(np.int64)


def _class_names(path: Path, archive: zipfile.ZipFile, array: _Array | None, labels: Labels) -> list[str]:
    """The names in `classes`, or else the numbers."""
    # A label beyond the number of images is no class; it is refused where labels are checked.
    count = min(int(labels.max(initial=-1)) + 1, len(labels))
    if array is None:
        return [str(label) for label in range(count)]
    if array.shape != (count,):
        raise InputError(
            f"{path}: classes must name the {count} classes of the training labels, but has the shape {array.shape}"
        )
    with archive.open("classes.npy") as file:
        names = np.lib.format.read_array(file, allow_pickle=False).tolist()
    return [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names]


def _array_part(path: Path, name: str, array: _Array, labels: Labels, size: Size | None) -> Part:
    height, width, *channels = array.shape[1:]
    shape = (*(size or (height, width)), *(channels or [1]))
    loading = math.prod(array.shape) if array.is_fortran else CHUNK
    return Part(labels, shape, partial(_read_rows, path, name, shape, size), loading)


def _read_rows(path: Path, name: str, shape: Shape, size: Size | None, selections: Sequence[Places]) -> list[Images]:
    found = [np.empty((len(places), *shape), np.uint8) for places in selections]
    with _sound(path), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        for start, rows in _rows(file):
            for images, places in zip(found, selections, strict=True):
                low, high = np.searchsorted(places, (start, start + len(rows)))
                chosen = rows[places[low:high] - start]
                images[low:high] = chosen if size is None else _resized(chosen, size)
    return found


def _rows(file: IO[bytes]) -> Iterator[tuple[int, Images]]:
    """The images of an array (N, H, W, C), some at a time, with the place of the first.

    To the end, which is where zipfile compares the checksum.
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
    fitted = [_fitted(picture, size) for picture in pictures]
    return with_channels(np.stack(fitted)) if fitted else np.empty((0, *size, images.shape[3]), np.uint8)
