"""A run without generations to wait for, whose trainings end in any order: kept, stopped, gone on with."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tests.faults.small_run as small_run
from job_queue import JobQueue
from records import InputError, Limits, RunFault, RunState, TrainingJob, TrainingResult
from records.costs import Cost
from records.errors import FAILURES
from records.runs import Progress
from run import steady_loop, work
from run.steady_loop import AHEAD
from run.trainings import Means
from storage.checkpoint import load_state, read_progress, save_progress, save_state
from storage.directory import RunDirectory
from tests.faults.small_run import (
    NoSignals,
    OrderedWorkers,
    Told,
    birth,
    evolved,
    fingerprint,
    go_on,
)
from worker_manager import Observer, end_failed

DEVICES = 3
LIMITS = Limits(min_free_disk=0.0)


class Killed(BaseException):
    """What the death of a process looks like to its files: nothing is done any more."""


def any_order(seed: int) -> Callable[[Sequence[str]], str]:
    return random.Random(seed).choice


def in_order(names: Sequence[str]) -> Callable[[Sequence[str]], str]:
    """Ends trainings in this order; whatever else runs last is for the best network's weights."""
    left = iter(names)
    return lambda running: next(left, running[0])


def steady(seed: int = 0, **settings: Any) -> RunState:
    return birth(seed, "steady", **settings)


def evolve(
    folder: Path,
    choose: Callable[[Sequence[str]], str],
    state: RunState | None = None,
    count: int = DEVICES,
    **others: Any,
) -> tuple[RunState, list[TrainingJob]]:
    """A run to its end, begun or gone on with; and what was trained in this session."""
    run = RunDirectory(folder)
    workers = OrderedWorkers(run, choose, count)
    if state is None and not run.states():
        state = steady()
    return go_on(run, workers, NoSignals(), state=state, limits=LIMITS, **others), workers.started


def die(monkeypatch: pytest.MonkeyPatch, function: str, at: int, after: bool = False) -> None:
    """Has the process die at a call of a function that saves, before or after it is done."""
    module = work if function == "save_state" else steady_loop
    original, calls = getattr(module, function), iter(range(1, 10**6))

    def killed(*arguments: Any) -> Any:
        number = next(calls)
        if number >= at and not after:
            raise Killed
        outcome = original(*arguments)
        if number >= at:
            raise Killed
        return outcome

    monkeypatch.setattr(module, function, killed)


def recorded(folder: Path) -> list[str]:
    """The order of results as it stands on disk."""
    run, state = load_state(folder)
    return [*state.order, *(each.name for each in read_progress(run, state).taken)]


def finished(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("results/jobs/*.json")}


# The order


def test_the_order_in_which_trainings_ended_is_in_the_state(tmp_path: Path) -> None:
    ended: list[str] = []

    def choose(running: Sequence[str]) -> str:
        ended.append(random.Random(len(ended)).choice(running))
        return ended[-1]

    state, started = evolve(tmp_path, choose)
    assert list(state.order) == ended[:12]
    assert sorted(ended[:12]) != ended[:12]
    assert len(started) == len({job.key for job in started}) == 12


@pytest.mark.parametrize("seed", range(4))
def test_runs_that_took_the_same_order_are_the_same(tmp_path: Path, seed: int) -> None:
    first, _ = evolve(tmp_path / "first", any_order(seed))
    evolve(tmp_path / "second", in_order(first.order))
    assert fingerprint(tmp_path / "first") == fingerprint(tmp_path / "second")


def test_no_device_waits_for_a_generation(tmp_path: Path) -> None:
    """While the slowest network trains, the others go on to the end of the run."""
    seen: list[int] = []

    def choose(running: Sequence[str]) -> str:
        seen.append(len(running))
        return running[-1]

    evolve(tmp_path, choose)
    assert seen[: 12 - DEVICES + 1] == [DEVICES] * (12 - DEVICES + 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("function", "after"), [("save_progress", False), ("save_progress", True), ("save_state", False)]
)
def test_a_run_that_was_killed_replays_the_recorded_order_and_trains_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, function: str, after: bool
) -> None:
    folder = tmp_path / "killed"
    at = random.Random(seed).randint(1, 3 if function == "save_state" else 11)
    with pytest.MonkeyPatch.context() as patch:
        die(patch, function, at, after)
        with pytest.raises(Killed):
            evolve(folder, any_order(seed))
    before, done = recorded(folder), finished(folder)
    state, started = evolve(folder, any_order(seed + 1))
    assert list(state.order[: len(before)]) == before
    assert not done & {job.key for job in started}
    evolve(tmp_path / "undisturbed", in_order(state.order))
    assert fingerprint(folder) == fingerprint(tmp_path / "undisturbed")


def test_a_result_that_was_sealed_but_not_recorded_is_taken_before_others_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        die(patch, "save_progress", 3)
        with pytest.raises(Killed):
            evolve(tmp_path, lambda running: running[-1])
    before, sealed = recorded(tmp_path), finished(tmp_path)
    state, _ = evolve(tmp_path, lambda running: running[0])
    (name,) = {
        each.name
        for generation in state.generations
        for each in generation.individuals
        if each.jobs[0] in sealed and each.name not in before
    }
    assert state.order[len(before)] == name


def test_the_progress_holds_what_came_since_the_last_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = save_progress

    def measured(run: RunDirectory, generation: int, progress: Progress) -> None:
        sizes.append(len(progress.taken))
        original(run, generation, progress)

    monkeypatch.setattr(steady_loop, "save_progress", measured)
    evolve(tmp_path, in_order([]), steady(generations=8))
    assert len(sizes) >= 8 * 4
    assert max(sizes) <= 4 + DEVICES + AHEAD


def test_on_other_devices_a_run_goes_on_from_what_was_bred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        die(patch, "save_progress", 6, after=True)
        with pytest.raises(Killed):
            evolve(tmp_path, any_order(5), count=5)
    before = recorded(tmp_path)
    run, state = load_state(tmp_path)
    bred = [(each.name, each.chromosome) for each in read_progress(run, state).bred]
    state, _ = evolve(tmp_path, any_order(6), count=1)
    assert list(state.order[: len(before)]) == before
    found = {each.name: each.chromosome for one in state.generations for each in one.individuals}
    assert bred
    assert dict(bred).items() <= found.items()


def test_a_state_file_alone_goes_on_elsewhere_in_the_recorded_order(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        die(patch, "save_state", 2)
        with pytest.raises(Killed):
            evolve(tmp_path / "here", any_order(1))
    _, state = load_state(tmp_path / "here")
    moved, started = evolve(tmp_path / "there", any_order(2), state)
    assert moved.order[: len(state.order)] == state.order
    assert not set(state.results) & {job.key for job in started[:-1]}


def test_a_finished_run_trains_nothing_when_it_is_resumed(tmp_path: Path) -> None:
    evolve(tmp_path, any_order(0))
    before = fingerprint(tmp_path)
    _, started = evolve(tmp_path, any_order(1))
    assert started == []
    assert fingerprint(tmp_path) == before


def test_results_that_are_missing_are_trained_again_before_the_order_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "killed"
    with pytest.MonkeyPatch.context() as patch:
        die(patch, "save_progress", 8)
        with pytest.raises(Killed):
            evolve(folder, any_order(3))
    before = recorded(folder)
    run, old = load_state(folder)
    lost = read_progress(run, old).taken[0].jobs[0]
    run.job(lost).unlink()
    state, started = evolve(folder, any_order(4))
    assert [job.key for job in started].count(lost) == 1
    assert list(state.order[: len(before)]) == before
    evolve(tmp_path / "undisturbed", in_order(state.order))
    assert fingerprint(folder) == fingerprint(tmp_path / "undisturbed")


def test_progress_of_another_run_is_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        with pytest.MonkeyPatch.context() as patch:
            die(patch, "save_progress", 3)
            with pytest.raises(Killed):
                evolve(tmp_path / str(seed), any_order(0), steady(seed))
    mine, other = (RunDirectory(tmp_path / str(seed)) for seed in (0, 1))
    mine.progress(0).write_bytes(other.progress(0).read_bytes())
    warnings: list[str] = []
    state, _ = evolve(tmp_path / "0", any_order(1), warn=warnings.append)
    assert len(warnings) == 1
    assert "progress.json: not the progress of this run" in warnings[0]
    assert len(state.order) == 12


# Failures, budgets, what else a run may ask for


def failing(monkeypatch: pytest.MonkeyPatch, is_bad: Callable[[TrainingResult], bool]) -> None:
    original = small_run.train

    def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
        result = original(root, task)
        return TrainingResult(key=result.key, status="diverged", reason="planted") if is_bad(result) else result

    monkeypatch.setattr(small_run, "train", train)


def test_failures_cost_their_individuals_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, lambda result: result.key[0] in "01234")
    state, _ = evolve(tmp_path, any_order(0))
    everyone = {each.name: each for one in state.generations for each in one.individuals}
    bad = {name for name, each in everyone.items() if each.failure == "diverged: planted"}
    assert 0 < len(bad) < 12
    assert not {parent for each in everyone.values() for parent in each.parents} & bad


class Shaky(small_run.InlineWorkers):
    """One worker, on which any attempt but the last of a job may fail, in any way."""

    def __init__(self, run: RunDirectory, seed: int) -> None:
        super().__init__(run)
        self.rng, self.failed = random.Random(seed), list[str]()

    def run(self, jobs: JobQueue, observer: Observer, stop: int | None = None) -> None:
        while (attempt := jobs.start()) is not None:
            if attempt.number <= jobs.max_retries and self.rng.random() < 0.5:
                self.failed.append(self.rng.choice(FAILURES))
                end_failed("inline", attempt, jobs, observer, self.failed[-1], "by chance", Cost())
            else:
                observer.job_ended("inline", attempt, jobs.finish(self.result_of(attempt)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("variant", small_run.VARIANTS)
def test_on_one_worker_retries_of_any_kind_change_no_order_and_no_chromosome(
    tmp_path: Path, variant: str, seed: int
) -> None:
    def bred(state: RunState) -> list[tuple[str, str, tuple[str, ...]]]:
        found = [each for generation in state.generations for each in generation.individuals]
        return [(each.name, each.chromosome, each.jobs) for each in found]

    plain = small_run.inline(tmp_path / "plain", seed, variant)
    shaky = Shaky(RunDirectory(tmp_path / "shaky"), seed)
    ended = go_on(shaky.directory, shaky, NoSignals(), seed=seed, variant=variant)
    assert len(set(shaky.failed)) > 2
    assert (bred(ended), ended.order) == (bred(plain), plain.order)
    if "out_of_memory" not in shaky.failed:  # which makes the pieces of a batch smaller, and results tell
        assert fingerprint(tmp_path / "shaky") == fingerprint(tmp_path / "plain")


def test_where_all_fail_the_run_stops_and_tries_them_again(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, lambda result: True)
        with pytest.raises(RunFault, match="the last 4 trainings failed, 4 of them as diverged: planted; they are"):
            evolve(tmp_path, any_order(0))
    assert recorded(tmp_path) == []
    state, started = evolve(tmp_path, any_order(0))
    assert len(started) == 12
    assert all(result.status == "done" for result in state.results.values())


def test_failures_in_a_row_after_a_generation_are_tried_again(tmp_path: Path) -> None:
    results = iter(range(100))
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, lambda result: next(results) >= 4)
        with pytest.raises(RunFault, match="the last 4 trainings failed"):
            evolve(tmp_path, in_order([]))
    assert recorded(tmp_path) == [f"gen1/ind{n}" for n in (1, 2, 3, 4)]
    state, _ = evolve(tmp_path, in_order([]))
    assert all(result.status == "done" for result in state.results.values())


def test_a_budget_is_the_number_of_trainings_and_can_be_raised(tmp_path: Path) -> None:
    state, started = evolve(tmp_path, any_order(0), steady(budget=6, epochs=2))
    assert len(started) == len(state.order) == 6
    assert [len(one.individuals) for one in state.generations] == [4, 2]
    more = replace(load_state(tmp_path)[1], search=replace(state.search, budget=9))
    state, started = evolve(tmp_path, any_order(1), more)
    assert [len(one.individuals) for one in state.generations] == [4, 2, 3]
    assert len(state.order) == 9


def test_a_run_cannot_end_before_what_it_has_begun(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        die(patch, "save_progress", 4, after=True)
        with pytest.raises(Killed):
            evolve(tmp_path, lambda running: running[-1])
    _, state = load_state(tmp_path)
    assert state.generation == 0
    with pytest.raises(InputError, match="--generations is 1, but 2 have begun; give 2 or more"):
        evolve(tmp_path, any_order(0), replace(state, search=replace(state.search, generations=1)))
    shorter, _ = evolve(tmp_path, any_order(0), replace(state, search=replace(state.search, generations=2)))
    assert [len(one.individuals) for one in shorter.generations] == [4, 4]


def test_what_an_earlier_run_has_trained_is_not_trained_again(tmp_path: Path) -> None:
    evolve(tmp_path / "monday", any_order(0))
    state, started = evolve(tmp_path / "tuesday", any_order(0), steady(), reused=[RunDirectory(tmp_path / "monday")])
    reused = [result for result in state.results.values() if result.cost.reused]
    assert len(reused) >= 4
    assert not {result.key for result in reused} & {job.key for job in started}
    assert len(state.order) == 12


def test_the_predictor_and_several_objectives_take_part(tmp_path: Path) -> None:
    asked = steady(surrogate="auto", objectives=("accuracy", "parameters"), generations=6)
    state, _ = evolve(tmp_path / "first", any_order(2), asked)
    assert any(each.forecast is not None for one in state.generations for each in one.individuals)
    evolve(tmp_path / "second", in_order(state.order), asked)
    assert fingerprint(tmp_path / "first") == fingerprint(tmp_path / "second")


def test_weights_that_are_not_kept_go_when_their_generation_is_complete(tmp_path: Path) -> None:
    run, state = RunDirectory(tmp_path), steady()
    save_state(run, state)
    workers, limits = OrderedWorkers(run, any_order(0), DEVICES), Limits(min_free_disk=0.0, keep_models="1")
    ended = evolved(run, state, Means(workers=workers, stop=NoSignals(), limits=limits), Told(print))
    assert ended.engine.best is not None
    kept = {min(one.individuals, key=lambda each: each.rank).name for one in ended.state.generations}
    assert {str(path.parent.relative_to(run.results)) for path in run.results.glob("gen*/ind*/*.pt")} == kept


def test_what_is_said_names_generations_without_a_share_of_busy_devices(tmp_path: Path) -> None:
    lines: list[str] = []
    evolve(tmp_path, any_order(0), say=lines.append)
    assert "generation 1/3: 4 to train" in lines[0]
    ended = [line for line in lines if " in " in line and "best" in line]
    assert [line.split(" in ")[0] for line in ended] == [f"generation {n}/3" for n in (1, 2, 3)]
    assert not any("busy" in line for line in ended)
