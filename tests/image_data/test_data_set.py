"""Data sets, splits, fingerprints and augmentation, on digits and on small files that are made here."""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import random
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as numpy_strategies
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from image_data import ImageData, load_image_data
from image_data.catalogue import NAMED_SETS, may_flip
from image_data.shared_memory import map_training_data, new_shared_memory, share_training_data
from image_data.tensors import to_device
from records import DataConfig, InputError
from training.augmentation import augment

DIGITS_FINGERPRINT = "b7cb273f127eadc11e418510549edb41004df368a515e1acb4abf933474250b0"
CPU = torch.device("cpu")


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


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of one property share."""
    return tmp_path_factory.mktemp("data")


# Digits


def test_digits_are_real_grey_images_of_eight_by_eight_pixels(digits: ImageData) -> None:
    assert digits.input_shape == (1, 8, 8)
    assert digits.class_names == tuple("0123456789")
    assert sum(len(digits.split(name)[1]) for name in ("train", "validation", "test")) == 1797
    assert digits.train_images.dtype == np.uint8
    assert (digits.train_images.min(), digits.train_images.max()) == (0, 255)


def test_the_splits_share_no_image_and_leave_none_out(digits: ImageData) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    source = np.round(bunch.images * 255 / 16).astype(np.uint8)
    parts = [digits.split(name) for name in ("train", "validation", "test")]
    assert pairs(*parts) == pairs((source, bunch.target))


def test_every_split_of_the_digits_holds_every_class_by_its_share(digits: ImageData) -> None:
    counts = {name: np.bincount(digits.split(name)[1], minlength=10) for name in ("train", "validation", "test")}
    total = sum(counts.values())
    assert np.abs(counts["test"] - 0.2 * total).max() < 1
    assert np.abs(counts["validation"] - 0.2 * (total - counts["test"])).max() < 1


def test_splits_do_not_depend_on_any_global_random_state(digits: ImageData) -> None:
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    again = load("digits")
    assert again.fingerprint == digits.fingerprint
    assert same(again, digits, "train", "validation", "test")


def test_the_fingerprint_of_the_digits_never_changes(digits: ImageData) -> None:
    """A run can only be resumed, and its results only be used again, on data of the same fingerprint."""
    assert digits.fingerprint == DIGITS_FINGERPRINT


# Splits and fingerprints


@given(
    counts=st.lists(st.integers(8, 30), min_size=2, max_size=5),
    fraction=st.floats(0.15, 0.5),
)
@settings(max_examples=40, deadline=None)
def test_validation_images_are_taken_from_each_class_by_its_share(
    folder: Path, counts: list[int], fraction: float
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    path = write_npz(folder / "shares.npz", x_train=images_of(len(labels), 8, 8), y_train=labels, y_test=Y_TEST % 2)
    data = load(path, val_fraction=fraction)
    share = len(data.val_labels) / len(labels)
    assert len(data.val_labels) == max(round(fraction * len(labels)), len(counts))
    assert np.abs(np.bincount(data.val_labels, minlength=len(counts)) - share * np.array(counts)).max() < 1
    assert pairs(data.split("train"), data.split("validation")) == pairs((images_of(len(labels), 8, 8), labels))


@given(limit=st.integers(8, 39))
@settings(max_examples=32, deadline=None)
def test_a_training_limit_keeps_that_many_images_and_every_class(folder: Path, limit: int) -> None:
    data = load(write_npz(folder / "limit.npz", y_train=np.sort(Y)), train_limit=limit)
    kept = np.concatenate([data.train_labels, data.val_labels])
    assert len(kept) == limit
    assert np.bincount(kept).max() - np.bincount(kept).min() <= 1
    assert set(data.train_labels) == set(data.val_labels) == {0, 1, 2, 3}
    assert pairs(data.split("train"), data.split("validation")) <= pairs((X, np.sort(Y)))
    assert pairs(data.split("test")) == pairs((X_TEST, Y_TEST))


def test_a_rare_class_is_both_trained_on_and_validated(tmp_path: Path) -> None:
    labels = np.array([0] * 30 + [1] * 2 + [2] * 28)
    path = write_npz(tmp_path / "rare.npz", x_train=images_of(60, 8, 8), y_train=labels, y_test=Y_TEST % 3)
    for limit in (None, 20, 6):
        data = load(path, train_limit=limit)
        assert np.bincount(data.train_labels).min() >= 1
        assert np.bincount(data.val_labels).min() >= 1
        assert np.bincount(np.concatenate([data.train_labels, data.val_labels])).min() >= 2


def test_a_training_limit_beyond_the_data_changes_nothing(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "data.npz")
    assert load(path, train_limit=4000).fingerprint == load(path).fingerprint


def test_a_training_limit_under_two_images_a_class_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "data.npz")
    assert "--train_limit must be at least 8" in refusal(lambda: load(path, train_limit=7))


def test_a_validation_share_that_leaves_a_class_without_training_images_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "data.npz")
    assert "--val_fraction" in refusal(lambda: load(path, val_fraction=0.95))


@given(name=st.sampled_from(["x_train", "x_test"]), place=st.integers(0, 12 * 64 - 1), change=st.integers(1, 255))
@settings(max_examples=40, deadline=None)
def test_any_other_pixel_is_another_fingerprint(folder: Path, name: str, place: int, change: int) -> None:
    before = load(write_npz(folder / "pixel.npz")).fingerprint
    pixels = {"x_train": X, "x_test": X_TEST}[name].copy()
    pixels.reshape(-1)[place] ^= np.uint8(change)
    assert load(write_npz(folder / "pixel.npz", **{name: pixels})).fingerprint != before


@given(name=st.sampled_from(["y_train", "y_test"]), place=st.integers(0, 11), change=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_any_other_label_is_another_fingerprint(folder: Path, name: str, place: int, change: int) -> None:
    before = load(write_npz(folder / "label.npz")).fingerprint
    labels = {"y_train": Y, "y_test": Y_TEST}[name].copy()
    labels[place] = (labels[place] + change) % 4
    assert load(write_npz(folder / "label.npz", **{name: labels})).fingerprint != before


def test_another_split_or_shape_is_another_fingerprint(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "data.npz", x_train=images_of(40, 8, 16), x_test=images_of(12, 8, 16))
    turned = write_npz(tmp_path / "turned.npz", x_train=images_of(40, 16, 8), x_test=images_of(12, 16, 8))
    fingerprints = [
        load(path).fingerprint,
        load(path, val_fraction=0.2).fingerprint,
        load(path, train_limit=30).fingerprint,
        load(path, train_limit=29).fingerprint,
        load(turned).fingerprint,
    ]
    assert len(set(fingerprints)) == len(fingerprints)


def test_the_fingerprint_does_not_depend_on_how_the_data_are_kept(tmp_path: Path) -> None:
    expected = load(write_npz(tmp_path / "one.npz")).fingerprint
    other = write_npz(tmp_path / "two.npz", x_train=X[..., None], y_train=Y.astype(np.uint8).reshape(-1, 1))
    assert load(other).fingerprint == expected
    np.savez_compressed(tmp_path / "three.npz", x_train=X, y_train=Y, x_test=X_TEST, y_test=Y_TEST)
    assert load(tmp_path / "three.npz", data_dir="elsewhere", val_fraction=0.1).fingerprint == expected


@given(
    images=numpy_strategies.arrays(
        np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3]))
    )
)
@settings(deadline=None)
def test_statistics_are_those_of_the_training_pixels(images: NDArray[np.uint8]) -> None:
    labels = np.zeros(len(images), dtype=np.int64)
    other = np.full_like(images, 255)
    data = ImageData(images, labels, other, labels, other, labels, class_names=("a",), fingerprint="")
    mean, std = data.statistics()
    assert mean == pytest.approx(images.mean(axis=(0, 1, 2), dtype=np.float64))
    assert std == pytest.approx(images.std(axis=(0, 1, 2), dtype=np.float64))


# Files of arrays


@pytest.mark.parametrize(
    ("shape", "input_shape"),
    [((8, 8), (1, 8, 8)), ((10, 12), (1, 10, 12)), ((9, 8, 1), (1, 9, 8)), ((8, 11, 3), (3, 8, 11))],
)
@pytest.mark.parametrize("kind", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("column", [False, True])
def test_arrays_are_read_as_keras_ships_them(
    tmp_path: Path, shape: tuple[int, ...], input_shape: tuple[int, int, int], kind: str, column: bool
) -> None:
    images, test_images = images_of(40, *shape), images_of(12, *shape, seed=2)
    labels = [part.astype(kind).reshape(-1, 1) if column else part.astype(kind) for part in (Y, Y_TEST)]
    path = write_npz(tmp_path / "a.npz", x_train=images, y_train=labels[0], x_test=test_images, y_test=labels[1])
    data = load(path)
    assert data.input_shape == input_shape
    assert data.class_names == ("0", "1", "2", "3")
    assert (len(data.train_labels), len(data.val_labels), len(data.test_labels)) == (36, 4, 12)
    assert pairs(data.split("train"), data.split("validation")) == pairs((images, Y))
    assert np.array_equal(data.test_images.reshape(test_images.shape), test_images)
    assert np.array_equal(data.test_labels, Y_TEST)


def test_names_of_classes_are_read_where_they_are_given(tmp_path: Path) -> None:
    names = np.array(["oak", "ash", "elm", "yew"])
    assert load(write_npz(tmp_path / "a.npz", classes=names)).class_names == ("oak", "ash", "elm", "yew")


@pytest.mark.parametrize("missing", [["y_test"], ["x_test"], ["x_train", "y_train"], ["x_train"]])
def test_missing_arrays_are_named(tmp_path: Path, missing: list[str]) -> None:
    path = write_npz(tmp_path / "images.npz", **dict.fromkeys(missing), other=Y)
    message = refusal(lambda: load(path))
    assert str(path) in message
    assert f"{', '.join(missing)} is missing" in message
    assert "other" in message


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "float images": ({"x_train": X / 255}, "x_train must hold uint8 pixels"),
    "float test images": ({"x_test": X_TEST.astype(np.float32)}, "x_test must hold uint8 pixels"),
    "flat images": ({"x_train": X.reshape(40, 64)}, "of shape (40, 64)"),
    "five axes": ({"x_test": X_TEST[..., None, None]}, "of shape (12, 8, 8, 1, 1)"),
    "other test shape": ({"x_test": images_of(12, 9, 8)}, "training images are 8×8×1, but test images 9×8×1"),
    "small images": ({"x_train": X[:, 1:], "x_test": X_TEST[:, 1:]}, "at least 8×8 pixels"),
    "two channels": ({"x_train": images_of(40, 8, 8, 2), "x_test": images_of(12, 8, 8, 2)}, "with 1 or 3 channels"),
    "too few labels": ({"y_train": Y[:-1]}, "y_train must hold one whole number for each of the 40 images"),
    "too many test labels": ({"y_test": Y}, "y_test must hold one whole number for each of the 12 images"),
    "float labels": ({"y_train": Y.astype(float)}, "is float64 of shape (40,)"),
    "one-hot labels": ({"y_train": np.eye(4, dtype=int)[Y]}, "of shape (40, 4)"),
    "text labels": ({"y_test": np.array(list("abcdefghijkl"))}, "y_test must hold one whole number"),
    "labels from 1": ({"y_train": Y + 1, "y_test": Y_TEST + 1}, "from 0 on without a gap"),
    "labels with a gap": ({"y_train": Y * 2}, "training labels are 0, 2, 4, 6"),
    "negative labels": ({"y_train": Y - 1}, "training labels are -1, 0, 1, 2"),
    "high test labels": ({"y_test": Y_TEST + 1}, "test labels must lie between 0 and 3"),
    "negative test labels": ({"y_test": Y_TEST - 1}, "but run from -1 to 2"),
    "one class": ({"y_train": Y * 0, "y_test": Y_TEST * 0}, "at least 2 classes"),
    "one image of a class": ({"y_train": np.where(np.arange(40) == 7, 4, Y)}, "class '4' has 1 training image"),
    "no training images": ({"x_train": X[:0], "y_train": Y[:0]}, "at least 2 classes"),
    "no test images": ({"x_test": X_TEST[:0], "y_test": Y_TEST[:0]}, "there are no test images"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_arrays_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_npz(tmp_path / "images.npz", **changes)
    message = refusal(lambda: load(path))
    assert words in message
    assert str(path) in message


class Trap:
    """An object whose pickle makes a folder when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test", "classes"])
def test_pickled_arrays_are_refused_and_never_run(tmp_path: Path, name: str) -> None:
    sprung = tmp_path / "sprung"
    path = write_npz(tmp_path / "images.npz", **{name: np.array([Trap(sprung)], dtype=object)})
    assert str(path) in refusal(lambda: load(path))
    assert not sprung.exists()
    with np.load(path, allow_pickle=True) as archive:
        archive[name]
    assert sprung.exists()  # so the trap was live


def test_a_pickle_that_is_called_npz_is_refused_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert str(path) in refusal(lambda: load(path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"x_train,y_train\n1,2\n", b"PK", b"\x89PNG\r\n\x1a\n" * 20])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images.npz"
    path.write_bytes(content)
    assert f"{path}: not an .npz file" in refusal(lambda: load(path))


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_an_archive_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = write_npz(tmp_path / "images.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert f"{path}: not an .npz file" in refusal(lambda: load(path))
    gc.collect()  # numpy leaves a damaged file open; here it is closed, with the warning that is ignored


def test_an_archive_with_a_changed_pixel_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "images.npz")
    content = bytearray(path.read_bytes())
    content[content.index(X[20].tobytes())] ^= 1
    path.write_bytes(content)
    assert f"{path}: not an .npz file" in refusal(lambda: load(path))


@pytest.mark.parametrize("name", ["cifar11", "nowhere/images.npz", "Digits"])
def test_an_unknown_data_set_is_refused_with_what_is_known(name: str) -> None:
    message = refusal(lambda: load(name))
    assert repr(name) in message
    assert all(known in message for known in (*NAMED_SETS, "folder of class folders", ".npz"))


# Folders of images


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


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("P", 3), ("1", 1), ("RGBA", 3)])
def test_a_folder_of_class_folders_is_a_data_set(tmp_path: Path, mode: str, channels: int) -> None:
    data = load(write_pictures(tmp_path / "pets", mode))
    assert data.input_shape == (channels, 10, 12)
    assert data.class_names == ("cat", "dog")
    assert brightness_fits_labels(data)
    assert [len(data.split(name)[1]) for name in ("train", "validation", "test")] == [14, 2, 4]


def test_grey_and_coloured_pictures_together_are_read_as_coloured(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L")
    Image.new("RGB", (12, 10), (250, 200, 150)).save(folder / "cat" / "3.png")
    data = load(folder)
    assert data.input_shape == (3, 10, 12)
    assert brightness_fits_labels(data)


def test_test_pictures_come_from_the_test_folder_where_there_is_one(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pets" / "train", count=10)
    write_pictures(tmp_path / "pets" / "test", count=3)
    data = load(tmp_path / "pets")
    assert [len(data.split(name)[1]) for name in ("train", "validation", "test")] == [18, 2, 6]
    assert sorted(data.test_images[:, 0, 0, 0]) == [20, 21, 22, 200, 201, 202]
    assert brightness_fits_labels(data)


def test_pictures_of_different_sizes_are_brought_to_one(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", sizes=((12, 10), (30, 20), (9, 40)))
    assert load(folder).input_shape == (3, 64, 64)
    small = load(folder, image_size="16")
    assert small.input_shape == (3, 16, 16)
    assert brightness_fits_labels(small)


def test_of_an_oblong_picture_the_middle_square_is_kept(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L", sizes=((60, 20),))
    for path in folder.glob("*/*.png"):
        with Image.open(path) as picture:
            wide = np.asarray(picture).copy()
        wide[:, :15], wide[:, 45:] = 0, 255
        Image.fromarray(wide).save(path)
    data = load(folder, image_size="10")
    assert brightness_fits_labels(data)
    assert (data.train_images == data.train_images[:, :1, :1]).all()


def test_pictures_of_one_size_are_resized_where_asked(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L", sizes=((7, 7),))
    assert "at least 8×8 pixels" in refusal(lambda: load(folder))
    assert load(folder, image_size="8").input_shape == (1, 8, 8)


@pytest.mark.parametrize("part", ["cat/4.png", "dog/0.png"])
@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_an_unreadable_picture_is_named(tmp_path: Path, part: str, content: bytes) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / part).write_bytes(content)
    message = refusal(lambda: load(folder))
    assert str(folder / part) in message


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    assert "one folder of images for each class" in refusal(lambda: load(tmp_path))


def test_a_class_folder_without_pictures_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "eel").mkdir()
    assert "eel" in refusal(lambda: load(folder))


def test_classes_that_differ_between_training_and_test_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pets" / "train")
    write_pictures(tmp_path / "pets" / "test")
    (tmp_path / "pets" / "test" / "dog").rename(tmp_path / "pets" / "test" / "eel")
    message = refusal(lambda: load(tmp_path / "pets"))
    assert "'dog'" in message
    assert "'eel'" in message


def test_a_class_of_two_pictures_cannot_be_split_three_ways(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", count=2)
    assert "at least 3, one each to train and to validate and to test" in refusal(lambda: load(folder))


# The sets of torchvision, in the formats that they are downloaded in

SOURCES = {
    name: tuple(
        (images_of(30, *shape, seed=seed), np.random.default_rng(seed).permutation(np.arange(30) % 10))
        for seed in (1, 2)
    )
    for name, shape in [
        ("cifar10", (32, 32, 3)),
        ("cifar100", (32, 32, 3)),
        ("mnist", (28, 28)),
        ("fashion_mnist", (28, 28)),
        ("kmnist", (28, 28)),
        ("svhn", (32, 32, 3)),
    ]
}
SOURCES["cifar100"] = tuple((images_of(300, 32, 32, 3, seed=seed), np.arange(300) % 100) for seed in (1, 2))


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


@pytest.mark.parametrize("name", SOURCES)
def test_a_downloaded_data_set_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_downloaded(name, tmp_path / "data", monkeypatch)
    data = load(name, data_dir=str(tmp_path / "data"), val_fraction=0.4)
    (images, labels), (test_images, test_labels) = SOURCES[name]
    assert data.input_shape == ((3, 32, 32) if images.ndim == 4 else (1, 28, 28))
    assert data.classes == len(set(labels))
    assert pairs(data.split("train"), data.split("validation")) == pairs((images, labels))
    assert pairs(data.split("test")) == pairs((test_images, test_labels))


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


@pytest.mark.parametrize("name", SOURCES)
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


# Augmentation


def windows(image: NDArray[np.uint8], padding: int, flip: bool) -> list[bytes]:
    """All crops of a padded image (H, W, C), and of its mirror image."""
    height, width, _ = image.shape
    found = []
    for turned in [image, image[:, ::-1]] if flip else [image]:
        padded = np.pad(turned, ((padding, padding), (padding, padding), (0, 0)))
        for top in range(2 * padding + 1):
            for left in range(2 * padding + 1):
                found.append(padded[top : top + height, left : left + width].tobytes())
    return found


def augmented(
    images: NDArray[np.uint8], padding: int, flip: bool, seed: int, augmentation: str = "basic"
) -> NDArray[np.uint8]:
    """What `augment` makes of images (N, H, W, C), in the same layout."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    result = augment(batch, padding, flip, torch.Generator().manual_seed(seed), augmentation)
    assert result.shape == batch.shape
    assert result.dtype == torch.uint8
    assert result.is_contiguous(memory_format=torch.channels_last)
    return result.permute(0, 2, 3, 1).numpy()


BATCHES = numpy_strategies.arrays(
    np.uint8, st.tuples(st.integers(1, 4), st.integers(2, 7), st.integers(2, 7), st.sampled_from([1, 3]))
)


@given(images=BATCHES, padding=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_an_augmented_image_is_a_crop_of_its_padded_and_perhaps_mirrored_self(
    images: NDArray[np.uint8], padding: int, flip: bool, seed: int
) -> None:
    before = images.copy()
    result = augmented(images, padding, flip, seed)
    assert all(crop.tobytes() in windows(image, padding, flip) for image, crop in zip(images, result, strict=True))
    assert np.array_equal(images, before)
    assert np.array_equal(augmented(images, padding, flip, seed), result)


@given(images=BATCHES, seed=st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_without_padding_and_flips_images_stay_as_they_are(images: NDArray[np.uint8], seed: int) -> None:
    assert np.array_equal(augmented(images, 0, False, seed), images)


@pytest.mark.parametrize("flip", [False, True])
def test_every_crop_and_both_directions_are_equally_common(flip: bool) -> None:
    image = np.arange(1, 21, dtype=np.uint8).reshape(4, 5, 1)
    possible = windows(image, 2, flip)
    seen = Counter(crop.tobytes() for crop in augmented(np.stack([image] * 200 * len(possible)), 2, flip, seed=0))
    assert len(possible) == (50 if flip else 25)
    assert set(seen) == set(possible)
    assert min(seen.values()) > 140
    assert max(seen.values()) < 260


def test_another_seed_draws_other_crops() -> None:
    images = images_of(20, 8, 8, 1)
    assert not np.array_equal(augmented(images, 2, True, seed=0), augmented(images, 2, True, seed=1))


def test_basic_augmentation_draws_what_it_has_always_drawn() -> None:
    images = images_of(4, 8, 8, 1)
    digest = hashlib.sha256(augmented(images, 2, True, seed=0).tobytes()).hexdigest()
    assert digest == "bb22b503f82556242fbe6ad50ea402769fde3569ad54eb430100eb166833a825"


@given(images=BATCHES, seed=st.integers(0, 2**63 - 1))
@settings(deadline=None)
def test_no_augmentation_leaves_images_as_they_are_whatever_flip_and_padding_say(
    images: NDArray[np.uint8], seed: int
) -> None:
    assert np.array_equal(augmented(images, 2, True, seed, "none"), images)


@given(
    images=BATCHES,
    padding=st.integers(0, 3),
    seed=st.integers(0, 2**63 - 1),
    augmentation=st.sampled_from(["cutout", "strong"]),
)
@settings(deadline=None)
def test_the_same_seed_draws_the_same_and_leaves_the_images_alone(
    images: NDArray[np.uint8], padding: int, seed: int, augmentation: str
) -> None:
    before = images.copy()
    result = augmented(images, padding, True, seed, augmentation)
    assert np.array_equal(augmented(images, padding, True, seed, augmentation), result)
    assert np.array_equal(images, before)


@given(
    height=st.integers(2, 12),
    width=st.integers(2, 12),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**63 - 1),
)
@settings(deadline=None)
def test_a_cutout_is_a_square_of_half_the_shorter_side_set_to_0(
    height: int, width: int, channels: int, seed: int
) -> None:
    images = np.full((5, height, width, channels), 200, np.uint8)
    side = min(height, width) // 2
    for image in augmented(images, 0, False, seed, "cutout"):
        assert set(np.unique(image)) <= {0, 200}
        hidden = (image == 0).all(axis=2)
        assert np.array_equal(hidden, (image == 0).any(axis=2))
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        assert np.array_equal(hidden, np.outer(hidden.any(axis=1), hidden.any(axis=0)))
        for found, length in ((rows, height), (columns, width)):
            assert np.array_equal(found, np.arange(found[0], found[0] + len(found)))
            # Whole, or cut by an edge to half of it or more.
            is_cut = found[0] == 0 or found[-1] == length - 1
            assert side // 2 <= len(found) <= side if is_cut else len(found) == side


def test_every_pixel_is_as_often_the_centre_of_a_cutout() -> None:
    images = np.full((8000, 8, 8, 1), 255, np.uint8)
    hidden = augmented(images, 0, False, 0, "cutout")[..., 0] == 0
    first_rows = Counter((int(np.argmax(each.any(axis=1))), int(each.any(axis=1).sum())) for each in hidden)
    # Eight centres: squares of four rows that begin at -2 to 5.
    assert set(first_rows) == {(0, 2), (0, 3), (0, 4), (1, 4), (2, 4), (3, 4), (4, 4), (5, 3)}
    assert min(first_rows.values()) > 850
    assert max(first_rows.values()) < 1150


def test_strong_augmentation_changes_brightness_and_contrast_of_whole_images() -> None:
    generator = np.random.default_rng(0)
    images = np.repeat(generator.integers(80, 120, (1, 8, 8, 3), dtype=np.uint8), 2000, axis=0)
    changed = augmented(images, 0, False, 0, "strong").astype(float)
    kept = changed.max(axis=3, keepdims=True) > 0  # not cut out
    assert (changed.max(axis=(1, 2, 3)) > 0).all()
    # A straight line for each image: value = slope × pixel + shift, up to rounding.
    for image, seen, is_kept in zip(images[:50].astype(float), changed[:50], kept[:50], strict=True):
        where = np.broadcast_to(is_kept, image.shape)
        slope, shift = np.polyfit(image[where], seen[where], 1)
        assert np.abs(slope * image[where] + shift - seen[where]).max() <= 1.01
        assert 0.6**2 - 0.05 < slope < 1.4**2 + 0.05
    brightness = (
        np.array([seen[where[..., 0]].mean() for seen, where in zip(changed, kept, strict=True)]) / images.mean()
    )
    assert brightness.min() < 0.65
    assert brightness.max() > 1.35
    assert brightness.mean() == pytest.approx(1, abs=0.02)


def test_strong_augmentation_stays_within_the_range_of_pixels() -> None:
    images = np.zeros((200, 8, 8, 1), np.uint8)
    images[:, :, 4:] = 255
    changed = augmented(images, 0, False, 0, "strong")
    assert changed.max() == 255  # brighter than white stays white: a value that wrapped around would be dark
    bright = changed[:, :, 4:][changed[:, :, 4:] > 0]
    assert bright.min() >= 0.6 * 0.6 * 255 - 1 + 0.4 * 0.6 * 255 / 2


@pytest.mark.parametrize("name", [*NAMED_SETS, "pets"])
def test_only_pictures_that_stay_what_they_are_may_be_mirrored(name: str) -> None:
    mirrored = {"cifar10", "cifar100", "pets"}
    assert may_flip(DataConfig(dataset=name)) == (name in mirrored)


# What workers get


def test_shared_training_data_arrive_without_the_test_images(digits: ImageData) -> None:
    descriptor = new_shared_memory()
    contents = share_training_data(digits, descriptor)
    mapped = map_training_data(descriptor, contents, digits.class_names)
    os.close(descriptor)
    assert same(mapped, digits, "train", "validation")
    assert len(mapped.test_images) == len(mapped.test_labels) == 0
    assert mapped.class_names == digits.class_names
    assert mapped.statistics() == digits.statistics()


def test_what_one_worker_writes_into_its_mapping_no_other_sees(digits: ImageData) -> None:
    descriptor = new_shared_memory()
    contents = share_training_data(digits, descriptor)
    one, two = (map_training_data(descriptor, contents, digits.class_names) for _ in range(2))
    one.train_images[:], one.val_labels[:] = 7, 3
    late = map_training_data(descriptor, contents, digits.class_names)
    os.close(descriptor)
    for other in (two, late):
        assert np.array_equal(other.train_images, digits.train_images)
        assert np.array_equal(other.val_labels, digits.val_labels)


def test_tensors_of_a_cpu_share_the_memory_of_the_arrays(digits: ImageData) -> None:
    tensors = to_device(digits, CPU)
    assert tensors.images.shape == (len(digits.train_labels), 1, 8, 8)
    assert tensors.images.data_ptr() == digits.train_images.ctypes.data
    assert (tensors.mean, tensors.std) == digits.statistics()


def test_all_data_to_train_on_are_training_and_validation_images(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_train=images_of(40, 8, 9, 3), x_test=images_of(12, 8, 9, 3))
    data = load(path)
    tensors = to_device(data, CPU)
    images, labels = tensors.for_training("all")
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert pairs((images.permute(0, 2, 3, 1).numpy(), labels.numpy())) == pairs((images_of(40, 8, 9, 3), Y))
    assert [len(part) for part in tensors.for_training("train")] == [36, 36]


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", X)
    assert "expected an .npz archive" in refusal(lambda: load(tmp_path / "images.npy"))


def test_a_damaged_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    np.savez_compressed(path, x_train=X, y_train=Y, x_test=X_TEST, y_test=Y_TEST)
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)
    path.write_bytes(content)
    assert f"{path}: not an .npz file" in refusal(lambda: load(path))


def test_a_label_far_out_of_range_is_refused_without_a_list_of_all_classes(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "images.npz", y_train=np.where(np.arange(40) == 7, 2**40, Y))
    assert "from 0 on without a gap" in refusal(lambda: load(path))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_picture_that_was_cut_off_is_named(tmp_path: Path, kind: str) -> None:
    folder = write_pictures(tmp_path / "pets", sizes=((40, 40),))
    path = folder / "dog" / f"99.{kind}"
    Image.fromarray(images_of(40, 40, 3)).save(path)
    path.write_bytes(path.read_bytes()[:700])
    assert str(path) in refusal(lambda: load(folder))


def test_sixteen_bit_pictures_keep_their_content(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L", sizes=((8, 8),))
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        Image.fromarray(np.full((8, 8), 3000 * number, dtype=np.uint16)).save(path)
    data = load(folder)
    assert len(np.unique(data.train_images)) > 10


@pytest.mark.parametrize("size", [0, 3, 16, 1000])
def test_a_damaged_download_is_refused(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_the_line(monkeypatch)
    write_downloaded("mnist", tmp_path / "data", monkeypatch)
    path = tmp_path / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:size])
    assert "mnist" in refusal(lambda: load("mnist", data_dir=str(tmp_path / "data")))


def test_any_damage_to_an_archive_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "images.npz")
    content = path.read_bytes()
    for place, bit in ((29, 255), (len(content) - 242, 255), (len(content) - 240, 1)):
        damaged = bytearray(content)
        damaged[place] ^= bit
        path.write_bytes(damaged)
        with suppress(InputError):
            load(path)
