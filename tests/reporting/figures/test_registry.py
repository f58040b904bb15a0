"""The figures of the report."""

from __future__ import annotations

from records import RunState
from records.individuals import all_individuals
from reporting.analysis.forecasts import outcomes
from reporting.figures.alleles import draw_alleles
from reporting.figures.forecasts import draw_forecasts
from reporting.figures.theme import figure_bytes
from search_space.genes import STANDARD


def test_all_of_them_become_files(state: RunState) -> None:
    individuals = all_individuals(state.generations)
    for figure in (draw_alleles(state.generations, STANDARD), draw_forecasts(outcomes(individuals))):
        assert figure_bytes(figure, "png").startswith(b"\x89PNG")
