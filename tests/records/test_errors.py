"""Errors."""

from __future__ import annotations

from records.errors import TrainingFailure


def test_a_training_failure_tells_its_status_and_reason() -> None:
    failure = TrainingFailure("diverged", "the loss is nan")
    assert (failure.status, failure.reason, str(failure)) == (
        "diverged",
        "the loss is nan",
        "diverged: the loss is nan",
    )
