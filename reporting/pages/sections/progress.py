"""Progress: how the best network improved over generations."""

from __future__ import annotations

from records.individuals import best_measured
from reporting.analysis.accuracies import best_so_far
from reporting.figures.registry import section_figures
from reporting.pages.sections.section import Section
from reporting.run_view import RunView


def section(view: RunView) -> Section:
    return Section("progress", "Progress", lead(view), section_figures(view, "progress"))


def lead(view: RunView) -> str:
    """By how much the best improved, and for how long it has not."""
    by_generation: dict[int, float] = {}
    for each, value in zip(view.individuals, best_so_far(view.individuals), strict=True):
        if value is not None:
            by_generation[each.generation] = value
    best = best_measured(view.individuals)
    if best is None:
        return "No training has succeeded yet, so there is nothing to compare."
    (first, start), (last, end) = next(iter(by_generation.items())), list(by_generation.items())[-1]
    if end > start:
        text = f"The best rose from {start:.4f} in generation {first} to {end:.4f} in generation {best.generation}"
    else:
        text = f"The best, {end:.4f}, was found in generation {best.generation}"
    if last - best.generation > 1:
        text += f"; the {last - best.generation} generations after it found nothing better"
    return f"{text}. Each value is that of a single training during the search."
