"""Reads images from folders, one for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from image_data.listing import Lister, Listing, alike
from image_data.pictures import LOADING, Header, range_of, read_header, read_picture
from image_data.source import (
    FOLDER_SIDE,
    Images,
    Indices,
    Part,
    PixelRange,
    Shape,
    Size,
    Source,
    refuse_large,
)
from image_data.split_folders import find_splits
from records import InputError
from records.words import listed


def read_folder(folder: Path, size: Size | None) -> Source:
    """Reads a folder of class folders, or one with such folders `train` and, optionally, `val` and `test`.

    The header of every picture is read, which gives its size and reveals files that are not
    pictures; pixels are read later.
    """
    lister = Lister()
    try:
        splits, notes = find_splits(folder)
        listings = lister.listings(splits)
    except OSError as error:
        raise InputError(f"cannot read the folder {error.filename or folder} ({error.strerror})") from error
    class_names = listings["train"].class_names
    listings = {name: _in_classes(listing, class_names) for name, listing in listings.items()}
    headers = {read_header(path) for listing in listings.values() for path in listing.paths}
    shape = _shape(folder, headers, size)
    if size is None and len({header.size for header in headers}) > 1:
        size = shape[0], shape[1]
    loading = LOADING * max(width * height for width, height in (header.size for header in headers))
    has_open_range = any(header.has_open_range for header in headers)
    parts = {
        name: Part(
            listing.labels,
            shape,
            partial(_read_pictures, listing.paths, shape, size),
            loading,
            partial(_range_of, listing.paths) if has_open_range else None,
        )
        for name, listing in listings.items()
    }
    return Source(parts["train"], parts.get("validation"), parts.get("test"), class_names, (*notes, *lister.notes()))


def _in_classes(listing: Listing, class_names: Sequence[str]) -> Listing:
    """The listing with labels that count the classes in this order, matched by name. Raises `InputError`."""
    wanted, found = ([alike(name) for name in names] for names in (class_names, listing.class_names))
    if sorted(wanted) != sorted(found):
        raise InputError(f"{listing.folder} {_difference(wanted, found)}; give all splits the same class folders")
    numbers = np.array([wanted.index(name) for name in found])
    return replace(listing, labels=numbers[listing.labels])


def _shape(folder: Path, headers: set[Header], size: Size | None) -> Shape:
    """Height, width and channels of all images."""
    channels = 1 if all(header.is_grey for header in headers) else 3
    if size is not None:
        return *size, channels
    sizes = {header.size for header in headers}
    if len(sizes) > 1:
        return FOLDER_SIDE, FOLDER_SIDE, channels
    [(width, height)] = sizes
    refuse_large(str(folder), height, width)
    return height, width, channels


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    """Says which classes are missing and which are surplus."""
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    lacks = f"lacks {listed(missing)}" if missing else ""
    more = f"has {listed(surplus)}, which the training images lack" if surplus else ""
    return ", and ".join(filter(None, (lacks, more)))


def _range_of(paths: Sequence[str], indices: Indices) -> PixelRange | None:
    return range_of([paths[index] for index in indices])


def _read_pictures(
    paths: Sequence[str], shape: Shape, size: Size | None, selections: Sequence[Indices], pixel_range: PixelRange | None
) -> list[Images]:
    found = [np.empty((len(indices), *shape), np.uint8) for indices in selections]
    for images, indices in zip(found, selections, strict=True):
        for image, index in zip(images, indices, strict=True):
            image[:] = read_picture(paths[index], shape[2] == 1, size, pixel_range).reshape(shape)
    return found
