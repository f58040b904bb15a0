"""Which images train, validate and test."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from image_data import ImageData, archives, data_set, pictures, splits
from tests.pictures import (
    X_TEST,
    X_VAL,
    Y_TEST,
    Y_VAL,
    X,
    Y,
    counts,
    images_of,
    load,
    pairs,
    refusal,
    same,
    write_npz,
    write_pictures,
)


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


def test_with_a_validation_folder_the_test_images_may_still_come_from_the_training_images(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", count=10)
    write_pictures(tmp_path / "val", count=2)
    data = load(tmp_path)
    assert counts(data) == [16, 4, 4]
    assert np.bincount(data.test_labels).tolist() == [2, 2]


def test_two_images_of_a_class_are_enough_beside_a_validation_folder(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", count=2)
    write_pictures(tmp_path / "val", count=1)
    assert counts(load(tmp_path)) == [2, 2, 2]


def test_without_test_arrays_a_fifth_of_the_training_images_is_held_out(tmp_path: Path) -> None:
    data = load(write_npz(tmp_path / "a.npz", x_test=None, y_test=None))
    assert counts(data) == [28, 4, 8]
    assert pairs(*(data.split(name) for name in ("train", "validation", "test"))) == pairs((X[..., None], Y))


def test_a_training_limit_leaves_validation_images_of_ones_own_alone(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL)
    assert counts(load(path, train_limit=10)) == [10, 8, 12]
    assert counts(load(path, train_limit=4)) == [4, 8, 12]
    assert "--train_limit must be at least 4 (one image for each" in refusal(lambda: load(path, train_limit=3))


def test_a_validation_share_is_refused_where_there_are_validation_images(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL)
    message = refusal(lambda: load(path, val_fraction=0.2))
    assert "--val_fraction is for data without a validation split" in message
    assert "8 validation images; leave the flag out" in message


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_too_much_for_the_memory_is_refused_before_a_pixel_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "folder":
        path = write_pictures(tmp_path / "pets", count=50, sizes=((64, 64),))
    else:
        images = np.zeros((100, 64, 64, 3), np.uint8)
        path = write_npz(tmp_path / "a.npz", x_train=images, y_train=np.arange(100) % 2, x_test=None, y_test=None)
    need = 2 * 100 * 64 * 64 * 3 + (archives.CHUNK if kind == "archive" else pictures.LOADING * 64 * 64)
    monkeypatch.setattr(splits, "free_memory", lambda: need)
    assert counts(load(path)) == [72, 8, 20]
    monkeypatch.setattr(splits, "free_memory", lambda: need - 1)
    monkeypatch.setattr(data_set, "_read", lambda *_: pytest.fail("pixels were read"))
    message = refusal(lambda: load(path))
    assert "its 100 images of 64×64×3 need" in message
    assert (
        "are free; make them smaller, "
        "for instance with --image_size 56, or use fewer, with --train_limit 79, or free some memory" in message
    )


def test_where_free_memory_is_unknown_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "free_memory", lambda: None)
    assert counts(load(write_npz(tmp_path / "a.npz"))) == [36, 4, 12]


@pytest.mark.parametrize("parts", [("",), ("train", "val", "test")])
def test_following_the_advice_on_memory_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...]
) -> None:
    folder = tmp_path / "pets"
    for part in parts:
        write_pictures(folder / part, count=60 if part in ("", "train") else 10, sizes=((64, 64),))
    monkeypatch.setattr(splits, "free_memory", lambda: 1_500_000)
    words = refusal(lambda: load(folder)).split()
    size, limit = (words[words.index(flag) + 1].strip(",") for flag in ("--image_size", "--train_limit"))
    assert load(folder, image_size=size).input_shape == (3, int(size), int(size))
    assert len(load(folder, train_limit=int(limit)).train_labels) > 0
