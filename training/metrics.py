"""Predictions of a network, and the metrics of their quality."""

from __future__ import annotations

import statistics

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_space.cost import EVALUATION_BATCH


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Logits (N, classes) in float32 of uint8 images (N, C, H, W), by the model in evaluation mode."""
    model.eval()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return torch.cat([model(batch).float() for batch in images.split(EVALUATION_BATCH)])


def accuracy_and_loss(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """The share of correctly classified images, and the mean cross-entropy in nats."""
    correct = int((logits.argmax(1) == labels).sum())
    return correct / len(labels), functional.cross_entropy(logits, labels).item()


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """The mean recall of the classes that have images.

    All classes are counted by one operation, so that this waits for the device once.
    """
    is_right = logits.argmax(1) == labels
    counts = torch.zeros(2, logits.shape[1], device=logits.device)  # whole numbers, exact in any order
    counts.index_add_(1, labels, torch.stack([is_right.float(), torch.ones_like(labels, dtype=torch.float32)]))
    right, images = counts.tolist()
    return statistics.fmean(hits / count for hits, count in zip(right, images, strict=True) if count)
