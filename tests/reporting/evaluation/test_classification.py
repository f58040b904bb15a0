"""Reports of any number of classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reporting.evaluation.classification import classification_report


@pytest.mark.parametrize(("classes", "with_top_5"), [(2, False), (10, False), (11, True), (100, True)])
def test_top_5_is_said_only_over_ten_classes(classes: int, with_top_5: bool) -> None:
    rng = np.random.default_rng(classes)
    logits, labels = rng.normal(size=(300, classes)).astype(np.float32), rng.integers(0, classes, 300)
    found = classification_report(
        torch.from_numpy(logits), torch.from_numpy(labels), [str(number) for number in range(classes)]
    )
    assert ("top_5_accuracy" in found) == with_top_5
    if with_top_5:
        ranks = (logits > logits[np.arange(300), labels][:, None]).sum(axis=1)
        assert found["top_5_accuracy"] == pytest.approx((ranks < 5).mean())


def test_a_class_without_test_images_has_a_row_of_zeros() -> None:
    logits = torch.eye(12)[torch.tensor([0, 1, 2, 3, 3])] * 9
    found = classification_report(logits, torch.tensor([0, 1, 2, 3, 4]), [f"class {number}" for number in range(12)])
    assert len(found["classes"]) == len(found["confusion_matrix"]) == 12
    assert found["classes"][4] == {"class": "class 4", "precision": 0, "recall": 0, "f1": 0, "images": 1}
    assert found["classes"][11] == {"class": "class 11", "precision": 0, "recall": 0, "f1": 0, "images": 0}
