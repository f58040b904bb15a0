"""Every path of a run, durable writes, seals, and the lock. Nothing here needs torch."""

from __future__ import annotations

import csv
import errno
import fcntl
import filecmp
import hashlib
import io
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from records import InputError, SaveError, canonical_json

SCHEMA = 1
LOCK_NAME = ".evolution.lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class DamagedFile(Exception):
    """A file of a run that is not what was written: torn, changed, of another schema, or not a file of a run."""


def write_durably(path: Path, content: bytes) -> None:
    """Replaces `path` by `content`, so that a crash at any instant leaves the old file or the new one.

    Temporary file in the same folder, fsync, rename, fsync of the folder; folders that are missing
    are made in the same way. Raises `SaveError` with path and reason where that fails; the
    temporary file is then removed.
    """
    _replace(path, content, durably=True)


def write_whole(path: Path, content: bytes) -> None:
    """The same without waiting for the disk: whole whoever reads it, but lost or torn if the power goes.

    `make_durable` waits for the disk. Raises `SaveError`.
    """
    _replace(path, content, durably=False)


def make_durable(path: Path) -> None:
    """Waits until a file, and its name, are on disk. Raises `SaveError`."""
    try:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        for folder in list(path.parents)[:4]:
            sync_folder(folder)  # results/genN/indM/epochs_E: each may be new
    except OSError as error:
        raise SaveError(f"cannot write {path}: {error.strerror}") from error


def _replace(path: Path, content: bytes, durably: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if durably:
            make_folder_durably(path.parent)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                if durably:
                    file.flush()
                    os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durably:
            sync_folder(path.parent)
    except OSError as error:
        raise SaveError(f"cannot write {path}: {error.strerror}") from error


def link_file(source: Path, path: Path) -> None:
    """Makes `path` a hard link to the file `source`; a copy where the file system has no hard links.

    What was at `path` is replaced by a rename, so that no other name of that file changes. Nothing
    waits for the disk. Raises `SaveError`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.exists() and path.samefile(source):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # FAT and some network and overlay file systems have none
            if not (path.is_file() and filecmp.cmp(source, path, shallow=False)):
                write_whole(path, source.read_bytes())
            return
        os.rename(temporary, path)
    except OSError as error:
        raise SaveError(f"cannot write {path}: {error.strerror}") from error


def make_folder_durably(folder: Path) -> None:
    """Makes a folder and those above it; each name is on disk before what is inside it."""
    if not folder.is_dir():
        make_folder_durably(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def check_writable(folder: Path) -> None:
    """Raises `InputError` if a folder, or what there is of the way to it, cannot be written. Writes nothing."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        raise InputError(f"cannot write to {folder}; choose another folder")


def sync_folder(folder: Path) -> None:
    """Makes renames and removals in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sealed(kind: str, content: Mapping[str, Any]) -> bytes:
    """The text of a sealed file: what it is, its schema, a SHA-256 of its content, the content."""
    digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()
    document = {"kind": kind, "schema": SCHEMA, "sha256": digest, "content": content}
    return (json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """The content of a sealed file. Raises DamagedFile unless it is whole, of this kind and schema."""
    try:
        document = json.loads(path.read_bytes())
        found_kind, schema, seal, content = (document[name] for name in ("kind", "schema", "sha256", "content"))
        digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFile(f"{path}: not a file of a run, or damaged ({type(error).__name__})") from error
    if (found_kind, schema) != (kind, SCHEMA):
        raise DamagedFile(
            f"{path}: expected a {kind!r} file of schema {SCHEMA}, found {found_kind!r} of schema {schema!r}"
        )
    if not isinstance(content, dict) or digest != seal:
        raise DamagedFile(f"{path}: damaged, its content does not match its seal")
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RunDirectory:
    """The files of one run below `root`. It alone names them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.results = root / "results"
        self.jobs = self.results / "jobs"
        self.config = root / "run.toml"
        self.history = self.results / "history.csv"
        self.figures = self.results / "figures"
        self.tensorboard = self.results / "tensorboard"
        self.report = self.results / "report.html"
        self.pruned = self.results / "pruned.json"
        self.ablation = self.results / "ablation.json"
        self.best_model = root / "best_model" / "best_model.pt"
        self.best_info = root / "best_model" / "info.json"
        self.pareto = root / "best_model" / "pareto.json"
        self.model_card = root / "best_model" / "MODEL_CARD.md"
        self.evaluation = root / "best_model" / "evaluation.html"
        self._lock: int | None = None
        self._made: list[Path] = []

    def state(self, generation: int) -> Path:
        return self.checkpoints / f"generation_{generation}" / "ga_state.json"

    def progress(self, generation: int) -> Path:
        """What a steady state did after the state of a generation."""
        return self.state(generation).with_name("progress.json")

    def job(self, key: str) -> Path:
        return self.jobs / f"{key}.json"

    def individual(self, name: str) -> Path:
        """The folder of an individual, by its name (gen3/ind2)."""
        return self.results / name

    def weights(self, name: str) -> Path:
        return self.individual(name) / "best_model.pt"

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def states(self) -> list[tuple[int, Path]]:
        """The state files that exist, newest generation first, sound or not."""
        found = []
        for path in self.checkpoints.glob("generation_*/ga_state.json"):
            if match := re.fullmatch(r"generation_(\d+)", path.parent.name):
                found.append((int(match[1]), path))
        return sorted(found, reverse=True)

    def clear(self) -> None:
        """Removes a run: newest state first, so that what a crash leaves is an older run, or none."""
        self.drop_states_after(-1)
        for folder in [
            self.jobs,
            self.figures,
            self.tensorboard,
            *self.results.glob("gen*"),
            self.results / "final",
            self.best_model.parent,
        ]:
            if folder.exists():
                shutil.rmtree(folder)
        for path in (self.config, self.history, self.report, self.pruned, self.ablation):
            path.unlink(missing_ok=True)

    def drop_states_after(self, generation: int) -> None:
        """Removes the states of later generations, the newest first."""
        for number, path in self.states():
            if number > generation:
                shutil.rmtree(path.parent)
                sync_folder(self.checkpoints)

    def write_history(self, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_durably(self.history, text.getvalue().encode())

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged file to `*.damaged` (numbered if there is one) and returns the new path."""
        aside = path.with_name(path.name + ".damaged")
        number = 1
        while aside.exists():
            number += 1
            aside = path.with_name(f"{path.name}.{number}.damaged")
        os.rename(path, aside)
        sync_folder(path.parent)
        return aside

    def lock(self) -> None:
        """Takes the folder for this process, creating it where needed.

        The lock (`flock`) falls with the process, however it ends. Raises `InputError` that names
        the holder if another process has it, or if the folder cannot be written.
        """
        self._made = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            while self._lock is None:
                self._lock = self._try_lock(self.root / LOCK_NAME)
        except OSError as error:
            what = "lock" if error.errno in NO_LOCKS else "write to"
            raise InputError(f"cannot {what} {self.root}: {error.strerror}; choose another --output_dir") from error
        for folder in (self.checkpoints, self.results, self.best_model.parent):
            for leftover in folder.rglob(".*.tmp"):
                leftover.unlink()

    def _try_lock(self, path: Path) -> int | None:
        """The descriptor of the locked file; None if it was removed meanwhile by its last holder."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InputError(
                f"{self.root} is in use by {holder}; wait for it to end, or choose another --output_dir"
            ) from None
        try:
            current = os.stat(path).st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            current = False
        if not current:
            os.close(descriptor)
            return None
        self._test_lock(path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        return descriptor

    def _test_lock(self, path: Path) -> None:
        """Raises `InputError` where a file that is locked can be locked again: some file systems only pretend."""
        second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            os.close(second)
        raise InputError(f"locks have no effect on the file system of {self.root}; choose another --output_dir")

    def unlock(self) -> None:
        """Gives the folder back; folders that were made for the lock and stayed empty go, too."""
        if self._lock is not None:
            (self.root / LOCK_NAME).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
            for folder in self._made:
                if any(folder.iterdir()):
                    break
                folder.rmdir()
