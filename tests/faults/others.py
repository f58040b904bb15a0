"""A person's files: whatever lies where a run would write, nothing of it is replaced, renamed or deleted."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import tempfile
from pathlib import Path

from records import InputError, RunFault
from run.opening import open_folder
from run.request import Request
from storage.directory import RunDirectory
from storage.lock import LOCK_NAME
from storage.own_files import LIST_NAME
from tests.faults.disk import copy_of
from tests.faults.small_run import InlineWorkers, NoSignals, birth, go_on

# What the small run does not write, but a run of `evolution.py` or an evaluation of its model does.
MORE = (
    LOCK_NAME,
    LIST_NAME,
    "run.toml",
    "results/report.html",
    "results/pruned.json",
    "results/ablation.json",
    "results/figures/fitness.svg",
    "results/figures/fitness.png",
    "results/final/best_model.pt",
    "results/tensorboard/events.out.tfevents.config",
    "best_model/info.json",
    "best_model/pareto.json",
    "best_model/MODEL_CARD.md",
)
# Near misses: names beside those of a run, some of which versions before have removed.
NEAR = (
    "results/figures/fig1.pdf",
    "results/final/paper.tex",
    "results/genomes/human.fa",
    "results/gen1/notes.txt",
    "results/jobs/mine.json",
    "results/jobs/.mine.json.7.tmp",
    "results/tensorboard/events.out.tfevents.1700000000.host.1.0",
    "checkpoints/generation_1/mine.json",
    "checkpoints/generation_x/ga_state.json",
    "best_model/model.docx",
    "best_model/resnet50.pt",
    "best_model/evaluation.json",
    "best_model/model.py",
)
SITUATIONS = ("empty", "run", "run without its lists", "run without its states", "foreign state", "half a run")


@functools.cache
def finished() -> Path:
    """A small run that is over; kept for as long as the process lives."""
    folder = Path(tempfile.mkdtemp(prefix="finished-")) / "run"
    run = RunDirectory(folder)
    run.lock()
    try:
        go_on(run, InlineWorkers(run), NoSignals(), warn=lambda warning: None)
    finally:
        run.unlock()
    return folder


@functools.cache
def written() -> tuple[str, ...]:
    """The relative paths of all files that a run writes."""
    return tuple(sorted({str(path.relative_to(finished())) for path in files_of(finished())} | set(MORE)))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def files_of_others(seed: int, folder: Path) -> None:
    """A folder that holds files of a person, many of them with names of a run's, is used as one would by mistake.

    Whether the run is refused or not, each of the person's files and links is there afterwards as it was.
    If it is refused, the folder is as it was in every respect.
    """
    rng = random.Random(seed)
    situation = SITUATIONS[seed % len(SITUATIONS)]
    prepare(folder, situation)
    names = rng.sample([*written(), *NEAR], rng.choice([1, 1, 2, 5, len(written())]))
    theirs = [path for name in names if (path := put(folder, folder.with_name("elsewhere"), name, rng)) is not None]
    before = snapshot(folder), snapshot(folder.with_name("elsewhere"))
    flags: dict[str, object] = rng.choice(
        [{}, {"overwrite": True}, {"resume": folder}] if situation != "empty" else [{}, {"overwrite": True}]
    )
    refused = attempt(folder, flags)
    after = snapshot(folder), snapshot(folder.with_name("elsewhere"))
    what = f"{situation}, {flags}, {names[:5]}"
    assert before[1].items() <= after[1].items(), f"{what}: files elsewhere changed"
    for path in theirs:
        name = str(path.relative_to(folder))
        assert after[0].get(name) == before[0][name], f"{what}: {name} was lost"
    if refused:
        assert after == before, f"{what}: refused, but touched"


def prepare(folder: Path, situation: str) -> None:
    if situation == "empty":
        folder.mkdir(parents=True)
        return
    copy_of(finished(), folder)
    if situation in ("run without its lists", "foreign state"):
        for path in folder.rglob(LIST_NAME):
            path.unlink()
    if situation == "run without its states":
        shutil.rmtree(folder / "checkpoints")
    if situation == "foreign state":
        shutil.rmtree(folder / "results")
        shutil.rmtree(folder / "best_model")
    if situation == "half a run":
        run = RunDirectory(folder)
        run.drop_states_after(2)
        for path in (run.individual("gen3/ind4") / "info.json", run.best_model):
            run.remove(path)


def put(folder: Path, elsewhere: Path, name: str, rng: random.Random) -> Path | None:
    """Puts a person's file, folder or link at a name, unless the run has a file there; returns its path."""
    path = folder / name
    for parent in list(path.relative_to(folder).parents)[::-1]:
        if (folder / parent).is_symlink() or (folder / parent).is_file():
            return None
    if os.path.lexists(path):
        return None
    elsewhere.mkdir(exist_ok=True)
    target = elsewhere / name.replace("/", "-")
    kind = rng.choice(["file", "file", "file", "link", "dangling link", "folder", "linked folder"])
    if kind == "linked folder":
        missing = [parent for parent in path.parents if not parent.exists() and parent != folder]
        if (
            missing
            and missing[-1].parent == folder
            and missing[-1].name not in ("results", "checkpoints", "best_model")
        ):
            missing = []
        if missing:
            (target / path.relative_to(missing[-1])).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(missing[-1])).write_bytes(rng.randbytes(20))
            missing[-1].symlink_to(target)
            return missing[-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind in ("link", "dangling link"):
        if kind == "link":
            target.write_bytes(rng.randbytes(20))
        path.symlink_to(target)
    elif kind == "folder":
        (path / "inside").mkdir(parents=True)
        (path / "inside" / "thesis.tex").write_bytes(rng.randbytes(20))
        return path / "inside" / "thesis.tex"
    else:
        # A lock that a crash left may be empty; nothing else of a run is ever empty.
        contents = [b"{}", rng.randbytes(20), b'{"kind": "mine"}'] + [b""] * (path.name != LOCK_NAME)
        path.write_bytes(rng.choice(contents))
    return path


def snapshot(folder: Path) -> dict[str, str | bytes]:
    """Everything in a folder: files with their content, links with their target, folders."""
    found: dict[str, str | bytes] = {}
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            content = os.readlink(path) if path.is_symlink() else "folder" if path.is_dir() else path.read_bytes()
            found[str(path.relative_to(folder))] = content
    return found


def attempt(folder: Path, flags: dict[str, object]) -> bool:
    """Does what `evolution.py` does with a small run; returns whether the folder was refused."""
    try:
        run, state = open_folder(Request.of(**{"output_dir": folder, **flags}))
        run.lock()
    except InputError:
        return True
    try:
        if flags.get("overwrite"):
            run.clear()
        with contextlib.suppress(RunFault):
            go_on(run, InlineWorkers(run), NoSignals(), state=state or birth(0), warn=lambda warning: None)
    finally:
        run.unlock()
    return False
