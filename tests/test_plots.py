"""Figures: files that can be read, that are equal where the data are equal, and that show all there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plots
from records import (
    DataConfig,
    EvolutionConfig,
    Fitness,
    Generation,
    Individual,
    InputError,
    RunState,
    TrainingConfig,
    TrainingResult,
)
from records.canonical import content_hash
from records.runs import DataFacts
from records.texts import Chromosome, JobKey
from records.trainings import Epoch
from reporting.figures.run_plots import draw_progress
from reporting.figures.theme import save_figure
from search_space.genes import STANDARD
from search_space.tables import gene_table_text
from storage.checkpoint import save_state
from storage.directory import RunDirectory
from tests.pictures import check_files


def generation(number: int, values: Sequence[float | None]) -> Generation:
    """One individual for each fitness; None is a failed training."""
    return Generation(
        number=number,
        individuals=tuple(
            Individual(
                generation=number,
                index=index,
                chromosome=Chromosome("0" * 19),
                origin="random",
                fitness=None if value is None else Fitness(value=value, epochs=1),
            )
            for index, value in enumerate(values, 1)
        ),
    )


def generation_rows(values: Sequence[Sequence[float | None]]) -> list[Generation]:
    return [generation(number, row) for number, row in enumerate(values, 1)]


RUNS: dict[str, list[Generation]] = {
    "no generation": [],
    "one individual": [generation(1, [0.5])],
    "one generation": [generation(1, [0.1, 0.5, 0.9])],
    "failures only": [generation(1, [None, None]), generation(2, [None])],
    "some failures": [generation(1, [None, 0.2]), generation(2, [None, None]), generation(3, [0.1, 0.3])],
    "many generations": [generation(number, [0.2, 0.2 + number / 200]) for number in range(1, 101)],
    "extremes": [generation(1, [0.0, 1.0]), generation(2, [1.0, 1.0])],
}


@pytest.mark.parametrize("name", RUNS)
def test_the_fitness_of_any_run_can_be_drawn(name: str, tmp_path: Path) -> None:
    check_files(save_figure(draw_progress(RUNS[name]), tmp_path, "fitness"), tmp_path, "fitness")
    assert {path.name for path in tmp_path.iterdir()} == {"fitness.svg", "fitness.png"}


@given(values=st.lists(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None)
def test_every_fitness_is_a_dot_and_the_best_so_far_never_falls(values: list[list[float | None]]) -> None:
    figure = draw_progress(generation_rows(values))
    (axes,) = figure.axes
    lines = {str(line.get_label()): line for line in axes.lines}
    dots = [
        (float(x), float(y))
        for label, line in lines.items()
        if label == "after 1 epoch"
        for x, y in np.asarray(line.get_xydata(), dtype=float)
    ]
    found = [(float(number), value) for number, row in enumerate(values, 1) for value in row if value is not None]
    assert sorted(dots) == sorted(found)
    if not found:
        assert [text.get_text() for text in axes.texts] == ["no training has succeeded yet"]
        return
    for number, best in np.asarray(lines["best so far"].get_xydata(), dtype=float):
        assert best == max(value for other, value in found if other <= number)


def test_equal_data_are_equal_pictures(tmp_path: Path) -> None:
    one, two, other = (
        save_figure(draw_progress(RUNS[name]), tmp_path / folder, "fitness")[1].read_bytes()
        for folder, name in (("a", "some failures"), ("b", "some failures"), ("c", "one generation"))
    )
    assert one == two != other


def state_of(values: Sequence[Sequence[float | None]]) -> RunState:
    """The state of a run whose trainings came to these accuracies, row by row; None is a failure."""
    results: dict[JobKey, TrainingResult] = {}
    generations = []
    for row in generation_rows(values):
        individuals = []
        for individual in row.individuals:
            key = JobKey(content_hash(individual.name))
            value = None if individual.fitness is None else individual.fitness.value
            epochs = () if value is None else (Epoch(train_loss=1.0, score=value, loss=0.0),)
            results[key] = TrainingResult(key=key, status="crashed" if value is None else "done", epochs=epochs)
            individuals.append(replace(individual, jobs=(key,), fitness=results[key].fitness))
        generations.append(replace(row, individuals=tuple(individuals)))
    following = generation(len(values) + 1, [None] * len(values[0])).individuals
    return RunState(
        version="0",
        search=EvolutionConfig(population=len(values[0]), tournament_size=1, elitism=1),
        training=TrainingConfig(flip="off", crop_padding=1, precision="float32", micro_batch=128, cuda_graph="off"),
        data=DataConfig(dataset="digits"),
        facts=DataFacts(
            fingerprint="f",
            input_shape=(1, 8, 8),
            class_names=("0", "1"),
            train_images=8,
            val_images=4,
            test_images=4,
        ),
        gene_table=gene_table_text(STANDARD),
        generations=tuple(generations),
        results=results,
        population=following,
    )


def test_the_command_draws_the_figures_of_a_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "run")
    values: list[list[float | None]] = [[0.2, None], [0.3, 0.4]]
    save_state(run, state_of(values))
    assert plots.main(["--resume", str(run.root)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    check_files(printed, run.figures, "fitness")
    expected = save_figure(draw_progress(generation_rows(values)), tmp_path, "expected")
    assert printed[1].read_bytes() == expected[1].read_bytes()
    assert plots.main(["--resume", str(run.state(2))]) == 0
    assert [Path(line) for line in capsys.readouterr().out.splitlines()] == printed


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        plots.main(["--resume", str(tmp_path)])


def test_equal_generations_are_equal_files(tmp_path: Path) -> None:
    one, two = (save_figure(draw_progress(RUNS["some failures"]), tmp_path / name, "fitness") for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    other = save_figure(draw_progress(RUNS["one generation"]), tmp_path / "c", "fitness")
    assert other[0].read_bytes() != one[0].read_bytes()
    assert other[1].read_bytes() != one[1].read_bytes()
