"""Small data sets in the archives that CIFAR-10 and CIFAR-100 are published in."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets

PUBLISHED = {"CIFAR10": "labels", "CIFAR100": "fine_labels"}  # torchvision's classes, and what they call labels


def publish(folder: Path, address: str, classes: dict[str, int], images_per_class: int) -> dict[str, dict[str, Any]]:
    """Writes both archives; returns what torchvision must know of them: places, names of files, checksums."""
    folder.mkdir(parents=True)
    return {
        name: {"url": f"{address}/{getattr(datasets, name).filename}", **_write(folder, name, count, images_per_class)}
        for name, count in classes.items()
    }


def _write(folder: Path, name: str, classes: int, images_per_class: int) -> dict[str, Any]:
    kind: Any = getattr(datasets, name)
    rng = np.random.default_rng(classes)
    colours = rng.integers(0, 256, (classes, 3, 1))
    files: dict[str, bytes] = {}
    for part in (kind.train_list, kind.test_list):
        labels = rng.permutation(np.arange(images_per_class * classes) % classes)
        # Rows of all red, then green, then blue pixels: the colour of the class, with noise.
        pixels = colours[labels] + rng.normal(0, 40, (len(labels), 3, 32 * 32))
        rows = np.clip(pixels, 0, 255).astype(np.uint8).reshape(len(labels), -1)
        for (file, _), places in zip(part, np.array_split(np.arange(len(labels)), len(part)), strict=True):
            content = {"data": rows[places], PUBLISHED[name]: labels[places].tolist()}
            files[file] = pickle.dumps(content, protocol=2)
    files[kind.meta["filename"]] = pickle.dumps({kind.meta["key"]: [f"thing {number}" for number in range(classes)]}, 2)
    archive = folder / kind.filename
    with tarfile.open(archive, "w:gz") as tar:
        for file, content_bytes in files.items():
            entry = tarfile.TarInfo(f"{kind.base_folder}/{file}")
            entry.size = len(content_bytes)
            tar.addfile(entry, io.BytesIO(content_bytes))
    sums = {file: _md5(content_bytes) for file, content_bytes in files.items()}
    return {
        "tgz_md5": _md5(archive.read_bytes()),
        "train_list": [[file, sums[file]] for file, _ in kind.train_list],
        "test_list": [[file, sums[file]] for file, _ in kind.test_list],
        "meta": {**kind.meta, "md5": sums[kind.meta["filename"]]},
    }


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
