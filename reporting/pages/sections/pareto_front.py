"""Pareto front: the networks that no other network beats in all objectives."""

from __future__ import annotations

from records.objectives import quantity
from records.words import counted
from reporting.figures.pareto_front import letters
from reporting.figures.registry import section_figures
from reporting.pages.sections.section import NetworkDrawing, Section, drawing
from reporting.run_view import RunView
from search.ranking import pareto_front

MOST_DRAWN = 30  # networks


def section(view: RunView) -> Section | None:
    objectives = view.state.search.objectives
    front = pareto_front(view.individuals, objectives)
    if len(objectives) == 1 or not front:
        return None
    drawings = []
    for letter, each in list(zip(letters(len(front)), front, strict=True))[:MOST_DRAWN]:
        assert each.fitness is not None  # noqa: S101 only trained individuals are on the front
        costs = ", ".join(quantity(name, each.fitness.objective(name)) for name in objectives[1:])
        drawings.append(NetworkDrawing(letter, drawing(view, each), f"{each.fitness.value:.4f}, {costs} ({each.name})"))
    lead = f"{counted(len(front), 'network')} that no other network beats in all of {', '.join(objectives)}."
    if len(front) > MOST_DRAWN:
        lead += f" The first {MOST_DRAWN} are drawn."
    return Section("front", "Pareto front", lead, section_figures(view, "front"), tuple(drawings))
