"""The section on gene effects claims no more than its figures show."""

from __future__ import annotations

import pytest

from reporting.analysis.gene_effects import GeneEffect, GeneEffects, ValueEffect
from reporting.pages.sections.gene_effects import lead


def effects(low: float) -> GeneEffects:
    """A gene of two values, its importance with an interval from `low` on, and one that never varied."""
    values = (ValueEffect(value=False, count=5, effect=-0.02), ValueEffect(value=True, count=7, effect=0.02))
    varied = GeneEffect(name="squeeze_excitation", values=values, importance=0.02, importance_interval=(low, 0.04))
    fixed = GeneEffect(name="learning_rate", values=(ValueEffect(value=0.2, count=12),))
    return GeneEffects(genes=(varied, fixed), interactions=(), networks=12, failures=0)


def test_a_gene_whose_importance_is_clear_is_named_with_its_best_value() -> None:
    text = lead(effects(0.01))
    assert text.startswith("Of the genes, squeeze excitation matters most, by 2.0 percentage points (95%: 1.0 to 4.0)")
    assert "yes is its best value and no the worst of those tried" in text
    assert text.endswith("Never varied, hence unknown: learning rate.")


@pytest.mark.parametrize("low", [0.0, 0.0001])
def test_without_evidence_no_gene_is_said_to_matter(low: float) -> None:
    text = lead(effects(low))
    assert text.startswith("No gene stands out clearly from 12 networks: the largest estimate is that of squeeze")
    assert "matters" not in text
    assert text.endswith("Never varied, hence unknown: learning rate.")


def test_where_nothing_varied_nothing_is_said() -> None:
    assert "No gene varied" in lead(GeneEffects(genes=(), interactions=(), networks=0, failures=0))
