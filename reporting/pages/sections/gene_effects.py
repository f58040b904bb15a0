"""Gene effects: which gene matters most."""

from __future__ import annotations

from records.words import counted
from reporting.analysis.gene_effects import GeneEffect, GeneEffects
from reporting.figures.registry import section_figures
from reporting.pages.sections.section import Section
from reporting.run_view import RunView
from search_space.genes import value_in_words


def section(view: RunView) -> Section:
    return Section("components", "Gene effects", lead(view.gene_effects), section_figures(view, "components"))


def lead(effects: GeneEffects) -> str:
    """Which gene matters most, how much, and between which of its values."""
    if not effects.ranked:
        return "No gene varied among the trained networks, so no effect can be estimated."
    top, *others = effects.ranked
    low, high = top.importance_interval or (0.0, 0.0)
    size = f"{_points(top)} (95%: {100 * low:.1f} to {100 * high:.1f})"
    networks, name = counted(effects.networks, "network"), _name(top)
    if round(1000 * low) == 0:
        text = f"No gene stands out clearly from {networks}: the largest estimate is that of {name}, {size}."
    else:
        tried = sorted((each for each in top.values if each.effect is not None), key=lambda each: each.effect or 0.0)
        worst, best = value_in_words(tried[0].value), value_in_words(tried[-1].value)
        text = (
            f"Of the genes, {name} matters most, by {size}: all else equal, {best} is its best value and {worst} the "
        )
        text += f"worst of those tried; from {networks}."
        if others:
            text += f" Next is {_name(others[0])}, {_points(others[0])}."
    if effects.never_varied:
        text += f" Never varied, hence unknown: {', '.join(map(_name, effects.never_varied))}."
    return text


def _name(gene: GeneEffect) -> str:
    return gene.name.replace("_", " ")


def _points(gene: GeneEffect) -> str:
    return f"{100 * (gene.importance or 0.0):.1f} percentage points"
