"""Figures of a run show all there is of it, where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from records import RunState
from records.individuals import all_individuals
from records.runs import Ablation, Neighbour
from records.texts import Chromosome
from reporting.analysis.accuracies import comparable
from reporting.analysis.devices import timeline
from reporting.analysis.forecasts import outcomes
from reporting.analysis.lineage import lineage, main_line
from reporting.analysis.population import diversity
from reporting.analysis.progress import spending
from reporting.figures.run_plots import (
    draw_ablation,
    draw_alleles,
    draw_diversity,
    draw_forecasts,
    draw_front,
    draw_learning_curves,
    draw_lineage,
    draw_progress,
    draw_spending,
    draw_timeline,
    letters,
)
from reporting.figures.theme import figure_bytes
from search.ranking import pareto_front
from search_space.genes import STANDARD
from tests.faults.small_run import birth
from tests.reporting.examples import result
from tests.run.test_loop import evolve


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunState]:
    """Four generations with rungs of 1, 3 and 9 epochs, forecasts, accuracy against parameters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield evolve(tmp_path_factory.mktemp("run"), birth(0, "rich", generations=4)).state


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def points(figure: Figure, place: int, label: str) -> set[tuple[float, float]]:
    """The points of the line with this label."""
    line = next(line for line in figure.axes[place].lines if line.get_label() == label)
    return {(round(float(x), 9), round(float(y), 9)) for x, y in np.asarray(line.get_xydata(), float)}


def test_with_early_stopping_each_axis_compares_trainings_of_one_length(state: RunState) -> None:
    figure = draw_progress(state.generations)
    assert len(figure.axes) == 2
    in_full = {
        (each.generation, round(each.fitness.value, 9))
        for each in all_individuals(state.generations)
        if each.fitness and each.fitness.epochs == 9
    }
    assert points(figure, 0, "after 9 epochs") == in_full
    assert figure.axes[1].get_title(loc="left") == "all, after 1 epoch"
    count = sum(len(np.asarray(line.get_xydata())) for line in figure.axes[1].lines if line.get_marker() == "o")
    assert count == len(all_individuals(state.generations))


def test_spending_ends_where_the_run_did(state: RunState) -> None:
    spent = spending(state)
    trainings, _ = draw_spending(spent).axes
    steps = next(line for line in trainings.lines if line.get_label() == "best so far")
    assert np.asarray(steps.get_xydata())[-1, 0] == pytest.approx(spent[-1].trainings)


def test_every_training_in_full_has_its_learning_curve(state: RunState) -> None:
    figure = draw_learning_curves(state.generations, state.results)
    curves = [line for line in figure.axes[0].lines if len(np.asarray(line.get_xydata())) == 9]
    assert len(curves) == sum(
        each.fitness is not None and each.fitness.epochs == 9 for each in all_individuals(state.generations)
    )


def test_alleles_have_a_row_for_each_coding_bit_and_a_column_for_each_generation(state: RunState) -> None:
    left, right, *_ = draw_alleles(state.generations, STANDARD).axes
    for axes in (left, right):
        assert axes.images[0].get_array().shape == (15, 4)  # type: ignore[union-attr]
    assert len(left.get_yticklabels()) == 15


def test_the_main_line_of_the_best_is_drawn_with_its_bits(state: RunState) -> None:
    individuals = all_individuals(state.generations)
    best = max(individuals, key=lambda each: (each.generation, each.origin != "elite", each.index))
    steps = lineage(individuals, best.name, STANDARD)
    line = main_line(steps, best.name)
    assert line
    words = texts(draw_lineage(steps, line, comparable(individuals)))
    assert words == ["1 bit" if len(step.loci) == 1 else f"{len(step.loci)} bits" for step in steps if step in line]
    assert texts(draw_lineage([], [], {})) == ["the best network is of the first generation: it has no ancestors"]


def test_forecasts_are_drawn_on_one_scale(state: RunState) -> None:
    found = outcomes(all_individuals(state.generations))
    assert found
    (axes,) = draw_forecasts(found).axes
    assert axes.get_xlim() == axes.get_ylim()
    assert sum(len(np.asarray(line.get_xydata())) for line in axes.lines if line.get_marker() == "o") == len(found)
    assert texts(draw_forecasts([])) == ["no network was chosen by a forecast"]


@pytest.mark.parametrize("devices", [1, 8, 64])
def test_every_device_has_its_lane_and_every_training_its_bar(devices: int) -> None:
    results = [result(str(n), 10.0 + n // devices * 5, 4.0, f"gpu {n % devices}") for n in range(5 * devices)]
    results[0] = replace(results[0], status="crashed", epochs=())
    (axes,) = draw_timeline(timeline(results)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"gpu {n}" for n in range(devices)]
    assert sum(len(bars.get_paths()) for bars in axes.collections) == 5 * devices


def test_the_front_is_lettered_and_equal_points_share_their_place(state: RunState) -> None:
    individuals = all_individuals(state.generations)
    front = pareto_front(individuals, state.search.objectives)
    figure = draw_front(individuals, [*front, front[0]], "parameters")
    marks = texts(figure)
    assert marks[0] == f"A, {letters(len(front) + 1)[-1]}"
    assert marks[1:] == letters(len(front))[1:]
    assert figure.axes[0].get_xlabel() == "parameters"


def test_letters_go_on_after_z() -> None:
    assert letters(28)[25:] == ["Z", "A1", "B1"]


def test_diversity_has_a_point_for_each_generation(state: RunState) -> None:
    (axes,) = draw_diversity(diversity(state.generations, STANDARD)).axes
    assert all(len(np.asarray(line.get_xydata())) == 4 for line in axes.lines)


def neighbour(locus: int, *accuracies: float, same: bool = False) -> Neighbour:
    return Neighbour(
        locus=locus,
        gene="kernel",
        best_value="3",
        value=str(locus),
        chromosome=Chromosome("0" * 19),
        is_same_network=same,
        accuracies=accuracies,
    )


def test_a_neighbour_far_off_stands_at_the_edge_with_its_number_and_hides_no_other() -> None:
    ablation = Ablation(
        individual="gen1/ind1",
        chromosome=Chromosome("0" * 19),
        accuracies=(0.9, 0.91),
        neighbours=(
            neighbour(1, 0.1, 0.11),
            *(neighbour(n, 0.89, 0.9 + n / 1000) for n in range(2, 8)),
            neighbour(8, same=True),
            neighbour(9, 0.905),
        ),
    )
    figure = draw_ablation(ablation)
    (axes,) = figure.axes
    assert texts(figure) == ["−80.0"]
    assert axes.get_xlim()[1] < 70
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "kernel 3 → 1"
    assert "kernel 3 → 8" not in names
    assert len(names) == 8
    nothing = replace(ablation, neighbours=())
    assert texts(draw_ablation(nothing)) == ["no neighbour of the best was trained"]


def test_all_of_them_become_files(state: RunState) -> None:
    individuals = all_individuals(state.generations)
    for figure in (draw_alleles(state.generations, STANDARD), draw_forecasts(outcomes(individuals))):
        assert figure_bytes(figure, "png").startswith(b"\x89PNG")
