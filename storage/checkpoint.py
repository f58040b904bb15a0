"""The checkpoint of a run: saved after each generation, found again, and checked before it is used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from records import Individual, InputError, RunState
from records.canonical import from_json, to_json
from records.runs import Progress
from search_space.encoding import check_chromosome
from search_space.tables import encoding_of
from storage.directory import RunDirectory
from storage.files import DamagedFile, read_sealed, sealed
from storage.results import PROGRESS, STATE

LEVELS = 3  # of folders in which a run is looked for that is not named


def save_state(run: RunDirectory, state: RunState) -> Path:
    """Writes the checkpoint of the state's generation, and returns its path."""
    path = run.state(state.generation)
    run.write(path, sealed(STATE, to_json(state)))
    return path


def read_state(path: Path) -> RunState:
    """A checkpoint. Raises DamagedFile for one that is not sound, OSError for one that cannot be read."""
    try:
        state = from_json(RunState, read_sealed(path, STATE))
        _check_consistency(state)
    except ValueError as error:
        raise DamagedFile(f"{path}: not a state of this version ({error})") from error
    return state


def _check_consistency(state: RunState) -> None:
    """Raises ValueError where parts that are valid by themselves do not fit together."""
    encoding = encoding_of(state.facts, state.gene_table)
    is_steady = state.search.scheme == "steady_state"
    generations = [generation.individuals for generation in state.generations]
    for number, individuals in enumerate(generations if is_steady else [*generations, state.population], start=1):
        most = state.search.population
        # A run may end within a generation by its budget or, in a steady state, with the last network of the space.
        is_full = len(individuals) == most or (len(individuals) < most and (state.search.budget or is_steady))
        places = [(number, index) for index in range(1, len(individuals) + 1)]
        if not is_full or [(each.generation, each.index) for each in individuals] != places:
            raise ValueError(f"generation {number} does not hold the individuals 1 to {most}, each once and in order")
    evaluated = [individual for individuals in generations for individual in individuals]
    for individual in (*evaluated, *state.population):
        check_chromosome(individual.chromosome, encoding.length)
    if [generation.number for generation in state.generations] != list(range(1, state.generation + 1)):
        raise ValueError("the generations are not numbered from 1 on")
    if any(key != result.key for key, result in state.results.items()):
        raise ValueError("a result stands under the key of another job")
    if is_steady:
        _check_places(state.population, state)
        evaluated += [individual for individual in state.population if individual.jobs or individual.fitness]
    if sorted(state.order) != (sorted(individual.name for individual in evaluated) if is_steady else []):
        raise ValueError("the order of results is not that of the individuals that have ended")
    for individual in evaluated:
        results = [state.results.get(key) for key in individual.jobs]
        fitness = None if not results or results[-1] is None else results[-1].fitness
        if fitness is not None and individual.fitness is not None:
            fitness = fitness.with_limits(state.search.limits, individual.fitness.latency)
        if not results or None in results or fitness != individual.fitness:
            raise ValueError(f"the fitness of {individual.name} is not that of its trainings")
    training = state.training
    names = ("precision", "flip", "cuda_graph", "crop_padding", "micro_batch")
    if any(getattr(training, name) in ("auto", None) for name in names):
        raise ValueError("the training protocol is not resolved")


def _check_places(bred: Sequence[Individual], state: RunState) -> None:
    """Raises ValueError unless individuals are numbered as a steady state breeds them after its generations."""
    most = state.search.population
    expected = [(state.generation + 1 + n // most, 1 + n % most) for n in range(len(bred))]
    if [(individual.generation, individual.index) for individual in bred] != expected:
        raise ValueError("the individuals that were bred after the last generation are not numbered from its end on")


def save_progress(run: RunDirectory, generation: int, progress: Progress) -> None:
    """Writes what a steady state did since the checkpoint of a generation."""
    run.write(run.progress(generation), sealed(PROGRESS, to_json(progress)))


def read_progress(run: RunDirectory, state: RunState) -> Progress:
    """What a steady state did since a checkpoint.

    Raises DamagedFile for a file that is not sound, or of another state.
    """
    path, encoding = run.progress(state.generation), encoding_of(state.facts, state.gene_table)
    if not path.exists():
        return Progress(bred=(), taken=())
    try:
        progress = from_json(Progress, read_sealed(path, PROGRESS))
        everyone = {each.name: each.chromosome for each in (*state.population, *progress.bred)}
        _check_places((*state.population, *progress.bred), state)
        for individual in progress.bred:
            check_chromosome(individual.chromosome, encoding.length)
        for individual in progress.taken:
            if everyone.get(individual.name) != individual.chromosome or len(individual.jobs) != 1:
                raise ValueError(f"{individual.name} was not bred here, or has not ended")
        names = [*state.order, *(individual.name for individual in progress.taken)]
        if len(set(names)) < len(names):
            raise ValueError("a result was taken twice")
    except ValueError as error:
        raise DamagedFile(f"{path}: not the progress of this run ({error})") from error
    return progress


def run_of(path: Path) -> RunDirectory:
    """The run that a path belongs to: the path of its folder, or of one of its state files."""
    if path.is_dir():
        return RunDirectory(path)
    root = path.parent
    is_inside = root.name.startswith("generation_") and root.parent.name == "checkpoints"
    return RunDirectory(root.parent.parent if is_inside else root)


def load_state(path: Path) -> tuple[RunDirectory, RunState]:
    """The run and state to go on from: those of a state file, or the newest sound state of a folder.

    Raises an `InputError` that says what to do if there is none.
    """
    run = run_of(path)
    if path.is_dir():
        return _newest_sound(run)
    if not path.is_file():
        raise InputError(
            f"no state file or folder {path}; name a run's folder or its checkpoints/generation_N/ga_state.json"
        )
    try:
        return run, read_state(path)
    except DamagedFile as error:
        raise InputError(f"{error}; name the run's folder {run.root} to go on from its newest sound state") from error


def newest_run(folder: Path = Path()) -> Path:
    """The run with the newest state, in a folder or at most three levels below it. Raises `InputError` if none is."""
    found: dict[Path, float] = {}
    for place, names, _ in os.walk(folder):
        if "checkpoints" in names and (states := RunDirectory(Path(place)).states()):
            found[Path(place)] = states[0][1].stat().st_mtime
        if len(Path(place).relative_to(folder).parts) == LEVELS:
            names.clear()
        names[:] = [name for name in names if not name.startswith(".")]
    if not found:
        raise InputError(
            f"--resume: there is no run in {folder.resolve()}, nor in its folders down to the third level; name one"
        )
    return max(found, key=lambda run: found[run])


def _newest_sound(run: RunDirectory) -> tuple[RunDirectory, RunState]:
    states = run.states()
    if not states:
        raise InputError(f"{run.root} holds no run (no checkpoints/generation_N/ga_state.json)")
    damage = ""
    for _, path in states:
        try:
            return run, read_state(path)
        except DamagedFile as error:
            damage = damage or str(error)
    raise InputError(f"no state of {run.root} is sound ({damage}); start anew with --overwrite")


def refuse_changes(state: RunState, given: Mapping[str, Any]) -> None:
    """Raises `InputError` for a setting that a resumed run must keep, but that was given another value."""
    for record in (state.search, state.training, state.data):
        for item in fields(record):
            kept = getattr(record, item.name)
            wanted = given.get(item.name, kept)
            if not item.metadata["resume"] and wanted not in (kept, "auto"):
                raise InputError(
                    f"--{item.name} is {kept} in this run and cannot become {wanted}: it would change results; "
                    "start a new run with another --output_dir, or leave the flag out"
                )
