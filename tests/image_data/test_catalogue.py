"""Data sets known by name: digits, and torchvision's from small files in their formats."""

from __future__ import annotations

import hashlib
import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from image_data import ImageData
from image_data.catalogue import DATA_HELP, NAMED_SETS, NamedSet, default_val_fraction, may_flip
from records import DataConfig
from records.settings import MAXIMUM_IMAGE_SIDE, MINIMUM_SIDE
from tests.pictures import images_of, load, pairs, refusal


def test_digits_are_real_grey_images_of_eight_by_eight_pixels(digits: ImageData) -> None:
    assert digits.input_shape == (1, 8, 8)
    assert digits.class_names == tuple("0123456789")
    assert sum(len(digits.split(name)[1]) for name in ("train", "validation", "test")) == 1797
    assert digits.train_images.dtype == np.uint8
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 255)


@pytest.mark.parametrize("name", ["cifar11", "nowhere/images.npz", "Digits"])
def test_an_unknown_data_set_is_refused_with_what_is_known(name: str) -> None:
    message = refusal(lambda: load(name))
    assert repr(name) in message
    assert all(known in message for known in (*NAMED_SETS, "folder of class folders", ".npz"))


def images_like(known: NamedSet, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Three random images of each class, in random order, of the shape of a data set."""
    channels, height, width = known.shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    labels = np.random.default_rng(seed).permutation(np.arange(3 * known.classes) % known.classes)
    return images_of(len(labels), *shape, seed=seed), labels


DOWNLOADED = [name for name, known in NAMED_SETS.items() if known.torchvision]
WRITTEN = ["cifar10", "cifar100", "mnist", "fashion_mnist", "kmnist", "svhn"]  # their formats can be written here
SOURCES = {name: (images_like(NAMED_SETS[name], seed=1), images_like(NAMED_SETS[name], seed=2)) for name in WRITTEN}


def write_downloaded(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a torchvision set with images of ours, and torchvision told their checksums."""
    from torchvision import datasets

    kind: Any = getattr(datasets, NAMED_SETS[name].torchvision)
    if name.startswith("cifar"):
        write_cifar(kind, name, folder / kind.base_folder, monkeypatch)
    elif name == "svhn":
        write_svhn(kind, folder, monkeypatch)
    else:
        write_mnist(name, folder / kind.__name__ / "raw")


def write_cifar(kind: Any, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled batches: rows of all red, then green, then blue pixels. The training images lie in one or five files."""

    def write(file: str, content: dict[str, Any]) -> list[str]:
        (folder / file).write_bytes(pickle.dumps(content, protocol=2))
        return [file, hashlib.md5((folder / file).read_bytes(), usedforsecurity=False).hexdigest()]

    folder.mkdir(parents=True)
    label = "labels" if name == "cifar10" else "fine_labels"
    for files, (images, labels) in zip(("train_list", "test_list"), SOURCES[name], strict=True):
        names = [file for file, _ in getattr(kind, files)]
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        parts = zip(names, np.array_split(rows, len(names)), np.array_split(labels, len(names)), strict=True)
        written = [write(file, {"data": data, label: list(map(int, part))}) for file, data, part in parts]
        monkeypatch.setattr(kind, files, written)
    classes = {kind.meta["key"]: [f"thing {number}" for number in range(len(set(SOURCES[name][0][1])))]}
    monkeypatch.setitem(kind.meta, "md5", write(kind.meta["filename"], classes)[1])


def write_svhn(kind: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MATLAB files: images (H, W, C, N), and the digit 0 as label 10."""
    import scipy.io

    folder.mkdir(parents=True)
    for split, (images, labels) in zip(("train", "test"), SOURCES["svhn"], strict=True):
        url, file, _ = kind.split_list[split]
        scipy.io.savemat(
            folder / file,
            {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]},
        )
        checksum = hashlib.md5((folder / file).read_bytes(), usedforsecurity=False).hexdigest()
        monkeypatch.setitem(kind.split_list, split, [url, file, checksum])


def write_mnist(name: str, folder: Path) -> None:
    """IDX files: a magic number, the size of each axis, then the bytes."""
    folder.mkdir(parents=True)
    for prefix, (images, labels) in zip(("train", "t10k"), SOURCES[name], strict=True):
        for file, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels.astype(np.uint8))):
            header = np.array([0x800 + array.ndim, *array.shape], dtype=">u4")
            (folder / f"{prefix}-{file}").write_bytes(header.tobytes() + array.tobytes())


@pytest.mark.parametrize("name", WRITTEN)
def test_a_downloaded_data_set_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_downloaded(name, tmp_path / "data", monkeypatch)
    data = load(name, data_dir=str(tmp_path / "data"), val_fraction=0.4)
    (images, labels), (test_images, test_labels) = SOURCES[name]
    assert data.input_shape == NAMED_SETS[name].shape
    assert data.classes == NAMED_SETS[name].classes
    assert pairs(data.split("train"), data.split("validation")) == pairs((images, labels))
    assert pairs(data.split("test")) == pairs((test_images, test_labels))


@pytest.mark.parametrize("known", NAMED_SETS.values(), ids=NAMED_SETS)
def test_a_named_set_can_be_trained_on_and_is_in_the_help(known: NamedSet) -> None:
    channels, *sides = known.shape
    assert channels in (1, 3)
    assert min(sides) >= MINIMUM_SIDE
    assert max(sides) <= MAXIMUM_IMAGE_SIDE
    assert known.classes > 1
    assert default_val_fraction(DataConfig(dataset=known.name)) == known.val_fraction
    assert known.name in DATA_HELP["dataset"].split(", ")


@pytest.mark.parametrize(("name", "first"), [("mnist", "0 - zero"), ("kmnist", "o")])
def test_classes_have_the_names_of_the_data_set(
    name: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_downloaded(name, tmp_path / "data", monkeypatch)
    assert load(name, data_dir=str(tmp_path / "data")).class_names[0] == first


def cut_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


@pytest.mark.parametrize("name", DOWNLOADED)
def test_without_a_network_missing_data_are_explained_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_the_line(monkeypatch)
    message = refusal(lambda: load(name, data_dir=str(tmp_path / "data")))
    assert name in message
    assert str(tmp_path / "data") in message
    assert "--data_dir" in message
    assert "--dataset digits" in message
    assert not (tmp_path / "data").exists()


def test_a_failed_download_leaves_other_data_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_the_line(monkeypatch)
    (tmp_path / "mine.txt").write_text("mine")
    refusal(lambda: load("cifar10", data_dir=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_only_pictures_that_stay_what_they_are_may_be_mirrored() -> None:
    for name in ("cifar10", "cifar100", "pets"):
        assert may_flip(DataConfig(dataset=name))
    for name in ("digits", "mnist", "fashion_mnist", "kmnist", "svhn"):
        assert not may_flip(DataConfig(dataset=name))


@pytest.mark.parametrize("size", [0, 3, 16, 1000])
def test_a_damaged_download_is_refused(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_the_line(monkeypatch)
    write_downloaded("mnist", tmp_path / "data", monkeypatch)
    path = tmp_path / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:size])
    assert "mnist" in refusal(lambda: load("mnist", data_dir=str(tmp_path / "data")))


def test_a_named_set_is_not_resized() -> None:
    assert "--image_size is for your own images" in refusal(lambda: load("digits", image_size="16"))
