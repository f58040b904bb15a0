"""Checks a data set, and assigns its images to the splits."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from image_data.catalogue import NAMED_SETS, default_val_fraction
from image_data.source import Indices, Labels, Part, Source
from records import DataConfig, InputError
from records.machine import free_memory
from records.settings import MINIMUM_SIDE

Split = tuple[Part, Indices]  # some images of a part
TEST_FRACTION = 0.2  # of data that come without a test split: digits, plain folders of images
COPIES = 2  # of the pixels at most: those read here, and those that the workers share
SPLIT_SEED = 0  # splits are fixed per data set, whatever the seed of the search


def check_source(config: DataConfig, source: Source) -> None:
    """Raises `InputError` unless images and labels can be trained on."""
    name = config.dataset
    for split, part in source.parts.items():
        if part.shape != source.train.shape:
            ours, theirs = ("×".join(map(str, each.shape)) for each in (source.train, part))
            raise InputError(f"{name}: training images are {ours}, but {split} images {theirs}")
        if split != "training" and not len(part.labels):
            raise InputError(f"{name}: there are no {split} images")
    height, width, channels = source.train.shape
    if min(height, width) < MINIMUM_SIDE or channels not in (1, 3):
        raise InputError(
            f"{name}: images must be at least {MINIMUM_SIDE}×{MINIMUM_SIDE} pixels with 1 or 3 channels, "
            f"but are {height}×{width} with {channels}"
        )
    if config.val_fraction is not None and source.validation is not None:
        raise InputError(
            f"--val_fraction is for data without a validation split, but {name} has "
            f"{len(source.validation.labels):,} validation images; leave the flag out"
        )
    _check_labels(name, source)


def _check_labels(name: str, source: Source) -> None:
    """Raises `InputError` unless every class is in each split, and has enough images for those still to be made."""
    labels, class_names = source.train.labels, source.class_names
    in_range = labels.min(initial=0) >= 0 and labels.max(initial=-1) < len(class_names)
    counts = np.bincount(labels, minlength=len(class_names)) if in_range else np.zeros(1)
    if not counts.all():
        found = np.unique(labels)
        raise InputError(
            f"{name}: labels must be the integers from 0 up without gaps, but the training labels are "
            f"{', '.join(map(str, found[:12]))}{', …' if len(found) > 12 else ''}"
        )
    if len(counts) < 2:
        raise InputError(f"{name}: at least 2 classes are needed, but there is {len(counts)}")
    for split, part in list(source.parts.items())[1:]:
        if part.labels.min() < 0 or part.labels.max() >= len(counts):
            raise InputError(
                f"{name}: {split} labels must lie between 0 and {len(counts) - 1} as the training labels do, "
                f"but run from {part.labels.min()} to {part.labels.max()}"
            )
    if source.validation is not None and len(missing := np.setdiff1d(labels, source.validation.labels)):
        named = ", ".join(repr(class_names[label]) for label in missing[:5])
        raise InputError(f"{name}: every class needs validation images, but there are none of {named}")
    uses = ["train", *(["validate"] if source.validation is None else []), *(["test"] if source.test is None else [])]
    rare = int(counts.argmin())
    if counts[rare] < len(uses):
        raise InputError(
            f"{name}: class {class_names[rare]!r} has {counts[rare]} training image{'s' if counts[rare] > 1 else ''}; "
            f"each class needs at least {len(uses)}, one each to {' and to '.join(uses)}"
        )


def _stratified(labels: Labels, count: int, least: int = 1, leave: int = 1) -> Indices:
    """Indices of `count` images, ascending: each class in proportion to its size (largest remainders).

    Takes at least `least` images of each class and leaves at least `leave`. Raises `InputError`
    where that is impossible.
    """
    totals = np.bincount(labels)
    if not least * len(totals) <= count <= len(labels) - leave * len(totals) or totals.min() < least + leave:
        raise InputError(
            f"{count} of {len(labels)} training images cannot be held out so that all {len(totals)} classes "
            "stay on both sides; change --val_fraction or --train_limit"
        )
    shares = totals * count / len(labels)
    taken = np.clip(np.floor(shares).astype(np.int64), least, totals - leave)
    while (difference := count - int(taken.sum())) != 0:
        if difference > 0:
            taken[np.where(taken < totals - leave, shares - taken, -np.inf).argmax()] += 1
        else:
            taken[np.where(taken > least, shares - taken, np.inf).argmin()] -= 1
    rng = np.random.default_rng(SPLIT_SEED)
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:number] for label, number in enumerate(taken)]
    return np.sort(np.concatenate(chosen))


def choose_splits(source: Source, config: DataConfig) -> dict[str, Split]:
    """The images of "train", "validation" and "test"; a missing split is taken from the training images."""
    labels, classes = source.train.labels, len(source.class_names)
    kept = np.arange(len(labels))
    left_to_make = (source.validation is None) + (source.test is None)
    splits: dict[str, Split] = {}
    if source.test is None:
        count = max(round(TEST_FRACTION * len(labels)), classes)
        test = _stratified(labels, count, leave=left_to_make)
        splits["test"], kept = (source.train, test), np.delete(kept, test)
    else:
        splits["test"] = source.test, np.arange(len(source.test.labels))
    kept = kept[_limited(labels[kept], config.train_limit, least=1 if source.validation else 2)]
    if source.validation is None:
        fraction = default_val_fraction(config) if config.val_fraction is None else config.val_fraction
        validation = _stratified(labels[kept], max(round(fraction * len(kept)), classes))
        splits["validation"], kept = (source.train, kept[validation]), np.delete(kept, validation)
    else:
        splits["validation"] = source.validation, np.arange(len(source.validation.labels))
    return {**splits, "train": (source.train, kept)}


def _limited(labels: Labels, train_limit: int | None, least: int) -> Indices:
    """Indices of the images that `--train_limit` keeps, at least `least` of each class."""
    if train_limit is None or train_limit >= len(labels):
        return np.arange(len(labels))
    classes = int(labels.max()) + 1
    if train_limit < least * classes:
        images = "two images" if least == 2 else "one image"
        raise InputError(
            f"--train_limit must be at least {least * classes} ({images} for each of {classes} classes), "
            f"but is {train_limit}"
        )
    return _stratified(labels, train_limit, least=least, leave=0)


def check_memory(config: DataConfig, splits: Mapping[str, Split]) -> None:
    """Raises `InputError` for images that do not fit into free memory, before any is read."""
    each = COPIES * math.prod(splits["train"][0].shape)
    count = sum(len(indices) for _, indices in splits.values())
    loading = max(part.loading for part, _ in splits.values())
    need, free = count * each + loading, free_memory()
    if free is None or need <= free:
        return
    height, width, channels = splits["train"][0].shape
    advice, room = [], max(0, free - loading) / each  # images
    side = int(min(height, width) * math.sqrt(room / count)) // 8 * 8
    if side >= MINIMUM_SIDE and config.dataset not in NAMED_SETS:
        advice.append(f"make them smaller, for instance with --image_size {side}")
    limit = int(room) - count + _limitable(splits)
    if limit > 0:
        advice.append(f"use fewer, with --train_limit {limit}")
    raise InputError(
        f"{config.dataset}: its {count:,} images of {height}×{width}×{channels} need {need / 1e9:,.2f} GB of memory "
        f"({COPIES} bytes per value while they are copied for the workers), but {free / 1e9:,.2f} GB are free; "
        + ", or ".join([*advice, "free some memory"])
    )


def _limitable(splits: Mapping[str, Split]) -> int:
    """The number of images that `--train_limit` can reduce: all but the splits that the data set came with."""
    trained = splits["train"][0]
    return sum(len(splits[name][1]) for name in ("train", "validation") if splits[name][0] is trained)
