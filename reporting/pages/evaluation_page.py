"""The page of an evaluated network: a report and its most confident errors as one HTML file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reporting.evaluation.class_scores_figure import draw_classes, worst_classes
from reporting.evaluation.confusion_figure import block_size, draw_confusion
from reporting.evaluation.errors import Misclassified, Report, common_confusions
from reporting.evaluation.reliability_figure import draw_reliability
from reporting.evaluation.summary import measured_on
from reporting.pages.evaluation_sentences import (
    calibration_sentence,
    classes_sentence,
    confusion_sentence,
    errors_sentence,
)
from reporting.pages.pages import figure_markup, png_uri, render_page
from training.statistics import is_uneven

LARGEST_SIDE = 128  # pixels of an image on the page; larger ones are reduced
PARTS = {
    "confusion": "Confusion matrix",
    "classes": "Scores by class",
    "calibration": "Calibration",
    "mistakes": "Most confident errors",
}


def evaluation_page(report: Report, errors: Sequence[Misclassified]) -> bytes:
    """The page of a report, as `evaluate.py` writes it to evaluation.json, and of its most confident errors."""
    names = [row["class"] for row in report["classes"]]
    confusions = common_confusions(report["confusion_matrix"], names)
    shown = worst_classes(report["classes"])
    height, width = errors[0].image.shape[:2] if errors else (1, 1)
    sentences = {
        "confusion": confusion_sentence(report, confusions),
        "classes": classes_sentence(report["classes"], shown),
        "calibration": calibration_sentence(report),
        "mistakes": errors_sentence(report, errors),
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
        errors=[{**vars(error), "uri": picture(error.image)} for error in errors],
        height=height,
        width=width,
    )


def cards(report: Report) -> list[tuple[str, str]]:
    """The key numbers at the top of the page, each with its meaning."""
    low, high = report["accuracy_interval"]
    _, latency, _ = report["speed"]["latency_ms"]
    _, throughput, _ = report["speed"]["images_per_second"]
    found = [
        (f"{report['accuracy']:.4f}", f"{measured_on(report, 'accuracy')} (95% interval {low:.4f} to {high:.4f})"),
        (f"{report['loss']:.4f}", f"{measured_on(report, 'loss')} (nats)"),
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
        (f"{throughput:,.0f}", f"images/s in batches of {report['speed']['batch_size']}"),
        (report["precision"], f"precision, on {report['device']}"),
    ]


def picture(image: NDArray[np.uint8]) -> str:
    """A grey or RGB image (H, W, C) as a data URI; large images are reduced."""
    drawn = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if max(drawn.size) > LARGEST_SIDE:
        drawn.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    drawn.save(content, "PNG", optimize=True)
    return png_uri(content.getvalue())
