"""Finds which files of a run are its own although no list names them: those of versions that kept no list.

A file is adopted for what is in it (a seal, the head that the program writes) or because the run's state or one of its
sealed results names it; never for its place alone.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from records import InputError, RunState
from records.config_file import HEAD
from records.individuals import all_individuals
from records.texts import JobKey
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.files import DamagedFile, file_sha256
from storage.own_files import OwnFiles
from storage.results import KINDS, find_result

# What each of these files has held in every version.
MARKS = {
    "run.toml": HEAD.partition(":")[0].encode(),
    "history.csv": b"generation,individual,chromosome,",
    "report.html": b"report.py --resume",
    "MODEL_CARD.md": b"SHA-256 of the weights file: `",
}
ZIP = b"PK\x03\x04"  # the start of weights as torch saves them
EVALUATION = "evaluation.json"


def adoptable(run: RunDirectory) -> list[Path]:
    """Files of a run that no list names, but that are its own. Without a sound state there are none."""
    foreign = run.foreign()
    try:
        named = _Named(run, load_state(run.root)[1]) if foreign else None
    except (InputError, OSError):
        named = None
    return [
        path for path in foreign if named is not None and path.is_file() and not path.is_symlink() and path in named
    ]


class _Named:
    """What the state and the sealed results of a run name."""

    def __init__(self, run: RunDirectory, state: RunState) -> None:
        self.run = run
        self.names = {each.name for each in (*state.population, *all_individuals(state.generations))}
        results = list(state.results.values())
        for path in run.job_files():
            with contextlib.suppress(DamagedFile, OSError):
                results += filter(None, [find_result(run, JobKey(path.stem))])
        self.weights = {result.weights for result in results}
        self.digests = {result.weights_sha256 for result in results}

    def __contains__(self, path: Path) -> bool:
        relative = self.run.relative(path)
        if path.suffix == ".pt":
            individual = re.match(r"results/(gen\d+/ind\d+)/", relative)
            is_named = relative in self.weights or (individual is not None and individual[1] in self.names)
            return (is_named and _starts_with(path, ZIP)) or file_sha256(path) in self.digests
        if path.suffix == ".json":
            return _kind(path) in KINDS
        if path.parent == self.run.figures:
            return self.run.history.is_file() and _is_marked(self.run.history)
        if path.name.startswith("events.out.tfevents."):
            return True  # no other program ends their names like that
        return _is_marked(path)


def adopt(run: RunDirectory) -> None:
    """Lists the files of a run, and of the evaluations of its best network, that no list names. Raises `SaveError`."""
    for path in adoptable(run):
        run.own(path).adopt([path])
    adopt_evaluation(run.evaluations)


def foreign_files(run: RunDirectory) -> list[Path]:
    """What stands where a run writes its files, but is not its own. Writes nothing."""
    own = set(adoptable(run))
    return [path for path in run.foreign() if path not in own]


def adopt_evaluation(own: OwnFiles) -> None:
    """Lists the files of an earlier evaluation, which its `evaluation.json` names. Raises `SaveError`."""
    path = own.folder / EVALUATION
    if own.foreign([path]) and path.is_file() and not path.is_symlink():
        try:
            report = json.loads(path.read_bytes())
            is_evaluation = {"model", "classes", "confusion_matrix", "speed"} <= report.keys()
            exports = [Path(each["path"]).name for each in report.get("exports", ())]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        names = [EVALUATION, "evaluation.html", "confusion_matrix.svg", "confusion_matrix.png", *exports]
        if is_evaluation:
            own.adopt(own.folder / name for name in names)


def _starts_with(path: Path, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start


def _is_marked(path: Path) -> bool:
    return MARKS[path.name] in path.read_bytes()


def _kind(path: Path) -> str | None:
    """What a sealed file says it is, whether its seal holds or not."""
    with open(path, "rb") as file:
        found = re.match(rb'\{\s*"kind": "(\w+)"', file.read(200))
    return found[1].decode() if found else None
