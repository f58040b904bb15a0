"""Augmentation: crops, flips, cutouts, brightness and contrast."""

from __future__ import annotations

import hashlib
from collections import Counter

import hypothesis.extra.numpy as numpy_strategies
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.pictures import images_of
from training.augmentation import augment


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
