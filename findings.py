"""All that a report needs to know of a run, read from its files; what is missing or damaged is named, not fatal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from chromosome import GeneTable
from network_space import NetworkSpace
from records import Ablation, Individual, InputError, ModelInfo, RunState, TrainingResult
from run_analysis import evaluated
from run_directory import DamagedFile, RunDirectory
from run_state import find_result, read_ablation, read_info, read_pruned


@dataclass(frozen=True, slots=True)
class Findings:
    """A run as its files tell of it. `notes` say in words what is missing."""

    run: RunDirectory
    state: RunState
    space: NetworkSpace
    individuals: tuple[Individual, ...]
    best: Individual | None  # the one handed over, or the best so far
    info: ModelInfo | None  # what was handed over
    results: dict[str, TrainingResult]  # by key, also those that no generation holds (yet)
    ablation: Ablation | None
    notes: tuple[str, ...]

    @property
    def table(self) -> GeneTable:
        return self.space.encoding.table

    @property
    def is_over(self) -> bool:
        return self.info is not None and self.info.test is not None


def read_findings(run: RunDirectory, state: RunState) -> Findings:
    """What the files of a run say, beside the state that was found."""
    notes: list[str] = []
    individuals = evaluated(state.generations)
    results = {**_results_on_disk(run, notes), **state.results}
    info = _handed_over(run, individuals, notes)
    best = min((each for each in individuals if each.fitness is not None), key=lambda each: each.rank, default=None)
    if info is not None:
        best = next((each for each in individuals if each.name == info.individual.name), best)
    _say_how_far(run, state, info, len(results) - len(state.results), notes)
    _say_failures(individuals, notes)
    _say_missing_weights(run, state, notes)
    ablation = None
    try:
        ablation = read_ablation(run)
    except DamagedFile as damage:
        notes.append(f"{damage}; the ablation is left out. Resume the run with --ablation to make it again.")
    return Findings(
        run=run,
        state=state,
        space=NetworkSpace.of(state),
        individuals=tuple(individuals),
        best=best,
        info=info,
        results=results,
        ablation=ablation if ablation and best and ablation.chromosome == best.chromosome else None,
        notes=tuple(notes),
    )


def _results_on_disk(run: RunDirectory, notes: list[str]) -> dict[str, TrainingResult]:
    found: dict[str, TrainingResult] = {}
    damaged: list[str] = []
    for path in sorted(run.jobs.glob("*.json")):
        try:
            result = find_result(run, path.stem)
        except (DamagedFile, OSError):
            damaged.append(path.name)
            continue
        if result is not None:
            found[result.key] = result
    set_aside = sorted(path.name for path in run.jobs.glob("*.damaged"))
    if damaged:
        notes.append(
            f"{_count(len(damaged), 'result')} on disk cannot be read ({_few(damaged)}); what the checkpoint "
            "holds of them is shown. Resuming the run sets them aside and trains what is needed again."
        )
    if set_aside:
        notes.append(f"{_count(len(set_aside), 'damaged result')} set aside earlier ({_few(set_aside)}).")
    return found


def _handed_over(run: RunDirectory, individuals: list[Individual], notes: list[str]) -> ModelInfo | None:
    """What `best_model/` holds, if it is of an individual that the state knows."""
    if not run.best_info.exists():
        return None
    try:
        info = read_info(run.best_info)
    except InputError as error:
        notes.append(
            f"{str(error).partition(';')[0]}; the best network is taken from the checkpoint, without its test."
        )
        return None
    names = {each.name: each.chromosome for each in individuals}
    if names.get(info.individual.name) != info.individual.chromosome:
        notes.append(f"{run.best_info} is of another run or of a later generation, and is left out.")
        return None
    if not run.best_model.exists():
        notes.append(f"The weights {run.best_model} are missing. Resuming the run writes them again.")
    return info


def _say_how_far(run: RunDirectory, state: RunState, info: ModelInfo | None, further: int, notes: list[str]) -> None:
    newer = [path for number, path in run.states() if number > state.generation]
    if newer:
        notes.append(
            f"{_count(len(newer), 'newer checkpoint')} left aside ({_few([run.relative(path) for path in newer])}): "
            f"this is the run as of generation {state.generation}."
        )
    if info is None:
        of = "" if state.search.budget is not None else f" of {state.search.generations}"
        ended = f" Since then {_count(further, 'further training')} ended." if further else ""
        notes.append(
            f"The run is under way or was stopped: generation {state.generation}{of} is complete, and no best network "
            f"has been tested and handed over yet.{ended}"
        )


def _say_failures(individuals: list[Individual], notes: list[str]) -> None:
    reasons = Counter(each.failure for each in individuals if each.failure is not None)
    if reasons:
        commonest = "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))
        failed = sum(reasons.values())
        who = "All individuals" if failed == len(individuals) else _count(failed, "individual")
        notes.append(f"{who} failed to train: {commonest}.")


def _say_missing_weights(run: RunDirectory, state: RunState, notes: list[str]) -> None:
    try:
        pruned = read_pruned(run)
    except (DamagedFile, OSError) as damage:
        notes.append(f"{damage}; which weights were removed on purpose is not known.")
        return
    missing = [
        result.weights
        for result in state.results.values()
        if result.weights is not None and result.key not in pruned and not Path(run.root / result.weights).exists()
    ]
    if missing:
        notes.append(f"{_count(len(missing), 'weights file')} missing, not removed by --keep_models ({_few(missing)}).")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
