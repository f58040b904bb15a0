"""The ancestors of the best are drawn with the bits that changed."""

from __future__ import annotations

from records import RunState
from records.individuals import all_individuals
from reporting.analysis.accuracies import comparable
from reporting.analysis.lineage import lineage, main_line
from reporting.figures.lineage import draw_lineage
from search_space.genes import STANDARD
from tests.reporting.figures.drawn import texts


def test_the_main_line_of_the_best_is_drawn_with_its_bits(state: RunState) -> None:
    individuals = all_individuals(state.generations)
    best = max(individuals, key=lambda each: (each.generation, each.origin != "elite", each.index))
    steps = lineage(individuals, best.name, STANDARD)
    line = main_line(steps, best.name)
    assert line
    words = texts(draw_lineage(steps, line, comparable(individuals)))
    assert words == ["1 bit" if len(step.loci) == 1 else f"{len(step.loci)} bits" for step in steps if step in line]
    assert texts(draw_lineage([], [], {})) == ["the best network belongs to the first generation and has no ancestors"]
