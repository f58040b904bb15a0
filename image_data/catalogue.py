"""Finds a data set by its name: scikit-learn's digits, torchvision's sets, or data of one's own."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from image_data.archives import read_npz
from image_data.folders import read_folder
from image_data.source import Images, Labels, Source, held, with_channels
from records import DataConfig, InputError

TORCHVISION_SETS = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "svhn": "SVHN",
}
NAMED_SETS = ("digits", *TORCHVISION_SETS)
SHAPES = {  # channels, height, width and classes of the named sets, for what needs no images
    "digits": ((1, 8, 8), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "kmnist": ((1, 28, 28), 10),
    "svhn": ((3, 32, 32), 10),
}


def read_source(config: DataConfig) -> Source:
    """What the data set holds that is named. Raises `InputError` where it is missing, damaged or of another form."""
    name = config.dataset
    if config.image_size is not None and name in NAMED_SETS:
        raise InputError(f"--image_size is for data of one's own, but --dataset is {name}; leave it out")
    if name == "digits":
        return _read_digits()
    if name in TORCHVISION_SETS:
        return _read_torchvision(name, Path(config.data_dir))
    if Path(name).is_dir():
        return read_folder(Path(name), config.size)
    if Path(name).is_file():
        return read_npz(Path(name), config.size)
    known = ", ".join(NAMED_SETS)
    raise InputError(f"no data set {name!r}: expected {known}, a folder of class folders, or an .npz file that exists")


def _read_digits() -> Source:
    """1,797 real 8×8 images of digits from scikit-learn (UCI, Alpaydin & Kaynak 1998), values 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return Source(held(images, bunch.target.astype(np.int64)), None, None, [str(digit) for digit in range(10)])


def _read_torchvision(name: str, folder: Path) -> Source:
    from torchvision import datasets

    make: Callable[..., Any] = getattr(datasets, TORCHVISION_SETS[name])
    parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    if name == "svhn":
        parts = [{"split": "train"}, {"split": "test"}]
    loaded, existed = [], folder.exists()
    for part in parts:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                loaded.append(make(folder, download=True, **part))
        except (OSError, RuntimeError, ValueError, AssertionError, struct.error) as error:
            if not existed:
                shutil.rmtree(folder, ignore_errors=True)
            raise InputError(_advice(name, make, folder, error)) from error
    arrays: list[tuple[Images, Labels]] = []
    for dataset in loaded:
        images = np.asarray(dataset.data)
        if name == "svhn":
            images = images.transpose(0, 2, 3, 1)
        labels = np.asarray(dataset.labels if name == "svhn" else dataset.targets, dtype=np.int64)
        arrays.append((np.ascontiguousarray(with_channels(images)), labels))
    names = getattr(loaded[0], "classes", None) or [str(label) for label in range(10)]
    return Source(held(*arrays[0]), None, held(*arrays[1]), [str(label) for label in names])


def _advice(name: str, make: Any, folder: Path, error: Exception) -> str:
    """What to do about a data set of torchvision's that is not there and does not come."""
    mnist_like = name.endswith("mnist")
    place = folder.resolve() / TORCHVISION_SETS[name] / "raw" if mnist_like else folder.resolve()
    url = make.mirrors[0] if mnist_like else make.split_list["train"][0] if name == "svhn" else make.url
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return (
        f"data set {name} is not whole in {folder.resolve()} and could not be downloaded ({reason}); "
        f"put the files of {url} into {place}, name another --data_dir, or use --dataset digits"
    )
