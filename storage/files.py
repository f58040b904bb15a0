"""Durable writes, and sealed files, in which any damage is noticed."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from records import InputError
from records.canonical import canonical_json, shown
from records.documents import MOST_BYTES, MOST_STATE_BYTES, parse_json, read_text
from records.errors import SaveError

SCHEMA = 1
TEMPORARY = re.compile(r"\..+\.\d+\.evolution\.tmp")  # names that no other program gives


class DamagedFile(Exception):
    """A file of a run that is not what was written: torn, changed, of another schema, or not a file of a run."""


def write_durably(path: Path, content: bytes) -> None:
    """Replaces `path` by `content`, so that a crash at any instant leaves the old file or the new one.

    The content goes into a temporary file in the same folder: fsync, rename, fsync of the folder.
    Missing folders are made in the same way. Raises `SaveError` with path and reason where that
    fails; the temporary file is then removed.
    """
    _replace(path, content, durably=True)


def write_whole(path: Path, content: bytes) -> None:
    """The same without waiting for the disk: readers see a whole file, but a power failure may lose or tear it.

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


def temporary_of(path: Path) -> Path:
    """Where this process writes the next content of a file, before it replaces the file by it."""
    return path.with_name(f".{path.name}.{os.getpid()}.evolution.tmp")


def _replace(path: Path, content: bytes, durably: bool) -> None:
    temporary = temporary_of(path)
    try:
        if durably:
            make_folder_durably(path.parent)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # of a process with the same number that was killed
        try:
            with open(temporary, "xb") as file:
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
    temporary = temporary_of(path)
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
    """Raises `InputError` if a folder, or the nearest one above it that exists, is not writable. Writes nothing."""
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
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")  # a byte of a file name that is not UTF-8 becomes JSON's \udc..


def read_sealed(path: Path, kind: str) -> dict[str, Any]:
    """The content of a sealed file. Raises DamagedFile unless it is whole, of this kind and schema."""
    try:
        document = parse_json(read_text(path, MOST_STATE_BYTES if kind == "ga_state" else MOST_BYTES))
        found_kind, schema, seal, content = (document[name] for name in ("kind", "schema", "sha256", "content"))
        digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()
    except json.JSONDecodeError as error:
        raise DamagedFile(f"{path}: not a file of a run, or damaged (line {error.lineno} is not JSON)") from error
    except (KeyError, TypeError) as error:
        raise DamagedFile(f"{path}: not a file of a run, or damaged (it has no seal)") from error
    except ValueError as error:
        raise DamagedFile(f"{path}: not a file of a run, or damaged ({error})") from error
    if (found_kind, schema) != (kind, SCHEMA):
        raise DamagedFile(
            f"{path}: expected a {kind!r} file of schema {SCHEMA}, found {shown(found_kind)} of schema {shown(schema)}"
        )
    if not isinstance(content, dict) or digest != seal:
        raise DamagedFile(f"{path}: damaged, its content does not match its seal")
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
