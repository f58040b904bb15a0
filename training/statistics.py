"""Calibration of a network's confidence, and confidence intervals of accuracies. No files, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # as in Guo et al. 2017, section 5
UNEVEN = 1.5  # largest class relative to the smallest: always naming the larger of two is then right in 60%
Z_95 = 1.959963984540054  # of the normal distribution, for intervals of 95%

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The images of one range of confidence: how many, their mean confidence and their accuracy."""

    count: int
    confidence: float | None = None  # None where there is no image
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Confidence against accuracy; bin number m of M, from 1 on, holds confidences in ((m-1)/M, m/M]."""

    ece: float  # expected calibration error
    mean_confidence: float
    max_confidence: float
    bins: tuple[Bin, ...]


def top_confidence(logits: NDArray[Any]) -> Reals:
    """The softmax probability of the class with the highest logit, for each row of logits (N, classes)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(1 / odds.sum(axis=1, dtype=np.float64))


def calibration(confidence: Reals, correct: Flags, bins: int = BINS) -> Calibration:
    """Confidence of the predicted class against how often it is right, in bins of equal width.

    `confidence` (N,) lies in (0, 1], `correct` (N,); N is at least 1. The expected calibration error
    is the mean of |accuracy - confidence| over the bins, weighted by their counts (Guo et al. 2017,
    "On calibration of modern neural networks", eq. 3).
    """
    upper = np.arange(1, bins) / bins
    place = np.searchsorted(upper, confidence, side="left")
    counts = np.bincount(place, minlength=bins)
    sure = np.bincount(place, weights=confidence, minlength=bins)
    right = np.bincount(place, weights=correct.astype(np.float64), minlength=bins)
    rows = tuple(
        Bin(count=int(count), confidence=float(a / count), accuracy=float(b / count)) if count else Bin(count=0)
        for count, a, b in zip(counts, sure, right, strict=True)
    )
    return Calibration(
        ece=float(np.abs(right - sure).sum() / len(confidence)),
        mean_confidence=float(confidence.mean()),
        max_confidence=float(confidence.max()),
        bins=rows,
    )


def surest_mistakes(confidence: Reals, correct: Flags, most: int) -> NDArray[np.int64]:
    """Indices of at most `most` wrong predictions, the most confident first; ties in the order of the images."""
    wrong = np.flatnonzero(~correct)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """The 95% confidence interval of a share, from `right` of `count` cases (Wilson 1927); (0, 1) for none."""
    if not count:
        return 0.0, 1.0
    share, square = right / count, Z_95**2 / count
    middle = (share + square / 2) / (1 + square)
    half = Z_95 * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return (middle - half if right else 0.0), (middle + half if right < count else 1.0)


def is_uneven(counts: Sequence[int]) -> bool:
    """Whether classes of these sizes are so imbalanced that accuracy says too little about the small ones."""
    return len(counts) > 0 and max(counts) > UNEVEN * min(counts)


def balanced_interval(right: Sequence[int], counts: Sequence[int]) -> tuple[float, float]:
    """The 95% confidence interval of the mean recall, from `right` of `counts` images of each class.

    Classes without images are left out. The intervals of the classes are combined as those of
    independent quantities (Zou & Donner 2008, eq. 3).
    """
    seen = [(hits, count) for hits, count in zip(right, counts, strict=True) if count]
    shares = [hits / count for hits, count in seen]
    intervals = [wilson_interval(hits, count) for hits, count in seen]
    mean = math.fsum(shares) / max(1, len(seen))
    below, above = (
        math.sqrt(math.fsum((share - interval[side]) ** 2 for share, interval in zip(shares, intervals, strict=True)))
        / max(1, len(seen))
        for side in (0, 1)
    )
    return mean - below, mean + above
