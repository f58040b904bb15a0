"""How well a network classifies the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from training.metrics import accuracy_and_loss, balanced_accuracy
from training.statistics import balanced_interval, calibration, top_confidence, wilson_interval

TOP_K = 5


def classification_report(logits: Tensor, labels: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, loss, top-5 accuracy for more than ten classes, calibration, scores by class, confusion matrix."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score

    accuracy, loss = accuracy_and_loss(logits, labels)
    truth, predicted = labels.numpy(), logits.argmax(1).numpy()
    classes = np.arange(len(class_names))
    columns = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0.0)
    hits = np.bincount(truth[truth == predicted], minlength=len(classes))
    interval = wilson_interval(int((truth == predicted).sum()), len(truth))
    report: dict[str, Any] = {
        "accuracy": accuracy,
        "accuracy_interval": list(interval),
        "balanced_accuracy": balanced_accuracy(logits, labels),
        "balanced_accuracy_interval": list(balanced_interval(hits.tolist(), columns[3].tolist())),
        "loss": loss,
        "images": len(labels),
    }
    if len(classes) > 10:
        report[f"top_{TOP_K}_accuracy"] = float(top_k_accuracy_score(truth, logits.numpy(), k=TOP_K, labels=classes))
    report["calibration"] = asdict(calibration(top_confidence(logits.numpy()), truth == predicted))
    report["classes"] = [
        {"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1), "images": int(count)}
        for name, precision, recall, f1, count in zip(class_names, *columns, strict=True)
    ]
    report["confusion_matrix"] = confusion_matrix(truth, predicted, labels=classes).tolist()
    return report
