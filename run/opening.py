"""The door of a run: which folder a request means, which state it goes on from, and what is refused.

Nothing here needs torch or writes a file, so a refusal is instant.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from image_data.catalogue import NAMED_SETS, with_whole_path
from records import DataConfig, EvolutionConfig, InputError, RunState, TrainingConfig
from records.errors import SaveError
from records.words import counted
from run.algorithms import check_algorithm
from run.request import SETTINGS, Request
from search.early_stopping import rungs_of
from search_space.tables import gene_table, gene_table_text, refuse_coded
from storage.adoption import foreign_files
from storage.checkpoint import load_state, refuse_changes, run_of
from storage.directory import RunDirectory


def folder_of(request: Request) -> RunDirectory:
    """The folder that a request is about, whatever it holds."""
    if request.resume is not None and request.output_dir is None:
        return run_of(request.resume)
    return RunDirectory(request.output_dir or Path())


def open_folder(request: Request) -> tuple[RunDirectory, RunState | None]:
    """The folder of the run, and the state it goes on from; None for a new run. Raises `InputError`."""
    if request.resume is None:
        run, state = _open_new(request), None
    else:
        run, state = _open_resumed(request, request.resume)
    check_algorithm(state.search if state else request.new(EvolutionConfig))
    return run, state


def _open_new(request: Request) -> RunDirectory:
    run = folder_of(request)
    if run.states() and not request.overwrite:
        newest = run.states()[0][1]
        raise InputError(
            f"{run.root.resolve()} holds another run; go on with it by --resume {shlex.quote(str(newest))}, "
            f"choose another folder by --output_dir {free_folder(request)}, or remove it by --overwrite"
        )
    for record in SETTINGS:
        request.new(record)  # raises for values without meaning, before anything is touched
    refuse_coded(gene_table(request.new(EvolutionConfig).encoding), request.named(TrainingConfig))
    _refuse_foreign(
        run, f"choose another folder by --output_dir {free_folder(request)}, or move what is yours elsewhere"
    )
    if (found := run.places()) and not request.overwrite:
        raise InputError(
            f"{run.root.resolve()} holds {_some(found)} of a run that cannot be resumed; choose another folder by "
            f"--output_dir {free_folder(request)}, or remove what that run wrote by --overwrite"
        )
    return run


def free_folder(request: Request) -> str:
    """A folder that is not there yet and is named for the data set, as a person may copy it."""
    name = re.sub(r"[^\w.-]+", "-", Path(request.new(DataConfig).dataset).stem).strip("-.") or "run"
    folders = (Path("runs", f"{name}-{number}") for number in itertools.count(2))
    return next(shlex.quote(str(folder)) for folder in folders if not os.path.lexists(folder))


def _refuse_foreign(run: RunDirectory, advice: str) -> None:
    """Raises `InputError` where something of a person's stands in the way of the run's files."""
    try:
        foreign = foreign_files(run)
    except SaveError as error:
        raise InputError(str(error)) from error
    if foreign:
        raise InputError(f"the run would replace {_some(foreign)}, not written by this program; {advice}")


def _some(paths: Sequence[Path]) -> str:
    return str(paths[0]) + ("" if len(paths) == 1 else f" and {counted(len(paths) - 1, 'more file')}")


def _open_resumed(request: Request, resume: Path) -> tuple[RunDirectory, RunState]:
    run, state = load_state(resume)
    newest = max((number for number, _ in run.states()), default=0)
    if request.output_dir is not None and request.output_dir.resolve() != run.root.resolve():
        run = RunDirectory(request.output_dir)
        if run.places():
            raise InputError(f"--output_dir {run.root} holds another run; name an empty folder, or leave the flag out")
    elif resume.is_file() and state.generation < newest and not request.rewind:
        raise InputError(
            f"{resume} is older than the newest state, generation {newest}; resume "
            f"{run.state(newest)}, or add --rewind to drop what came later"
        )
    _refuse_foreign(run, "move what is yours elsewhere, and resume the run then")
    return run, _with_changes(request, state)


def _with_changes(request: Request, state: RunState) -> RunState:
    """The state with the settings that a resumed run may change. Raises `InputError` for the others."""
    refuse_changes(state, request.settings)
    wanted = request.settings.get("dataset", state.data.dataset)
    if wanted != state.data.dataset and {wanted, state.data.dataset} & set(NAMED_SETS):
        raise InputError(f"--dataset is {state.data.dataset} in this run and cannot become {wanted}")
    named = request.settings.get("encoding")
    if named is not None and gene_table_text(gene_table(named)) != state.gene_table:
        raise InputError(
            f"the gene table {named} has changed since this run began; "
            "start a new run with another --output_dir, or leave the flag out"
        )
    search = replace(state.search, **request.named(EvolutionConfig))
    if search.generations < state.generation:
        raise InputError(f"--generations is {search.generations}, but {state.generation} are done already")
    return replace(state, search=search, data=with_whole_path(replace(state.data, **request.named(DataConfig))))


def earlier_runs(folders: Sequence[Path], state: RunState) -> list[RunDirectory]:
    """The runs whose results may be taken over. Raises `InputError` that names what differs, where something does."""
    found = []
    for folder in folders:
        run, other = load_state(folder)
        if other.facts.fingerprint != state.facts.fingerprint:
            raise InputError(
                f"--reuse {folder}: its data is another ({other.data.dataset}, fingerprint "
                f"{other.facts.fingerprint[:12]}; here {state.data.dataset}, {state.facts.fingerprint[:12]})"
            )
        for item in fields(TrainingConfig):
            theirs, ours = getattr(other.training, item.name), getattr(state.training, item.name)
            if item.name == "epochs" and set(rungs_of(other)) & set(rungs_of(state)):
                continue
            if theirs != ours:
                raise InputError(f"--reuse {folder}: its --{item.name} is {theirs}, here it is {ours}")
        found.append(run)
    return found
