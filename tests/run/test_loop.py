"""The loop by generations, without worker processes: rungs, the median rule, the time that is left."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tests.faults.small_run as small_run
from records import TrainingResult
from records.costs import Cost
from search.early_stopping import epochs_spent, median_curve, rung_sizes
from search.ranking import front_numbers
from storage.checkpoint import load_state
from tests.faults.small_run import (
    Told,
    birth,
)
from tests.small_runs import Run, epochs_of, evolve, rungs_of


def test_each_rung_trains_a_third_of_the_one_before(halved: Run) -> None:
    lengths = [job.protocol.epochs for job in halved.started]
    assert lengths == [1] * 8 + [3] * 3 + [9] * 1 + [1] * 7 + [3] * 3 + [9] * 1
    for count, generation in zip((8, 7), halved.state.generations, strict=True):
        new = [each for each in generation.individuals if each.origin != "elite"]
        for number, (size, epochs) in enumerate(rung_sizes(count, 9, 3)):
            assert len([each for each in new if len(each.jobs) > number]) == size
            for each in new:
                if len(each.jobs) > number:
                    assert len(halved.state.results[each.jobs[number]].epochs) == epochs


def test_only_the_most_accurate_of_a_rung_go_on(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "rich", objectives=("accuracy",), surrogate="off"))
    for went_on, others in rungs_of(run):
        worst = min(result.epochs[-1].score or 0.0 for result in went_on)
        assert all((result.epochs[-1].score or 0.0) < worst for result in others)


def test_with_two_objectives_no_one_goes_on_before_those_that_dominate_it(halved: Run) -> None:
    for went_on, others in rungs_of(halved):
        results = [*went_on, *others]
        points = np.array([(-(result.epochs[-1].score or 0.0), result.parameters) for result in results])
        fronts = front_numbers(points.astype(float))
        assert max(fronts[: len(went_on)]) <= min(fronts[len(went_on) :], default=math.inf)


def test_a_fitness_is_that_of_the_last_rung_and_the_earlier_ones_are_kept(halved: Run) -> None:
    for each in halved.individuals():
        results = [halved.state.results[key] for key in each.jobs]
        assert each.fitness is not None
        assert (each.fitness.value, each.fitness.epochs) == (results[-1].epochs[-1].score, len(results[-1].epochs))
        assert [(one.value, one.epochs) for one in each.earlier] == [
            (result.epochs[-1].score, len(result.epochs)) for result in results[:-1]
        ]


@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "parameters")])
def test_elites_come_from_the_last_rung(objectives: tuple[str, ...], tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(1, "rich", generations=4, objectives=objectives, surrogate="off"))
    elites = [each for each in run.individuals() if each.origin == "elite"]
    assert len(elites) == 3
    assert all(each.fitness is not None and each.fitness.epochs == 9 for each in elites)
    assert run.work.engine.best is not None
    assert len(run.work.engine.best.jobs) == 3


def test_results_and_weights_of_all_rungs_are_kept_apart(halved: Run) -> None:
    keys = {key for each in halved.individuals() for key in each.jobs}
    assert set(halved.state.results) == keys == {job.key for job in halved.started}
    names = {3: ["epochs_1/", "epochs_3/", ""], 2: ["epochs_1/", "epochs_3/"], 1: ["epochs_1/"]}
    for each in halved.individuals():
        if each.origin != "elite":
            expected = [f"results/{each.name}/{rung}best_model.pt" for rung in names[len(each.jobs)]]
            assert [halved.state.results[key].weights for key in each.jobs] == expected
            assert all((halved.folder / path).is_file() for path in expected)


def test_the_job_of_an_individual_is_that_of_its_last_rung(halved: Run) -> None:
    for each in halved.individuals():
        assert halved.work.last_job(each).key == each.jobs[-1]


def test_a_failed_network_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = small_run.train
    failed: list[str] = []

    def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
        result = original(root, task)
        if len(failed) < 6:
            failed.append(result.key)
            return TrainingResult(key=result.key, status="diverged", reason="planted")
        return result

    monkeypatch.setattr(small_run, "train", train)
    run = evolve(tmp_path, birth(0, "rich", generations=1))
    assert epochs_of(run.started) == [(1, 8), (3, 2), (9, 1)]
    losers = [each for each in run.individuals() if each.jobs[0] in failed]
    assert len(losers) == 6
    assert all(each.fitness is None and each.failure == "diverged: planted" for each in losers)
    assert epochs_spent(run.state) == 6 * 9 + 2 * 1 + 2 * 3 + 1 * 9  # a failed one counts as a whole


@pytest.fixture(scope="module")
def by_median(tmp_path_factory: pytest.TempPathFactory) -> Run:
    state = birth(0, early_stopping="median", epochs=4, population=6, generations=4)
    return evolve(tmp_path_factory.mktemp("median"), state)


def test_the_median_of_earlier_generations_is_what_a_training_must_reach(by_median: Run) -> None:
    jobs = {job.key: job for job in by_median.started}
    curves: dict[str, list[float]] = {}
    for generation in by_median.state.generations:
        expected = median_curve(list(curves.values()))
        for each in generation.individuals:
            if each.origin != "elite":
                assert jobs[each.jobs[-1]].stop_below == expected
        for each in generation.individuals:
            epochs = by_median.state.results[each.jobs[-1]].epochs
            curves[each.jobs[-1]] = [epoch.score or 0.0 for epoch in epochs]
    first = [jobs[each.jobs[-1]] for each in by_median.state.generations[0].individuals]
    assert all(job.stop_below == () for job in first)


def test_a_training_ends_with_the_first_epoch_under_the_median(by_median: Run) -> None:
    lengths = []
    for job in by_median.started:
        accuracies = [epoch.score or 0.0 for epoch in by_median.state.results[job.key].epochs]
        under = [n for n, (a, b) in enumerate(zip(accuracies, job.stop_below, strict=False), 1) if a < b]
        assert len(accuracies) == (under[0] if under else 4)
        lengths.append(len(accuracies))
    assert 1 in lengths
    assert lengths.count(4) > 6
    assert epochs_spent(by_median.state) == sum(lengths)
    assert f"{sum(lengths)} of {4 * len(lengths)} epochs (early stopping)" in by_median.summary


def test_the_curve_of_a_training_is_kept_for_the_predictor(by_median: Run) -> None:
    for each in by_median.individuals():
        epochs = by_median.state.results[each.jobs[-1]].epochs
        assert each.fitness is not None
        assert [fitness.value for fitness in (*each.earlier, each.fitness)] == [epoch.score for epoch in epochs]
        assert [fitness.epochs for fitness in (*each.earlier, each.fitness)] == list(range(1, len(epochs) + 1))


def test_thresholds_are_a_part_of_a_jobs_key(by_median: Run) -> None:
    job = next(job for job in by_median.started if job.stop_below)
    assert replace(job, stop_below=()).key != job.key
    for each in by_median.individuals():
        assert by_median.work.last_job(each).key == each.jobs[-1]


def test_a_run_with_the_median_rule_resumes_to_the_same_end(by_median: Run, tmp_path: Path) -> None:
    state = load_state(by_median.folder / "checkpoints/generation_2/ga_state.json")[1]
    again = evolve(tmp_path, state)
    assert again.state.generations == by_median.state.generations
    assert {job.key for job in again.started} == set(by_median.state.results) - set(state.results)


@pytest.mark.parametrize("variant", ["plain", "rich"])
def test_the_time_that_is_left_falls_to_nothing(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, clock = small_run.train, [0.0]

    def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
        result = original(root, task)
        clock[0] += len(result.epochs)  # one second for each epoch of any network
        cost = Cost(seconds=len(result.epochs), hardware="a clock", started=clock[0])
        return replace(result, cost=cost)

    monkeypatch.setattr(small_run, "train", train)
    foreseen: list[tuple[float, float]] = []
    monkeypatch.setattr(Told, "time_left", lambda console, left: foreseen.append((clock[0], left)))
    run = evolve(tmp_path, birth(0, variant))
    total = clock[0]
    assert len(foreseen) == len(run.started)
    assert foreseen[-1][1] == 0
    assert all(left > 0 for now, left in foreseen[:-1])
    errors = [abs(left - (total - now)) / total for now, left in foreseen]
    assert statistics.median(errors) < 0.25
    assert max(errors[len(errors) // 2 :]) < 0.5
