"""What each part of the evaluation page shows, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from records.words import counted
from reporting.evaluation.confusion_figure import block_size
from reporting.evaluation.errors import Confusion, Misclassified, Report
from reporting.pages.pages import shortened

ALIKE = 0.01  # a gap between mean confidence and accuracy that is not worth mentioning


def confusion_sentence(report: Report, confusions: Sequence[Confusion]) -> str:
    """What the confusion matrix shows."""
    if not confusions:
        return "Rows are true classes, columns predicted ones: all images lie on the diagonal; no class was confused."
    predicted = np.flatnonzero(np.sum(report["confusion_matrix"], axis=0))
    if len(predicted) == 1:
        return (
            f"Every image was classified as {shortened(report['classes'][predicted[0]]['class'])}, whatever it showed."
        )
    first, colours = confusions[0], "correct predictions in blue, errors in orange"
    if block_size(len(report["classes"])) > 1:
        colours = "errors in orange"
    if first.count == 1:
        return f"Rows are true classes, columns predicted ones, {colours}; no two classes were confused more than once."
    of_class = f"{first.count:,} of {first.count / first.share:,.0f} images"
    return (
        f"Rows are true classes, columns predicted ones, {colours}; the most frequent confusion is "
        f"{shortened(first.truth)} classified as {shortened(first.predicted)}: {of_class}."
    )


def classes_sentence(rows: Sequence[Report], shown: Sequence[Report]) -> str:
    """Which class is hardest, and which classes the figure shows."""
    tested = [row for row in rows if row["images"]]
    worst, best = (choose(tested, key=lambda row: float(row["f1"])) for choose in (min, max))
    others = sum(row["f1"] == best["f1"] for row in tested) - 1
    if worst["f1"] == best["f1"]:
        text = f"All classes have the same F1 score, {worst['f1']:.2f}"
    else:
        easiest = f"are {shortened(best['class'])} and {others:,} more" if others else f"is {shortened(best['class'])}"
        scores = f"recall {worst['recall']:.0%}, precision {worst['precision']:.0%}"
        if worst["recall"] == 0:
            scores = "none of its images is classified correctly"
        text = f"The hardest class is {shortened(worst['class'])} (F1 {worst['f1']:.2f}; {scores})"
        text += f"; the easiest {easiest} (F1 {best['f1']:.2f})"
    if len(shown) < len(tested):
        text += f". The figure shows the {len(shown)} of {len(tested):,} classes with the lowest F1"
    return f"{text}. Numbers of images are in brackets."


def calibration_sentence(report: Report) -> str:
    """Whether the network is overconfident."""
    confidence, accuracy = report["calibration"]["mean_confidence"], report["accuracy"]
    gap = confidence - accuracy
    verdict = "well calibrated on average"
    if abs(gap) > ALIKE:
        verdict = f"{'overconfident' if gap > 0 else 'underconfident'} by {abs(gap):.3f}"
    return (
        f"The mean confidence of the predictions is {confidence:.3f} and their accuracy {accuracy:.3f}: the network is "
        f"{verdict}. Below the dashed line it is overconfident, above it underconfident."
    )


def errors_sentence(report: Report, errors: Sequence[Misclassified]) -> str:
    """How many errors there are, and which of them are shown."""
    total = sum(map(sum, report["confusion_matrix"])) - int(np.trace(report["confusion_matrix"]))
    if not errors:
        return f"There are none: all {report['images']:,} test images were classified correctly."
    shown = "all of them" if len(errors) == total else f"the {len(errors)} of highest confidence"
    return (
        f"Of {counted(total, 'error')} in {report['images']:,} test images, {shown}, the most confident first, each "
        "with the predicted class and its confidence. Look for wrong labels, for images that would fool a person too, "
        "and for what the others have in common."
    )
