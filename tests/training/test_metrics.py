"""Accuracy, balanced accuracy and loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import accuracy_and_loss, balanced_accuracy


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
@settings(deadline=None)
def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import recall_score

    labels, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    logits = torch.nn.functional.one_hot(torch.from_numpy(predicted), 5).float()
    expected = recall_score(labels, predicted, labels=np.unique(labels), average="macro")
    assert balanced_accuracy(logits, torch.from_numpy(labels)) == pytest.approx(expected)


@given(
    logits=st.lists(st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_accuracy_and_loss_are_means_over_the_images(logits: list[list[float]], seed: int) -> None:
    labels = [(seed + 7 * index) % 3 for index in range(len(logits))]
    accuracy, loss = accuracy_and_loss(torch.tensor(logits), torch.tensor(labels))
    losses = [math.log(sum(map(math.exp, row))) - row[label] for row, label in zip(logits, labels, strict=True)]
    right = [row.index(max(row)) == label for row, label in zip(logits, labels, strict=True)]
    assert accuracy == pytest.approx(sum(right) / len(right))
    assert loss == pytest.approx(sum(losses) / len(losses), abs=1e-4)
