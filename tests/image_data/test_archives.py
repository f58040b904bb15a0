"""Images in .npz archives: what is read, and what is refused."""

from __future__ import annotations

import gc
import io
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from image_data import archives
from records import InputError
from tests.pictures import X_TEST, X_VAL, Y_TEST, Y_VAL, X, Y, images_of, load, pairs, refusal, write_npz


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
    "labels from 1": ({"y_train": Y + 1, "y_test": Y_TEST + 1}, "from 0 up without gaps"),
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
    assert "from 0 up without gaps" in refusal(lambda: load(path))


def test_any_damage_to_an_archive_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "images.npz")
    content = path.read_bytes()
    for place, bit in ((29, 255), (len(content) - 242, 255), (len(content) - 240, 1)):
        damaged = bytearray(content)
        damaged[place] ^= bit
        path.write_bytes(damaged)
        with suppress(InputError):
            load(path)


def test_validation_arrays_are_used_as_they_are(tmp_path: Path) -> None:
    data = load(write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL))
    assert pairs(data.split("train")) == pairs((X[..., None], Y))
    assert np.array_equal(data.val_images[..., 0], X_VAL)
    assert np.array_equal(data.val_labels, Y_VAL)
    assert np.array_equal(data.test_images[..., 0], X_TEST)


def test_an_archive_is_read_without_ever_being_in_memory_as_a_whole(tmp_path: Path) -> None:
    images = np.zeros((4000, 64, 64), np.uint8)  # 16 MB
    path = write_npz(tmp_path / "a.npz", x_train=images, y_train=np.arange(4000) % 4, x_test=images[:4], y_test=Y[:4])
    load(write_npz(tmp_path / "warm.npz"))
    tracemalloc.start()
    data = load(path, train_limit=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.train_labels) == 90
    assert peak < 14e6


@pytest.mark.parametrize("rows", [1, 7, 40, 1000])
def test_however_many_rows_are_read_at_once_the_images_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    path = write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL)
    expected = load(path, train_limit=20).fingerprint
    monkeypatch.setattr(archives, "CHUNK", rows * 64)
    assert load(path, train_limit=20).fingerprint == expected


def test_an_array_in_the_order_of_fortran_is_the_same_array(tmp_path: Path) -> None:
    images, test = images_of(40, 9, 12, 3), images_of(12, 9, 12, 3, seed=2)
    expected = load(write_npz(tmp_path / "c.npz", x_train=images, x_test=test))
    turned = write_npz(tmp_path / "f.npz", x_train=np.asfortranarray(images), x_test=np.asfortranarray(test))
    assert load(turned).fingerprint == expected.fingerprint


def test_names_of_classes_as_bytes_are_read_as_text(tmp_path: Path) -> None:
    assert (
        load(write_npz(tmp_path / "a.npz", classes=np.array([b"oak", b"ash", b"elm", b"yew"]))).class_names[0] == "oak"
    )


REFUSED_TOGETHER: dict[str, tuple[dict[str, Any], str]] = {
    "x_val without y_val": ({"x_val": X_VAL}, "y_val is missing"),
    "y_val without x_val": ({"y_val": Y_VAL}, "x_val is missing"),
    "x_test without y_test": ({"y_test": None}, "y_test is missing"),
    "validation images of another kind": ({"x_val": X_VAL / 255.0, "y_val": Y_VAL}, "x_val must hold uint8 pixels"),
    "validation images of another size": (
        {"x_val": images_of(8, 9, 8), "y_val": Y_VAL},
        "training images are 8×8×1, but validation images 9×8×1",
    ),
    "a class that is not validated": (
        {"x_val": X_VAL, "y_val": Y_VAL % 3, "classes": np.array(["oak", "ash", "elm", "yew"])},
        "there are none of 'yew'",
    ),
    "an unknown class in validation": (
        {"x_val": X_VAL, "y_val": Y_VAL + 1},
        "validation labels must lie between 0 and 3",
    ),
    "no validation images": ({"x_val": X_VAL[:0], "y_val": Y_VAL[:0]}, "there are no validation images"),
    "names for fewer classes": ({"classes": np.array(["oak", "ash"])}, "classes must name the 4 classes"),
    "names in a table": ({"classes": np.array([["oak", "ash", "elm", "yew"]])}, "has the shape (1, 4)"),
    "one image of a class": (
        {"y_train": np.where(np.arange(40) == 7, 4, Y), "x_test": None, "y_test": None},
        "class '4' has 1 training image; each class needs at least 3",
    ),
    "images without pixels": ({"x_train": X[:, :, :0], "x_test": X_TEST[:, :, :0]}, "at least 8×8 pixels"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED_TOGETHER.values(), ids=REFUSED_TOGETHER)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_npz(tmp_path / "a.npz", **changes)
    message = refusal(lambda: load(path))
    assert words in message
    assert str(path) in message


def test_channels_are_checked_before_anything_is_resized(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_train=images_of(40, 9, 9, 2), x_test=images_of(12, 9, 9, 2))
    assert "1 or 3 channels, but x_train has 2" in refusal(lambda: load(path, image_size="8"))


def test_labels_of_an_archive_hold_whatever_kind_of_whole_number(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", y_train=Y.astype(np.uint64), y_test=Y_TEST.astype(np.int8))
    assert np.array_equal(load(path).test_labels, Y_TEST)


def rewritten(path: Path, **entries: bytes) -> Path:
    """The archive with entries replaced, or added."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name.removesuffix(".npy") not in entries}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (kept | {f"{name}.npy": content for name, content in entries.items()}).items():
            archive.writestr(name, content)
    return path


def entry_of(shape: tuple[int, ...], kind: str = "|u1", body: bytes = bytes(100)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + body


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test", "classes"])
@pytest.mark.parametrize(("shape", "kind"), [((10**13,), "|u1"), ((10**12, 32, 32, 3), "|u1"), ((4,), "<U1000000")])
def test_an_array_that_claims_to_be_larger_than_it_is_is_refused_before_it_is_read(
    tmp_path: Path, name: str, shape: tuple[int, ...], kind: str
) -> None:
    path = rewritten(write_npz(tmp_path / "a.npz"), **{name: entry_of(shape, kind)})
    tracemalloc.start()
    try:
        message = refusal(lambda: load(path))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert str(path) in message
    assert "by its header" in message


def test_an_array_that_is_longer_than_it_claims_is_refused(tmp_path: Path) -> None:
    path = rewritten(write_npz(tmp_path / "a.npz"), y_train=entry_of((40,), body=bytes(41)))
    assert "y_train has 169 bytes, but 168 by its header" in refusal(lambda: load(path))


def test_more_labels_than_any_data_set_has_are_refused_before_they_are_read(tmp_path: Path) -> None:
    count = archives.MOST_IMAGES + 1
    many = {"x_train": entry_of((count, 1, 1), body=bytes(count)), "y_train": entry_of((count,), body=bytes(count))}
    path = rewritten(write_npz(tmp_path / "a.npz"), **many)
    assert path.stat().st_size < 100_000
    assert "x_train holds 33,554,433 images; at most 33,554,432 can be read" in refusal(
        lambda: load(path, image_size="8")
    )


def test_names_of_classes_that_take_much_memory_are_refused(tmp_path: Path) -> None:
    names = np.array([letter * (2**20 + 1) for letter in "abcd"])
    assert "shorten them" in refusal(lambda: load(write_npz(tmp_path / "a.npz", classes=names)))


@pytest.mark.parametrize("twin", ["cat", "e\u0301"])
def test_classes_that_look_alike_are_refused(tmp_path: Path, twin: str) -> None:
    names = np.array([twin, "dog", "cat", "\u00e9"])
    assert "several classes look like " in refusal(lambda: load(write_npz(tmp_path / "a.npz", classes=names)))


def test_a_label_beyond_whole_numbers_of_64_bits_is_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", y_train=np.where(Y == 3, np.uint64(2**64 - 1), Y.astype(np.uint64)))
    assert f"{path}: y_train must number the classes from 0 up, but holds {2**64 - 1}" in refusal(lambda: load(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_train.npy", archive.read("y_train.npy"))
    assert "the array y_train is there twice" in refusal(lambda: load(path))


def test_arrays_that_are_not_needed_may_hold_anything(tmp_path: Path) -> None:
    expected = load(write_npz(tmp_path / "a.npz")).fingerprint
    names = np.array(["a.png"] * 40, dtype=object)
    path = rewritten(write_npz(tmp_path / "b.npz", filenames=names), notes=b"no array at all")
    assert load(path).fingerprint == expected
