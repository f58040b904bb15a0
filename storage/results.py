"""Sealed results of trainings, their weights, and the other sealed files of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from records import Individual, InputError, RunState, TrainingResult
from records.canonical import from_json, shown, to_json
from records.individuals import all_individuals
from records.runs import Ablation, ModelInfo
from records.texts import JobKey, is_job_key
from search.ranking import rank
from storage.directory import RunDirectory
from storage.files import DamagedFile, file_sha256, read_sealed, sealed

STATE, JOB, INFO, PRUNED = "ga_state", "training_result", "model_info", "pruned_weights"
PARETO, ABLATION, PROGRESS = "pareto_front", "ablation", "progress"
KINDS = {STATE, JOB, INFO, PRUNED, PARETO, ABLATION, PROGRESS}


def seal_result(run: RunDirectory, result: TrainingResult) -> None:
    """Writes a finished job's result, durably; its weights must have been written before."""
    run.write(run.job(result.key), sealed(JOB, to_json(result)))


def find_result(run: RunDirectory, key: JobKey) -> TrainingResult | None:
    """The sealed result of a job, if there is one. Raises DamagedFile if it is not sound."""
    path = run.job(key)
    if not path.exists():
        return None
    try:
        result: TrainingResult = from_json(TrainingResult, read_sealed(path, JOB))
    except ValueError as error:
        raise DamagedFile(f"{path}: not a result of this version ({error})") from error
    if result.key != key:
        raise DamagedFile(f"{path}: holds the result of another job, {result.key}")
    return result


def has_trained(run: RunDirectory, key: JobKey) -> bool:
    """Whether a job has succeeded in a run, and its result is sound."""
    try:
        result = find_result(run, key)
    except DamagedFile:
        return False
    return result is not None and result.status == "done"


def sound_weights(run: RunDirectory, result: TrainingResult) -> Path | None:
    """The file of a result's weights, if it exists and matches the seal."""
    path = None if result.weights is None else run.root / result.weights
    return path if path is not None and path.is_file() and file_sha256(path) == result.weights_sha256 else None


def take_over(source: RunDirectory, run: RunDirectory, key: JobKey, weights: Path) -> TrainingResult | None:
    """Copies the result of a job from another run, and its weights to `weights` where they are sound.

    None if the job has not succeeded in that run. Raises DamagedFile if its result is not sound.
    """
    result = find_result(source, key)
    if result is None or result.status != "done":
        return None
    if (origin := sound_weights(source, result)) is not None:
        run.write(weights, origin.read_bytes())
    result = replace(
        result,
        weights=None if origin is None else run.relative(weights),
        weights_sha256=None if origin is None else result.weights_sha256,
        cost=replace(result.cost, reused=str(source.root.resolve())),
    )
    seal_result(run, result)
    return result


def save_pruned(run: RunDirectory, keys: Iterable[JobKey]) -> None:
    """Records that the weights of these jobs are, or are about to be, removed on purpose."""
    run.write(run.pruned, sealed(PRUNED, {"keys": sorted(keys)}))


def read_pruned(run: RunDirectory) -> set[JobKey]:
    """The keys of jobs whose weights were removed on purpose. Raises DamagedFile for a record that is not sound."""
    if not run.pruned.exists():
        return set()
    keys = read_sealed(run.pruned, PRUNED).get("keys")
    if not isinstance(keys, list) or not all(is_job_key(key) for key in keys):
        raise DamagedFile(f"{run.pruned}: expected a list of keys, found {shown(keys)}")
    return {JobKey(key) for key in keys}


def save_ablation(run: RunDirectory, ablation: Ablation) -> None:
    run.write(run.ablation, sealed(ABLATION, to_json(ablation)))


def read_ablation(run: RunDirectory) -> Ablation | None:
    """The ablation of a run, if there was one. Raises DamagedFile for a file that is not sound."""
    if not run.ablation.exists():
        return None
    try:
        found: Ablation = from_json(Ablation, read_sealed(run.ablation, ABLATION))
    except ValueError as error:
        raise DamagedFile(f"{run.ablation}: not an ablation of this version ({error})") from error
    return found


def save_info(run: RunDirectory, info: ModelInfo) -> None:
    """Writes the `info.json` of an individual."""
    run.write(run.individual(info.individual.name) / "info.json", sealed(INFO, to_json(info)))


def place_weights(run: RunDirectory, name: str, result: TrainingResult, is_kept: bool) -> None:
    """Sees to it that an individual's folder holds the weights of its last training, if they are kept.

    Where that training was another individual's, or was stopped early, they lie elsewhere: then
    `best_model.pt` is a link to them. A file that the individual's network did not leave is removed.
    """
    path = run.weights(name)
    origin = run.root / result.weights if is_kept and result.weights is not None else None
    if origin is not None and origin.is_file():
        run.own(path).link(origin, path)
    elif path.is_file() and not (is_kept and file_sha256(path) == result.weights_sha256):
        run.remove(path)


def kept_weights(run: RunDirectory, state: RunState) -> Individual | None:
    """The best individual of a run whose weights are in its folder."""
    ended = [each for each in all_individuals(state.generations) if each.fitness is not None]
    return next((each for each in rank(ended, state.search.objectives) if run.weights(each.name).is_file()), None)


def read_info(path: Path) -> ModelInfo:
    """An `info.json`. Raises `InputError` for a file that is missing or not sound."""
    try:
        info: ModelInfo = from_json(ModelInfo, read_sealed(path, INFO))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (DamagedFile, ValueError) as error:
        raise InputError(
            f"{error if isinstance(error, DamagedFile) else f'{path}: {error}'}; give --chromosome instead"
        ) from error
    return info
