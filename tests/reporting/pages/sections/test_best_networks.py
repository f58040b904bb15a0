"""What changed between the best networks."""

from __future__ import annotations

from reporting.pages.sections.best_networks import changed_genes


def test_changes_are_said_in_words_and_what_is_alike_is_not_said() -> None:
    changes = [("pooling_place", "early", "late"), ("residual", False, True), ("kernel", 3, 3), ("dropout", 0.0, 0.1)]
    assert changed_genes(changes) == "pooling place early → late, residual no → yes, dropout 0 → 0.1"
    assert changed_genes([("kernel", 3, 3)]) == "no gene changed"
