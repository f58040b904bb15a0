"""The data sets that there are: those known by name, and the formats in which your own images are read."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from image_data.archives import read_npz
from image_data.folders import read_folder
from image_data.source import Images, Labels, Size, Source, in_memory, with_channels
from records import DataConfig, InputError

VAL_FRACTION = 0.1  # share of the training images to validate on, where a data set does not say otherwise


def _read_digits(known: NamedSet, folder: Path) -> Source:
    """1,797 real 8×8 images of digits from scikit-learn (UCI, Alpaydin & Kaynak 1998), values 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return Source(in_memory(images, bunch.target.astype(np.int64)), None, None, _numbered(known.classes))


def _read_torchvision(known: NamedSet, folder: Path) -> Source:
    """A data set of torchvision's, downloaded into `folder` unless it is there."""
    from torchvision import datasets

    make: Callable[..., Any] = getattr(datasets, known.torchvision)
    loaded, existed = [], folder.exists()
    for arguments in known.splits:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                loaded.append(make(folder, download=True, **arguments))
        except (OSError, RuntimeError, ValueError, AssertionError, struct.error) as error:
            if not existed:
                shutil.rmtree(folder, ignore_errors=True)
            raise InputError(_advice(known, make, folder, error)) from error
    train, test = (_arrays(known, dataset) for dataset in loaded)
    names = getattr(loaded[0], "classes", None) or _numbered(known.classes)
    return Source(in_memory(*train), None, in_memory(*test), [str(name) for name in names])


def _arrays(known: NamedSet, dataset: Any) -> tuple[Images, Labels]:
    """Images (N, H, W, C) and labels of a data set of torchvision's, some of which keep (N, C, H, W)."""
    images = np.asarray(dataset.data)
    if images.shape[1:] == known.shape:
        images = images.transpose(0, 2, 3, 1)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return np.ascontiguousarray(with_channels(images)), np.asarray(labels, dtype=np.int64)


def _numbered(classes: int) -> list[str]:
    return [str(label) for label in range(classes)]


def _advice(known: NamedSet, make: Any, folder: Path, error: Exception) -> str:
    """What to do where files of torchvision's are missing or damaged and cannot be downloaded."""
    from torchvision import datasets

    is_mnist_like = issubclass(make, datasets.MNIST)
    place = folder.resolve() / known.torchvision / "raw" if is_mnist_like else folder.resolve()
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return (
        f"data set {known.name} is incomplete in {folder.resolve()} and could not be downloaded ({reason}); "
        f"put the files of {_address(make)} into {place}, name another --data_dir, or use --dataset digits"
    )


def _address(make: Any) -> str:
    """The address from which a class of torchvision's downloads; they keep it in one of three attributes."""
    if hasattr(make, "url"):
        return str(make.url)
    return str(make.split_list["train"][0] if hasattr(make, "split_list") else make.mirrors[0])


@dataclass(frozen=True, kw_only=True)
class NamedSet:
    """A data set that is known by name; one of torchvision's, unless `read` says otherwise.

    `shape` is channels, height and width. `splits` are the arguments with which torchvision's class
    gives the training and the test images. `may_flip` says whether training images may be mirrored.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int = 10
    may_flip: bool = False
    val_fraction: float = VAL_FRACTION
    torchvision: str = ""  # the name of its class
    splits: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"train": True}, {"train": False})
    read: Callable[[NamedSet, Path], Source] = _read_torchvision


MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
NAMED_SETS = {
    known.name: known
    for known in (
        NamedSet(name="digits", shape=(1, 8, 8), val_fraction=0.2, read=_read_digits),
        NamedSet(name="cifar10", shape=CIFAR, may_flip=True, torchvision="CIFAR10"),
        NamedSet(name="cifar100", shape=CIFAR, classes=100, may_flip=True, torchvision="CIFAR100"),
        NamedSet(name="mnist", shape=MNIST, torchvision="MNIST"),
        NamedSet(name="fashion_mnist", shape=MNIST, torchvision="FashionMNIST"),
        NamedSet(name="kmnist", shape=MNIST, torchvision="KMNIST"),
        NamedSet(name="svhn", shape=CIFAR, torchvision="SVHN", splits=({"split": "train"}, {"split": "test"})),
    )
}
# Readers of files, by suffix. A file of any other suffix is tried as an archive, which says what it expected.
FILE_READERS: dict[str, Callable[[Path, Size | None], Source]] = {".npz": read_npz}
ON_DISK = f"a folder of class folders, or a file ({', '.join(FILE_READERS)})"


def read_source(config: DataConfig) -> Source:
    """Labels, shapes and class names of the data set that `config` names.

    Raises `InputError` where it is missing, damaged, or in a form that cannot be read.
    """
    name, path = config.dataset, Path(config.dataset)
    known = NAMED_SETS.get(name)
    if known is not None:
        if config.image_size is not None:
            raise InputError(f"--image_size is for your own images, but --dataset is {name}; leave it out")
        return known.read(known, Path(config.data_dir))
    if path.is_dir():
        return read_folder(path, config.size)
    if path.is_file():
        return FILE_READERS.get(path.suffix.lower(), read_npz)(path, config.size)
    raise InputError(f"no data set {name!r}: expected {', '.join(NAMED_SETS)}, {ON_DISK} that exists")


def with_whole_path(config: DataConfig) -> DataConfig:
    """The same data, by a path that holds wherever the program is started."""
    if config.dataset in NAMED_SETS or not Path(config.dataset).exists():
        return config
    return replace(config, dataset=str(Path(config.dataset).resolve()))


def may_flip(config: DataConfig) -> bool:
    """Whether training images may be mirrored where `--flip` is auto; your own may."""
    return config.dataset not in NAMED_SETS or NAMED_SETS[config.dataset].may_flip


def default_val_fraction(config: DataConfig) -> float:
    """The share of the training images to validate on, where `--val_fraction` is not given."""
    known = NAMED_SETS.get(config.dataset)
    return VAL_FRACTION if known is None else known.val_fraction


def _val_fractions() -> str:
    """The default shares of validation images, in words."""
    others = [each for each in NAMED_SETS.values() if each.val_fraction != VAL_FRACTION]
    return ", ".join([f"{VAL_FRACTION}", *(f"{each.name} {each.val_fraction}" for each in others)])


DATA_HELP = {  # of the flags of `DataConfig` whose help depends on which data sets there are
    "dataset": f"{', '.join(NAMED_SETS)}, {ON_DISK}",
    "val_fraction": f"share of the training data held out for fitness (default: {_val_fractions()})",
}
