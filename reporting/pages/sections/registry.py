"""All sections of the report, in their order. A new section is a new module and an entry here."""

from __future__ import annotations

from collections.abc import Callable

from reporting.pages.sections import (
    ablation,
    best_networks,
    devices,
    finalists,
    gene_effects,
    lineage,
    pareto_front,
    population,
    progress,
)
from reporting.pages.sections.section import Section
from reporting.run_view import RunView

# A maker gives its section of a run; None where there is nothing to show.
Maker = Callable[[RunView], Section | None]

SECTIONS: tuple[Maker, ...] = (
    finalists.section,
    progress.section,
    best_networks.section,
    gene_effects.section,
    ablation.section,
    population.section,
    lineage.section,
    devices.section,
    pareto_front.section,
)


def sections(view: RunView) -> list[Section]:
    """The sections that have something to show; before the first generation, at most the devices."""
    makers = SECTIONS if view.individuals else (devices.section,)
    return [section for make in makers if (section := make(view)) is not None]
