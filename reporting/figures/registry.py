"""The figures of the report, by the section that shows them. A new figure is a new module and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from reporting.figures import (
    ablation,
    alleles,
    diversity,
    forecasts,
    gene_interactions,
    gene_values,
    learning_curves,
    lineage,
    main_effects,
    pareto_front,
    progress,
    spending,
    timeline,
)
from reporting.figures.report_figure import ReportFigure
from reporting.run_view import RunView

# A maker yields its figures of a run; none where there is nothing to show.
Maker = Callable[[RunView], Iterator[ReportFigure]]

FIGURES: Mapping[str, tuple[Maker, ...]] = {
    "progress": (progress.figures, spending.figures, learning_curves.figures),
    "components": (main_effects.figures, gene_values.figures, gene_interactions.figures),
    "ablation": (ablation.figures,),
    "search": (alleles.figures, diversity.figures, forecasts.figures),
    "descent": (lineage.figures,),
    "devices": (timeline.figures,),
    "front": (pareto_front.figures,),
}


def section_figures(view: RunView, section: str) -> tuple[ReportFigure, ...]:
    """The figures of a section, in the order in which the report shows them."""
    return tuple(figure for make in FIGURES[section] for figure in make(view))


def all_figures(view: RunView) -> Iterator[ReportFigure]:
    """All figures of a run, one after another; before the first generation, at most those of the devices."""
    for section in FIGURES if view.individuals else ("devices",):
        yield from section_figures(view, section)
