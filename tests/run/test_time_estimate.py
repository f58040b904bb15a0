from __future__ import annotations

from dataclasses import replace

import pytest

from records import EvolutionConfig, TrainingResult
from records.costs import Cost
from records.texts import JobKey
from records.trainings import Epoch
from run.time_estimate import TimeEstimate, generation_sizes
from search_space.space import NetworkSpace
from tests.faults.small_run import birth

STATE = birth(0)
NETWORKS = [NetworkSpace.of(STATE).network(each.chromosome) for each in STATE.population]


def result(key: str, seconds: float, epochs: int = 1, hardware: str = "cpu") -> TrainingResult:
    curve = (Epoch(train_loss=1.0, score=0.5, loss=1.0),) * epochs
    return TrainingResult(
        key=JobKey(key), status="done", epochs=curve, cost=Cost(seconds=seconds, hardware=hardware, started=float(key))
    )


def test_nothing_is_foreseen_before_the_first_measurement() -> None:
    estimate = TimeEstimate(STATE)
    estimate.queued = {"1": 1.0}
    assert estimate.remaining(set()) is None


def test_what_a_queue_still_takes_is_scaled_by_what_has_ended() -> None:
    estimate = TimeEstimate(STATE)
    estimate.queued, estimate.later = {"1": 1.0, "2": 3.0}, 4.0
    estimate.measure(NETWORKS[0], result("1", seconds=10.0))  # ten times as long as expected
    assert estimate.remaining({"1"}) == pytest.approx(10 * (3 + 4))


def test_failures_tell_nothing_of_time() -> None:
    estimate = TimeEstimate(STATE)
    estimate.measure(NETWORKS[0], TrainingResult(key=JobKey("1"), status="diverged"))
    assert estimate.measured == {}


def test_expectations_follow_the_newest_kind_of_device() -> None:
    estimate = TimeEstimate(STATE)
    estimate.measure(NETWORKS[0], result("1", seconds=100.0, hardware="slow"))
    estimate.measure(NETWORKS[0], result("2", seconds=1.0, hardware="fast"))
    estimate.new_queue()
    assert estimate.seconds(NETWORKS[0], 1) == pytest.approx(1.0, rel=0.2)


def test_what_follows_counts_generations_rungs_and_finalists() -> None:
    search = EvolutionConfig(
        generations=3, population=4, elitism=1, early_stopping="halving", finalists=1, final_seeds=2, seed=0
    )
    state = replace(STATE, search=search, training=replace(STATE.training, epochs=9))
    assert generation_sizes(state, 3) == [(3, 1), (1, 3), (1, 9)]
    estimate = TimeEstimate(state)
    estimate.look_ahead(state, NETWORKS, epochs=1, spent=0)
    one, three, nine = (estimate.mean_seconds(NETWORKS, epochs) for epochs in (1, 3, 9))
    later_rungs, generations, finalists = three + nine, 2 * (3 * one + three + nine), 2 * nine
    assert estimate.later == pytest.approx(later_rungs + generations + finalists)


def test_a_budget_says_how_many_generations_follow() -> None:
    state = replace(STATE, search=replace(STATE.search, budget=12, finalists=0, early_stopping="none"))
    estimate = TimeEstimate(state)
    estimate.look_ahead(state, NETWORKS, epochs=1, spent=3)  # 9 are left: this generation's 3, then 2 more
    assert estimate.later == pytest.approx(2 * 3 * estimate.mean_seconds(NETWORKS, 1))


def test_after_the_search_nothing_else_is_foreseen_than_what_is_said_to_follow() -> None:
    estimate = TimeEstimate(STATE)
    estimate.look_ahead(STATE, NETWORKS, epochs=1, spent=0)
    estimate.expect_after(NETWORKS, 4, 1)
    assert estimate.later == pytest.approx(4 * estimate.mean_seconds(NETWORKS, 1))
    estimate.expect_after([], 0, 0)
    assert estimate.later == 0
