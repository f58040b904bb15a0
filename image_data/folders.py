"""Reads images from folders, one for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from image_data.source import FOLDER_SIDE, Images, Indices, Labels, Part, Shape, Size, Source, fitted, refuse_large
from records import InputError
from records.words import listed

FOLDERS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
PICTURES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What a file may be inside, whatever its ending says. Pillow knows more, and hands some of them to other programs: a
# PostScript file called .png would be run by Ghostscript. JPEG includes MPO, which many phones write.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


@dataclass(frozen=True)
class _Listing:
    """The pictures of a folder of class folders: class names in alphabetical order, paths and labels."""

    folder: Path
    class_names: list[str]
    paths: list[str]
    labels: Labels


def read_folder(folder: Path, size: Size | None) -> Source:
    """Reads a folder of class folders, or one with such folders `train` and, optionally, `val` and `test`.

    The header of every picture is read, which gives its size and reveals files that are not
    pictures; pixels are read later.
    """
    try:
        listings = {name: _list(part) for name, part in _split_folders(folder).items()}
    except OSError as error:
        raise InputError(f"cannot read the folder {error.filename or folder} ({error.strerror})") from error
    class_names = listings["train"].class_names
    for other in listings.values():
        if other.class_names != class_names:
            raise InputError(
                f"{other.folder} {_difference(class_names, other.class_names)}; give all splits the same class folders"
            )
    headers = {_header(path) for listing in listings.values() for path in listing.paths}
    is_grey = all(mode in ("1", "L") or mode.startswith(("I", "F")) for _, mode in headers)
    sizes = {found for found, _ in headers}
    if size is None and len(sizes) > 1:
        size = FOLDER_SIDE, FOLDER_SIDE
    width, height = sizes.pop()
    if size is None:
        refuse_large(str(folder), height, width)
    shape = (*(size or (height, width)), 1 if is_grey else 3)
    parts = {
        name: Part(listing.labels, shape, partial(_read_pictures, listing.paths, shape, size))
        for name, listing in listings.items()
    }
    return Source(parts["train"], parts.get("validation"), parts.get("test"), class_names)


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split, by name; without a folder `train`, the folder itself holds the classes to train on."""
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
    """Lists pictures in the order of torchvision's ImageFolder; skips hidden files and what zip leaves (__MACOSX)."""
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
            raise InputError(f"{folder / name}: this class has no pictures ({', '.join(PICTURES)})")
        paths += found
        labels += [label] * len(found)
    if not names:
        raise InputError(f"{folder}: expected one folder of images for each class, found no folder")
    # A name that is not UTF-8 could not be printed.
    shown = [os.fsencode(name).decode(errors="replace") for name in names]
    return _Listing(folder, shown, paths, np.asarray(labels, dtype=np.int64))


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    """Says which classes are missing and which are surplus."""
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    lacks = f"lacks {listed(missing)}" if missing else ""
    more = f"has {listed(surplus)}, which the training images lack" if surplus else ""
    return ", and ".join(filter(None, (lacks, more)))


def _header(path: str) -> tuple[tuple[int, int], str]:
    """Width, height and mode of a picture, from its header."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as picture:
            return picture.size, picture.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the picture {path} ({error})") from error


def _read_pictures(
    paths: Sequence[str], shape: Shape, size: Size | None, selections: Sequence[Indices]
) -> list[Images]:
    found = [np.empty((len(indices), *shape), np.uint8) for indices in selections]
    for images, indices in zip(found, selections, strict=True):
        for image, index in zip(images, indices, strict=True):
            image[:] = _read_picture(paths[index], shape[2] == 1, size).reshape(shape)
    return found


def _read_picture(path: str, is_grey: bool, size: Size | None) -> Images:
    """One picture as an array (H, W) or (H, W, 3), resized if a size is given."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as picture:
            pixels: Image.Image = picture
            if picture.mode.startswith("I"):  # 16 bits a pixel, which PIL would clip at 255
                pixels = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            # A palette may hold transparency, which can be dropped only by way of RGBA.
            converted = pixels.convert("L") if is_grey else pixels.convert("RGBA").convert("RGB")
            return fitted(converted, size)
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot read the picture {path} ({error})") from error
