"""Training data that worker processes map."""

from __future__ import annotations

import os

import numpy as np

from image_data import ImageData
from image_data.shared_memory import map_training_data, new_shared_memory, share_training_data
from tests.pictures import same


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
