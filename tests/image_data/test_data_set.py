"""A data set in memory: sizes, statistics and the fingerprint."""

from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as numpy_strategies
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from image_data import ImageData
from records import DataConfig
from tests.pictures import (
    X_TEST,
    X_VAL,
    Y_TEST,
    Y_VAL,
    X,
    Y,
    brightness_fits_labels,
    images_of,
    load,
    refusal,
    write_npz,
    write_pictures,
)

DIGITS_FINGERPRINT = "b7cb273f127eadc11e418510549edb41004df368a515e1acb4abf933474250b0"
CPU = torch.device("cpu")


def test_the_fingerprint_of_the_digits_never_changes(digits: ImageData) -> None:
    """A run can only be resumed, and its results only be used again, on data of the same fingerprint."""
    assert digits.fingerprint == DIGITS_FINGERPRINT


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


def test_validation_images_of_ones_own_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    pixels, labels = X_VAL.copy(), Y_VAL.copy()
    pixels[3, 3, 3] ^= 1
    labels[[0, 1]] = labels[[1, 0]]
    splits = [(None, None), (X_VAL, Y_VAL), (pixels, Y_VAL), (X_VAL, labels)]
    found = {load(write_npz(tmp_path / "a.npz", x_val=x, y_val=y)).fingerprint for x, y in splits}
    assert len(found) == 4


def test_fingerprints_of_folders_and_archives_never_change(tmp_path: Path) -> None:
    """Of what could be read before a data set could bring its own validation split; runs made then can be resumed."""
    write_pictures(tmp_path / "limited")
    write_pictures(tmp_path / "both" / "train", count=7)
    write_pictures(tmp_path / "both" / "test", count=3)
    write_pictures(tmp_path / "sizes", mode="P", sizes=((12, 10), (30, 20), (9, 40)))
    found = [
        load(tmp_path / "limited", train_limit=9),
        load(tmp_path / "both"),
        load(tmp_path / "sizes"),
        load(write_npz(tmp_path / "a.npz"), train_limit=30, val_fraction=0.3),
    ]
    assert [data.fingerprint for data in found] == [
        "5a0b910010ef19e7145666db9984eaf51faac08c1544c15aab631b28b8be346e",
        "08bbb211311c778a3722cc7535598335565e2de8b92bee41073275c304463ad1",
        "15784c89f6782e2086bd3b3558c6cfeee4c4b6465498bf3af345fdd0dde28749",
        "5c3958bd5128737e53a3a8ab88d5a9be7195aac50ee893223e50883582df1cd0",
    ]


@pytest.mark.parametrize(("size", "shape"), [("16", (16, 16)), ("12x20", (12, 20)), ("224x8", (224, 8))])
def test_images_are_resized_to_a_square_or_to_height_and_width(
    tmp_path: Path, size: str, shape: tuple[int, int]
) -> None:
    folder = write_pictures(tmp_path / "pets", sizes=((30, 20), (9, 40)))
    data = load(folder, image_size=size)
    assert data.input_shape == (3, *shape)
    assert brightness_fits_labels(data)
    images = np.repeat(np.repeat(np.where(Y < 2, 20, 200)[:, None, None], 30, 1), 10, 2).astype(np.uint8)
    data = load(write_npz(tmp_path / "a.npz", x_train=images, x_test=images[:12], y_test=Y[:12]), image_size=size)
    assert data.input_shape == (1, *shape)
    assert np.array_equal(data.train_images[:, 0, 0, 0] < 100, data.train_labels < 2)


@pytest.mark.parametrize("size", ["7", "225", "0x64", "64x300", "64x", "x", "1x2x3", "sixty", "-64", "6 4", "٦٤", ""])
def test_a_size_out_of_range_or_of_another_form_is_refused(size: str) -> None:
    message = refusal(lambda: DataConfig(image_size=size))
    assert message.startswith("--image_size must be 8 to 224 pixels, as 64 or (height, width) as 48x64, but is")


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_images_that_are_too_large_are_refused_with_a_size_that_would_do(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write_pictures(tmp_path / "pets", "L", sizes=((400, 300),))
    else:
        large = np.zeros((40, 300, 400), np.uint8)
        path = write_npz(tmp_path / "a.npz", x_train=large, x_test=large[:12])
    message = refusal(lambda: load(path))
    assert "images are 300×400 pixels, but networks read at most 224 pixels a side" in message
    assert "--image_size 64" in message
    assert "96x128" in message
    assert load(path, image_size="96x128").input_shape == (1, 96, 128)


@pytest.mark.parametrize("side", [8, 224])
def test_the_smallest_and_the_largest_images_are_read(tmp_path: Path, side: int) -> None:
    assert load(write_pictures(tmp_path / "pets", "L", 5, sizes=((side, side),))).input_shape == (1, side, side)
