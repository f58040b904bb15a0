"""The checkpoint of a run: saved after each generation, found again, and checked before it is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from chromosome import check_chromosome
from gene_tables import encoding_of
from objectives import rank
from records import Ablation, Individual, InputError, ModelInfo, Progress, RunState, TrainingResult, from_json
from run_directory import DamagedFile, RunDirectory, file_sha256, link_file, read_sealed, sealed, write_durably

STATE, JOB, INFO, PRUNED = "ga_state", "training_result", "model_info", "pruned_weights"
PARETO, ABLATION, PROGRESS = "pareto_front", "ablation", "progress"


def save_state(run: RunDirectory, state: RunState) -> Path:
    """Writes the checkpoint of the state's generation, and returns its path."""
    path = run.state(state.generation)
    write_durably(path, sealed(STATE, asdict(state)))
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
    """Raises ValueError for parts that are sound by themselves but do not fit together."""
    encoding = encoding_of(state.facts, state.gene_table)
    is_steady = state.search.scheme == "steady_state"
    generations = [generation.individuals for generation in state.generations]
    for number, individuals in enumerate(generations if is_steady else [*generations, state.population], start=1):
        found = [(individual.generation, individual.index) for individual in individuals]
        expected = [(number, index) for index in range(1, state.search.population + 1)]
        # A budget may end in the middle of a generation; in a steady state the last network of the space, too.
        if found != (expected if state.search.budget is None and not is_steady else expected[: len(found)]):
            raise ValueError(f"generation {number} should hold the individuals {expected}, but holds {found}")
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
            fitness = fitness.within(state.search.limits, individual.fitness.latency)
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
    if (found := [(individual.generation, individual.index) for individual in bred]) != expected:
        raise ValueError(f"the individuals {expected} should have been bred, but it was {found}")


def save_progress(run: RunDirectory, generation: int, progress: Progress) -> None:
    """Writes what a steady state did since the checkpoint of a generation."""
    write_durably(run.progress(generation), sealed(PROGRESS, asdict(progress)))


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


def load_state(path: Path) -> tuple[RunDirectory, RunState]:
    """The run and state to go on from: a state file as it is, or the newest sound one of a folder.

    Raises `InputError` that says what to do if there is none.
    """
    if path.is_dir():
        return _newest_sound(RunDirectory(path))
    if not path.is_file():
        raise InputError(
            f"no state file or folder {path}; name a run's folder or its checkpoints/generation_N/ga_state.json"
        )
    root = path.parent
    if root.name.startswith("generation_") and root.parent.name == "checkpoints":
        root = root.parent.parent
    try:
        return RunDirectory(root), read_state(path)
    except DamagedFile as error:
        raise InputError(f"{error}; name the run's folder {root} to go on from its newest sound state") from error


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


def seal_result(run: RunDirectory, result: TrainingResult) -> None:
    """Writes a finished job's result, durably; its weights must have been written before."""
    write_durably(run.job(result.key), sealed(JOB, asdict(result)))


def find_result(run: RunDirectory, key: str) -> TrainingResult | None:
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


def sound_weights(run: RunDirectory, result: TrainingResult) -> Path | None:
    """The file of a result's weights, if it is there and what was sealed."""
    path = None if result.weights is None else run.root / result.weights
    return path if path is not None and path.is_file() and file_sha256(path) == result.weights_sha256 else None


def take_over(source: RunDirectory, run: RunDirectory, key: str, weights: Path) -> TrainingResult | None:
    """Copies a job that succeeded in another run, and its weights where they are there and sound, to `weights`.

    None if that run has no such job. Raises DamagedFile if its result is not sound.
    """
    result = find_result(source, key)
    if result is None or result.status != "done":
        return None
    if (origin := sound_weights(source, result)) is not None:
        write_durably(weights, origin.read_bytes())
    result = replace(
        result,
        weights=None if origin is None else run.relative(weights),
        weights_sha256=None if origin is None else result.weights_sha256,
        cost=replace(result.cost, reused=str(source.root.resolve())),
    )
    seal_result(run, result)
    return result


def save_pruned(run: RunDirectory, keys: Iterable[str]) -> None:
    """Records that the weights of these jobs are, or are about to be, removed on purpose."""
    write_durably(run.pruned, sealed(PRUNED, {"keys": sorted(keys)}))


def read_pruned(run: RunDirectory) -> set[str]:
    """The keys of jobs whose weights were removed on purpose. Raises DamagedFile for a record that is not sound."""
    if not run.pruned.exists():
        return set()
    keys = read_sealed(run.pruned, PRUNED).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise DamagedFile(f"{run.pruned}: expected a list of keys, found {keys!r}")
    return set(keys)


def save_ablation(run: RunDirectory, ablation: Ablation) -> None:
    write_durably(run.ablation, sealed(ABLATION, asdict(ablation)))


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
    write_durably(run.individual(info.individual.name) / "info.json", sealed(INFO, asdict(info)))


def place_weights(run: RunDirectory, name: str, result: TrainingResult, is_kept: bool) -> None:
    """Sees to it that an individual's folder holds the weights of its last training, if they are kept.

    Where that training was another individual's, or was stopped early, they lie elsewhere: then
    `best_model.pt` is a link to them. A file that the individual's network did not leave is removed.
    """
    path = run.weights(name)
    origin = run.root / result.weights if is_kept and result.weights is not None else None
    if origin is not None and origin.is_file():
        link_file(origin, path)
    elif path.is_file() and not (is_kept and file_sha256(path) == result.weights_sha256):
        path.unlink()


def kept_weights(run: RunDirectory, state: RunState) -> Individual | None:
    """The best individual of a run whose weights are in its folder."""
    ended = [each for generation in state.generations for each in generation.individuals if each.fitness is not None]
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
