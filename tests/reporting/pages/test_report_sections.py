"""The sentences of a report claim no more than the figures show."""

from __future__ import annotations

import pytest

from records.words import counted, percentage_points
from reporting.analysis.gene_effects import GeneEffect, GeneEffects, ValueEffect
from reporting.pages.report_sections import changed_genes, components_lead


def effects(low: float) -> GeneEffects:
    """A gene of two values, its importance with an interval from `low` on, and one that never varied."""
    values = (ValueEffect(value=False, count=5, effect=-0.02), ValueEffect(value=True, count=7, effect=0.02))
    varied = GeneEffect(name="squeeze_excitation", values=values, importance=0.02, importance_interval=(low, 0.04))
    fixed = GeneEffect(name="learning_rate", values=(ValueEffect(value=0.2, count=12),))
    return GeneEffects(genes=(varied, fixed), interactions=(), networks=12, failures=0)


def test_a_gene_whose_importance_is_clear_is_named_with_its_best_value() -> None:
    lead = components_lead(effects(0.01))
    assert lead.startswith("Of the genes, squeeze excitation matters most, by 2.0 points (95%: 1.0 to 4.0)")
    assert "best is yes, worst of those tried no" in lead
    assert lead.endswith("Never varied, so unknown: learning rate.")


@pytest.mark.parametrize("low", [0.0, 0.0001])
def test_without_evidence_no_gene_is_said_to_matter(low: float) -> None:
    lead = components_lead(effects(low))
    assert lead.startswith("No gene stands out clearly from 12 networks: the largest estimate is that of squeeze")
    assert "matters" not in lead
    assert lead.endswith("Never varied, so unknown: learning rate.")


def test_where_nothing_varied_nothing_is_said() -> None:
    assert "No gene varied" in components_lead(GeneEffects(genes=(), interactions=(), networks=0, failures=0))


def test_changes_are_said_in_words_and_what_is_alike_is_not_said() -> None:
    changes = [("pooling_place", "early", "late"), ("residual", False, True), ("kernel", 3, 3), ("dropout", 0.0, 0.1)]
    assert changed_genes(changes) == "pooling place early → late, residual no → yes, dropout 0 → 0.1"
    assert changed_genes([("kernel", 3, 3)]) == "no gene changed"


@pytest.mark.parametrize(("number", "words"), [(0, "0 bits"), (1, "1 bit"), (2000, "2,000 bits")])
def test_one_is_one_and_many_are_many(number: int, words: str) -> None:
    assert counted(number, "bit") == words


def test_differences_have_their_sign() -> None:
    assert (percentage_points(0.01234), percentage_points(-0.5)) == ("+1.23 points", "−50.00 points")
