"""The page of an evaluated network: a report and its surest mistakes as one HTML file that stands alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reporting.figures.evaluation_plots import block_size, draw_classes, draw_confusion, draw_reliability, worst_classes
from reporting.pages.pages import brief, figure_markup, png_uri, render_page
from training.statistics import is_uneven

MISTAKES, CONFUSIONS = 24, 10  # shown at most
LARGEST_SIDE = 128  # pixels of a picture on the page; larger images are made smaller
ALIKE = 0.01  # a gap between mean confidence and accuracy that is not worth a word
PARTS = {
    "confusion": "What is taken for what",
    "classes": "Class by class",
    "calibration": "How sure, and how right",
    "mistakes": "The surest mistakes",
}

Report = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Mistake:
    """A test image that was taken for another class; `image` is uint8 (H, W, C) with 1 or 3 channels."""

    index: int
    image: NDArray[np.uint8]
    truth: str
    predicted: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """So many images of one class, which are such a share of it, were taken for another."""

    truth: str
    predicted: str
    count: int
    share: float


def evaluation_page(report: Report, mistakes: Sequence[Mistake]) -> bytes:
    """The page of a report, as `evaluate.py` writes it to evaluation.json, and of its surest mistakes."""
    names = [row["class"] for row in report["classes"]]
    confusions = common_confusions(report["confusion_matrix"], names)
    shown = worst_classes(report["classes"])
    height, width = mistakes[0].image.shape[:2] if mistakes else (1, 1)
    sentences = {
        "confusion": confusion_sentence(report, confusions),
        "classes": classes_sentence(report["classes"], shown),
        "calibration": calibration_sentence(report),
        "mistakes": mistakes_sentence(report, mistakes),
    }
    return render_page(
        "evaluation.html",
        report=report,
        cards=cards(report),
        parts=PARTS,
        sentences=sentences,
        confusions=confusions,
        block=block_size(len(names)),
        confusion_figure=figure_markup(
            draw_confusion(report["confusion_matrix"], names),
            "confusion-matrix",
            f"confusion matrix: {sentences['confusion']}",
        ),
        classes_figure=figure_markup(
            draw_classes(shown), "bars", f"recall, precision and F1 of each class: {sentences['classes']}"
        ),
        reliability_figure=figure_markup(
            draw_reliability(report["calibration"]), "reliability", f"reliability diagram: {sentences['calibration']}"
        ),
        mistakes=[{**vars(mistake), "uri": picture(mistake.image)} for mistake in mistakes],
        height=height,
        width=width,
    )


def cards(report: Report) -> list[tuple[str, str]]:
    """Figures and what they are, for the top of the page."""
    low, high = report["accuracy_interval"]
    _, latency, _ = report["speed"]["latency_ms"]
    _, throughput, _ = report["speed"]["images_per_second"]
    found = [
        (f"{report['accuracy']:.4f}", f"test accuracy (95% interval {low:.4f} to {high:.4f})"),
        (f"{report['loss']:.4f}", "test loss, nats"),
    ]
    if is_uneven([row["images"] for row in report["classes"]]):
        low, high = report["balanced_accuracy_interval"]
        words = f"balanced accuracy (95% interval {low:.4f} to {high:.4f})"
        found.insert(1, (f"{report['balanced_accuracy']:.4f}", words))
    if "top_5_accuracy" in report:
        found.append((f"{report['top_5_accuracy']:.4f}", "top-5 accuracy"))
    return [
        *found,
        (f"{report['calibration']['ece']:.4f}", "expected calibration error"),
        (f"{report['parameters']:,}", "parameters"),
        (f"{report['flops'] / 1e6:,.1f} M", "FLOPs an image"),
        (f"{latency:.2f} ms", "latency of one image"),
        (f"{throughput:,.0f}", f"images/s, {report['speed']['batch_size']} at a time"),
        (report["precision"], f"precision, on {report['device']}"),
    ]


def common_confusions(
    matrix: Sequence[Sequence[int]], class_names: Sequence[str], most: int = CONFUSIONS
) -> list[Confusion]:
    """The most frequent mistakes, those of most images first; ties go to the larger share of the class."""
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


def confusion_sentence(report: Report, confusions: Sequence[Confusion]) -> str:
    """What the confusion matrix shows."""
    if not confusions:
        return "A row for each true class: no image lies off the diagonal, so none was taken for another class."
    predicted = np.flatnonzero(np.sum(report["confusion_matrix"], axis=0))
    if len(predicted) == 1:
        return f"Every image was taken for {brief(report['classes'][predicted[0]]['class'])}, whatever it showed."
    first, colours = confusions[0], "blue what is right and orange what is wrong"
    if block_size(len(report["classes"])) > 1:
        colours = "orange what is wrong"
    if first.count == 1:
        return f"A row for each true class, {colours}; no two classes were confused more than once."
    of_class = f"{first.count:,} of {first.count / first.share:,.0f} images"
    return (
        f"A row for each true class, {colours}; "
        f"most often {brief(first.truth)} is taken for {brief(first.predicted)}: {of_class}."
    )


def classes_sentence(rows: Sequence[Report], shown: Sequence[Report]) -> str:
    """Which class is hardest, and which are drawn."""
    tested = [row for row in rows if row["images"]]
    worst, best = (choose(tested, key=lambda row: float(row["f1"])) for choose in (min, max))
    others = sum(row["f1"] == best["f1"] for row in tested) - 1
    if worst["f1"] == best["f1"]:
        text = f"All classes come to the same F1, {worst['f1']:.2f}"
    else:
        easiest = f"are {brief(best['class'])} and {others:,} more" if others else f"is {brief(best['class'])}"
        how = "none of its images is found"
        if worst["recall"] > 0:
            how = f"it is found in {worst['recall']:.0%} of its images, and right in {worst['precision']:.0%} of the "
            how += "times it is named"
        text = f"Hardest is {brief(worst['class'])} (F1 {worst['f1']:.2f}: {how})"
        text += f"; easiest {easiest} (F1 {best['f1']:.2f})"
    if len(shown) < len(tested):
        return f"{text}; drawn are the {len(shown)} of {len(tested):,} classes with the lowest F1, images in brackets."
    return f"{text}; images in brackets."


def calibration_sentence(report: Report) -> str:
    """Whether the network is surer than it is right."""
    sure, right = report["calibration"]["mean_confidence"], report["accuracy"]
    gap = sure - right
    verdict = "about as sure as it is right"
    if abs(gap) > ALIKE:
        verdict = f"{'surer' if gap > 0 else 'less sure'} than it is right, by {abs(gap):.3f}"
    return (
        f"On average the network gives its answer a probability of {sure:.3f} and is right in {right:.3f} of all "
        f"cases, {verdict}; dots below the dashed line are too sure, above it too modest."
    )


def mistakes_sentence(report: Report, mistakes: Sequence[Mistake]) -> str:
    """How many mistakes there are, and which are shown."""
    total = sum(map(sum, report["confusion_matrix"])) - int(np.trace(report["confusion_matrix"]))
    if not mistakes:
        return f"There is none: all {report['images']:,} test images were classified rightly."
    shown = "all of them" if len(mistakes) == total else f"the {len(mistakes)} that it was surest of"
    mistaken = "1 mistake" if total == 1 else f"{total:,} mistakes"
    return (
        f"Of {mistaken} in {report['images']:,} test images, {shown}, the surest first, with what each was taken for "
        "and with what confidence: look for wrong labels, for images that would fool a person too, and for what the "
        "others have in common."
    )


def picture(image: NDArray[np.uint8]) -> str:
    """A grey or RGB image (H, W, C) as an address within the page; large ones are made smaller."""
    drawn = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if max(drawn.size) > LARGEST_SIDE:
        drawn.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    drawn.save(content, "PNG", optimize=True)
    return png_uri(content.getvalue())
