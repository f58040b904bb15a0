"""The summary of an evaluation for a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from records.words import printable
from reporting.evaluation.classification import TOP_K
from training.statistics import is_uneven

# What accuracy and loss are called by the images that they were measured on.
SPLITS = {"train": "training", "validation": "validation", "test": "test"}


def measured_on(report: Mapping[str, Any], measure: str) -> str:
    """The name of a measure, with that of the split: test accuracy; accuracy, on all images of a data set."""
    return " ".join(filter(None, [SPLITS.get(report.get("split", "test")), measure]))


def summary(report: Mapping[str, Any]) -> list[str]:
    """The lines of a summary: scores, cost and speed, then a table of the classes."""
    facts = [*_scores(report), *_costs(report)]
    return [*(f"{name:<16} {printable(text)}" for name, text in facts), *class_lines(report["classes"])]


def _scores(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    low, high = report["accuracy_interval"]
    yield "network", report["description"]
    yield (
        measured_on(report, "accuracy"),
        f"{report['accuracy']:.4f} ({report['images']:,} images), 95% interval {low:.4f} to {high:.4f}",
    )
    if is_uneven([row["images"] for row in report["classes"]]):
        low, high = report["balanced_accuracy_interval"]
        yield (
            "balanced",
            f"{report['balanced_accuracy']:.4f} (mean recall of the classes), 95% interval {low:.4f} to {high:.4f}",
        )
    yield measured_on(report, "loss"), f"{report['loss']:.4f}"
    if f"top_{TOP_K}_accuracy" in report:
        yield f"top-{TOP_K} accuracy", f"{report[f'top_{TOP_K}_accuracy']:.4f}"
    found = report["calibration"]
    yield "ECE", f"{found['ece']:.4f} (expected calibration error; mean confidence {found['mean_confidence']:.4f})"


def _costs(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    speed = report["speed"]
    yield "parameters", f"{report['parameters']:,}"
    yield "FLOPs", f"{report['flops'] / 1e6:,.1f} million an image"
    low, median, high = speed["latency_ms"]
    yield "latency", f"{median:.2f} ms an image (quartiles {low:.2f} to {high:.2f}) on {report['device']}"
    low, median, high = speed["images_per_second"]
    yield "throughput", f"{median:,.0f} images/s (quartiles {low:,.0f} to {high:,.0f}), batch {speed['batch_size']}"


def class_lines(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of the classes: a header, then one line for each."""
    names = [printable(row["class"]) for row in classes]
    widest = max(map(display_width, ["class", *names]))
    lines = [f"{'class':<{widest}}  precision  recall      F1  images"]
    for name, row in zip(names, classes, strict=True):
        padded = name + " " * (widest - display_width(name))
        lines.append(
            f"{padded}  {row['precision']:>9.4f}  {row['recall']:>6.4f}  {row['f1']:>6.4f}  {row['images']:>6,}"
        )
    return lines


def display_width(text: str) -> int:
    """The columns that a text takes on a terminal; East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )
