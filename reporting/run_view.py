"""Everything that a report shows of a run, read from its files; missing or damaged files are named, not fatal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from records import Individual, InputError, RunState, TrainingResult
from records.individuals import all_individuals, best_measured
from records.runs import Ablation, ModelInfo
from records.texts import JobKey
from records.words import counted
from reporting.analysis.gene_effects import GeneEffects, gene_effects
from search_space.genes import GeneTable
from search_space.space import NetworkSpace
from storage.checkpoint import read_state
from storage.directory import RunDirectory
from storage.files import DamagedFile
from storage.results import find_result, read_ablation, read_info, read_pruned


@dataclass(frozen=True)
class RunView:
    """A run according to its files. `notes` say what is missing."""

    run: RunDirectory
    state: RunState
    space: NetworkSpace
    individuals: tuple[Individual, ...]
    best: Individual | None  # the one in best_model/, or the best so far
    info: ModelInfo | None  # of best_model/
    results: dict[JobKey, TrainingResult]  # by key, including those that belong to no complete generation
    ablation: Ablation | None
    notes: tuple[str, ...]

    @property
    def table(self) -> GeneTable:
        return self.space.encoding.table

    @property
    def metric_name(self) -> str:
        """What fitness is, in words."""
        return self.state.training.measure

    @cached_property
    def gene_effects(self) -> GeneEffects:
        return gene_effects(self.space, self.individuals)


def read_run_view(run: RunDirectory, state: RunState) -> RunView:
    """The view of a run as of a state, with all that its other files hold."""
    notes: list[str] = []
    individuals = all_individuals(state.generations)
    on_disk = _results_on_disk(run, notes)
    results = {**on_disk, **state.results}
    info = _handed_over(run, individuals, notes)
    best = best_measured(individuals)
    if info is not None:
        best = next((each for each in individuals if each.name == info.individual.name), best)
    _note_progress(run, state, len(results) - len(state.results), notes)
    _note_failures(individuals, [each for key, each in results.items() if key not in state.results], notes)
    _note_missing(run, state, notes)
    return RunView(
        run=run,
        state=state,
        space=NetworkSpace.of(state),
        individuals=tuple(individuals),
        best=best,
        info=info,
        results=results,
        ablation=_ablation(run, best, notes),
        notes=tuple(notes),
    )


def _ablation(run: RunDirectory, best: Individual | None, notes: list[str]) -> Ablation | None:
    """The ablation of the best network, if it can be read."""
    try:
        found = read_ablation(run)
    except DamagedFile as damage:
        notes.append(f"{damage}; the ablation is left out. Resuming the run with --ablation repeats it.")
        return None
    if found is not None and (best is None or found.chromosome != best.chromosome):
        notes.append(f"The ablation on disk is of another network, {found.individual}, and is left out.")
        return None
    return found


def _results_on_disk(run: RunDirectory, notes: list[str]) -> dict[JobKey, TrainingResult]:
    found: dict[JobKey, TrainingResult] = {}
    damaged: list[str] = []
    for path in run.job_files():
        try:
            result = find_result(run, JobKey(path.stem))
        except (DamagedFile, OSError):
            damaged.append(path.name)
            continue
        if result is not None:
            found[result.key] = result
    set_aside = sorted(path.name for path in run.jobs.glob("*.damaged"))
    if damaged:
        notes.append(
            f"{counted(len(damaged), 'result')} on disk cannot be read ({_few(damaged)}); what the checkpoint "
            "holds of them is shown. Resuming the run sets them aside and repeats the trainings that it needs."
        )
    if set_aside:
        notes.append(f"{counted(len(set_aside), 'damaged result')} set aside earlier ({_few(set_aside)}).")
    return found


def _handed_over(run: RunDirectory, individuals: list[Individual], notes: list[str]) -> ModelInfo | None:
    """What `best_model/` holds, if it belongs to this state."""
    if not run.best_info.exists():
        return None
    try:
        info = read_info(run.best_info)
    except InputError as error:
        notes.append(f"{str(error).partition(';')[0]}; the best network is that of the checkpoint, without a test.")
        return None
    known = {each.name: each.chromosome for each in individuals}
    named = [(info.individual.name, info.individual.chromosome)]
    named += [(each.individual, each.chromosome) for each in info.finalists]
    if any(known.get(name) != chromosome for name, chromosome in named):
        notes.append(f"{run.best_info} belongs to another run or to a later generation, and is left out.")
        return None
    if not run.best_model.exists():
        notes.append(f"The weights {run.best_model} are missing. Resuming the run writes them again.")
    return info


def _note_progress(run: RunDirectory, state: RunState, further: int, notes: list[str]) -> None:
    for number, path in run.states():
        if number > state.generation:
            name = run.relative(path)
            try:
                read_state(path)
                notes.append(f"This is the run as of generation {state.generation}; there is a newer {name}.")
            except (DamagedFile, OSError):
                notes.append(f"{name} cannot be read: this is the run as of generation {state.generation}.")
    if not run.best_info.exists():
        of = "" if state.search.budget is not None else f" of {state.search.generations}"
        ended = f" Since then {counted(further, 'further training')} ended." if further else ""
        notes.append(
            f"The run is under way or was stopped: generation {state.generation}{of} is complete, and no best network "
            f"has been tested and written to best_model/ yet.{ended}"
        )


def _note_failures(individuals: list[Individual], others: list[TrainingResult], notes: list[str]) -> None:
    """Adds a note on failed trainings; `others` are results that belong to no complete generation."""
    reasons = Counter(each.failure for each in individuals if each.failure is not None)
    if reasons:
        failed = sum(reasons.values())
        who = "All individuals" if failed == len(individuals) else counted(failed, "individual")
        notes.append(f"{who} failed to train: {_most_common(reasons)}.")
    later = Counter(f"{each.status}: {each.reason}" for each in others if each.status != "done")
    if later:
        notes.append(f"Of the trainings since then, {sum(later.values())} failed: {_most_common(later)}.")


def _most_common(reasons: Counter[str]) -> str:
    return "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))


def _note_missing(run: RunDirectory, state: RunState, notes: list[str]) -> None:
    gone = sum(not run.job(key).exists() for key in state.results)
    if gone:
        notes.append(
            f"{counted(gone, 'result')} missing from results/jobs/; what the checkpoint holds of them is shown."
        )
    try:
        pruned = read_pruned(run)
    except (DamagedFile, OSError) as damage:
        notes.append(f"{damage}; which weights were removed on purpose is unknown.")
        return
    missing = [
        result.weights
        for result in state.results.values()
        if result.weights is not None and result.key not in pruned and not Path(run.root / result.weights).exists()
    ]
    if missing:
        reason = "not removed by --keep_models" if run.pruned.exists() else "removed by --keep_models or otherwise"
        notes.append(f"{counted(len(missing), 'weights file')} missing, {reason} ({_few(missing)}).")


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
