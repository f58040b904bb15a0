"""The errors of a network: the classes that it confuses, and the images that it classifies wrongly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from image_data import ImageData
from training.statistics import surest_mistakes, top_confidence

ERRORS, CONFUSIONS = 24, 10  # shown at most
Report = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Misclassified:
    """A test image that was assigned to a wrong class; `image` is uint8 (H, W, C) with 1 or 3 channels."""

    index: int
    image: NDArray[np.uint8]
    truth: str
    predicted: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """The number of images of one class that were assigned to another, and their share of the class."""

    truth: str
    predicted: str
    count: int
    share: float


def common_confusions(
    matrix: Sequence[Sequence[int]], class_names: Sequence[str], most: int = CONFUSIONS
) -> list[Confusion]:
    """The most frequent confusions, the largest count first; ties are broken by the share of the class."""
    counts = np.array(matrix)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(counts, 0)
    rows, columns = np.nonzero(counts)
    numbers = counts[rows, columns]
    shares = (counts / totals)[rows, columns]
    return [
        Confusion(
            truth=class_names[rows[place]],
            predicted=class_names[columns[place]],
            count=int(numbers[place]),
            share=float(shares[place]),
        )
        for place in np.lexsort((-shares, -numbers))[:most]
    ]


def most_confident_errors(logits: Tensor, data: ImageData, most: int = ERRORS) -> list[Misclassified]:
    """The misclassified test images with the highest confidence, the most confident first."""
    confidence, predicted = top_confidence(logits.numpy()), logits.argmax(1).numpy()
    return [
        Misclassified(
            int(index),
            data.test_images[index],
            data.class_names[data.test_labels[index]],
            data.class_names[predicted[index]],
            float(confidence[index]),
        )
        for index in surest_mistakes(confidence, predicted == data.test_labels, most)
    ]
