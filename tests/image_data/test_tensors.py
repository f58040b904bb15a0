"""Training data as tensors of a device."""

from __future__ import annotations

from pathlib import Path

import torch

from image_data import ImageData
from image_data.tensors import to_device
from tests.pictures import Y, images_of, load, pairs, write_npz


def test_tensors_of_a_cpu_share_the_memory_of_the_arrays(digits: ImageData) -> None:
    tensors = to_device(digits, torch.device("cpu"))
    assert tensors.images.shape == (len(digits.train_labels), 1, 8, 8)
    assert tensors.images.data_ptr() == digits.train_images.ctypes.data
    assert (tensors.mean, tensors.std) == digits.statistics()


def test_all_data_to_train_on_are_training_and_validation_images(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_train=images_of(40, 8, 9, 3), x_test=images_of(12, 8, 9, 3))
    data = load(path)
    tensors = to_device(data, torch.device("cpu"))
    images, labels = tensors.for_training("all")
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert pairs((images.permute(0, 2, 3, 1).numpy(), labels.numpy())) == pairs((images_of(40, 8, 9, 3), Y))
    assert [len(part) for part in tensors.for_training("train")] == [36, 36]
