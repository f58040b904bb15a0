"""Checks the files of a run before it goes on: damaged ones are set aside, and written again where needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from records import InputError, TrainingResult
from records.texts import JobKey
from storage.adoption import adopt
from storage.checkpoint import read_progress, read_state
from storage.directory import RunDirectory
from storage.files import DamagedFile, file_sha256
from storage.results import find_result, read_ablation, read_info, read_pruned, seal_result

Warn = Callable[[str], None]


def audit(run: RunDirectory, results: Mapping[JobKey, TrainingResult], warn: Warn) -> None:
    """Sets every damaged file of a run aside as `*.damaged`, with one warning each.

    Before that, files of the run that no list names yet are listed. `results` are those of the sound
    state that the run goes on from; sealed results that are damaged or missing are written again
    from them. Weights are compared with the seal of their job.
    """
    adopt(run)
    for number, path in run.states():
        _check(run, path, read_state, warn)
        if path.is_file() and run.progress(number).is_file():
            _check_progress(run, number, warn)
    for path in run.job_files():
        _check(run, path, lambda path: find_result(run, JobKey(path.stem)), warn)
    for key, result in results.items():
        if not run.job(key).exists():
            seal_result(run, result)
    for path in [*sorted(run.results.glob("gen*/ind*/info.json")), run.best_info]:
        if path.is_file():
            _check(run, path, read_info, warn)
    if run.pruned.is_file():
        _check(run, run.pruned, lambda path: read_pruned(run), warn)
    if run.ablation.is_file():
        _check(run, run.ablation, lambda path: read_ablation(run), warn)
    for path in run.job_files():
        sound = find_result(run, JobKey(path.stem))
        if sound is not None and sound.weights is not None:
            _check_weights(run, run.root / sound.weights, sound.weights_sha256, warn)


def _check(run: RunDirectory, path: Path, read: Callable[[Path], object], warn: Warn) -> None:
    try:
        read(path)
    except (DamagedFile, InputError) as damage:
        warn(f"warning: {damage}; set aside as {run.set_aside(path).name}")


def _check_progress(run: RunDirectory, number: int, warn: Warn) -> None:
    state = read_state(run.state(number))
    _check(run, run.progress(number), lambda path: read_progress(run, state), warn)


def _check_weights(run: RunDirectory, path: Path, sha256: str | None, warn: Warn) -> None:
    if path.is_file() and file_sha256(path) != sha256:
        aside = run.set_aside(path).name
        warn(f"warning: {path}: damaged: its content is not what the training wrote; set aside as {aside}")
