"""Budgets: spent to the last training, and never passed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from records import InputError
from search.early_stopping import epochs_spent, rung_sizes
from storage.checkpoint import load_state
from tests.faults.small_run import (
    birth,
)
from tests.small_runs import evolve, trainings


@pytest.mark.parametrize("budget", [1, 2, 3, 4, 5, 7, 10, 12])
@pytest.mark.parametrize("surrogate", ["off", "auto"])
def test_a_budget_is_spent_to_the_last_training_and_never_passed(budget: int, surrogate: str, tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, budget=budget, generations=1, surrogate=surrogate))
    assert trainings(run) == len(run.started) == budget
    sizes = [sum(each.origin != "elite" for each in one.individuals) for one in run.state.generations]
    assert sizes[0] == min(4, budget)
    assert all(size == 3 for size in sizes[1:-1])
    assert load_state(tmp_path)[1].generations == run.state.generations


@pytest.mark.parametrize("budget", [2, 3, 4, 8, 12])
def test_with_halving_a_budget_counts_epochs(budget: int, tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "rich", budget=budget, surrogate="off"))
    spent = sum(job.protocol.epochs for job in run.started)
    assert spent == epochs_spent(run.state) <= 9 * budget
    # One network more through all rungs would have been too much.
    assert 9 * budget - spent < sum(length for _, length in rung_sizes(1, 9, 3))


def test_a_budget_under_one_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--budget 1 does not pay for one network through all rungs"):
        evolve(tmp_path, birth(0, "rich", budget=1))


def test_finalists_are_paid_for_by_the_budget(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, budget=16, finalists=2, final_seeds=3))
    assert trainings(run) == 10


@pytest.mark.parametrize("variant", ["plain", "rich"])
def test_a_larger_budget_goes_on_as_if_it_had_been_so_large_from_the_start(variant: str, tmp_path: Path) -> None:
    """Where the smaller one ended with a whole generation, as those that are asked next are then asked anew."""
    small = {"plain": 7, "rich": 5}[variant]
    whole = evolve(tmp_path / "whole", birth(0, variant, budget=3 * small))
    cut = evolve(tmp_path / "cut", birth(0, variant, budget=small))
    done = len(cut.state.generations)
    if variant == "plain":
        assert cut.state.generations == whole.state.generations[:done]
    else:
        # 45 epochs are 26 of generation 1 and a part of generation 2, which is dropped to go on.
        done = 1
        assert cut.state.generations[:done] == whole.state.generations[:done]
    state = load_state(cut.folder / f"checkpoints/generation_{done}/ga_state.json")[1]
    longer = replace(state, search=replace(state.search, budget=3 * small))
    again = evolve(tmp_path / "again", longer)
    assert again.state.generations == whole.state.generations
    assert again.state.population == whole.state.population
    assert set(again.state.results) == set(whole.state.results)


def test_a_smaller_budget_ends_a_run_at_once(tmp_path: Path) -> None:
    run = evolve(tmp_path / "run", birth(0, budget=12))
    state = load_state(tmp_path / "run/checkpoints/generation_2/ga_state.json")[1]
    assert len(state.results) == 7
    again = evolve(tmp_path / "again", replace(state, search=replace(state.search, budget=8)))
    assert trainings(again) == 8
    assert trainings(run) == 12
