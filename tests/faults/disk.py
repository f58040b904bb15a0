"""Faults of disks: death, lack of space and loss of power at every step of every durable write.

The steps are those that the modules of `storage/` take through `os` and `open`: a file is opened for writing,
its bytes are written, a file or folder is fsynced, renamed or removed, a folder is made.
"""

from __future__ import annotations

import builtins
import errno
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Step = Callable[[str, str], None]  # told the name of a step and its path, before the step is taken


@contextmanager
def steps_watched(step: Step, after: Step | None = None) -> Iterator[None]:
    """Calls `step` before, and `after` after, every step that changes the disk, in this process."""
    originals = {name: getattr(os, name) for name in ("fsync", "rename", "unlink", "mkdir", "rmdir")}
    original_open = builtins.open

    def wrap(name: str) -> Callable[..., Any]:
        original = originals[name]

        def call(target: Any, *arguments: Any, **options: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
            if options.get("dir_fd") is not None:  # shutil.rmtree walks by descriptors
                path = os.path.join(os.readlink(f"/proc/self/fd/{options['dir_fd']}"), path)
            step(name, path)
            result = original(target, *arguments, **options)
            if after is not None:
                after(name, os.fspath(arguments[0]) if name == "rename" else path)
            return result

        return call

    def watched_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set("wxa") & set(mode) and not isinstance(file, int):
            step("open", os.fspath(file))
            opened = original_open(file, mode, *arguments, **options)
            write = opened.write

            def watched_write(content: Any) -> Any:
                step("write", os.fspath(file))
                half = len(content) // 2
                write(content[:half])
                opened.flush()
                step("write half", os.fspath(file))
                return write(content[half:])

            return _Writer(opened, watched_write)
        return original_open(file, mode, *arguments, **options)

    try:
        for name in originals:
            setattr(os, name, wrap(name))
        builtins.open = watched_open
        yield
    finally:
        builtins.open = original_open
        for name, original in originals.items():
            setattr(os, name, original)


class _Writer:
    """An open file whose `write` is watched."""

    def __init__(self, file: Any, write: Callable[[Any], Any]) -> None:
        self._file, self.write = file, write

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Dead(BaseException):
    """Raised where the process would be dead."""


@dataclass
class Countdown:
    """A step function that calls `fire` at step number `at`, and counts the steps."""

    at: int
    fire: Callable[[str, str], None]
    seen: int = 0

    def __call__(self, name: str, path: str) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.fire(name, path)


@dataclass
class FullDisk:
    """A step function for a disk that is full from step number `at` on."""

    at: int
    seen: int = 0
    paths: list[str] = field(default_factory=list)

    def __call__(self, name: str, path: str) -> None:
        if name not in ("open", "write", "write half", "fsync", "mkdir"):
            return  # renaming and removing need no space
        self.seen += 1
        if self.seen >= self.at:
            self.paths.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


@dataclass
class _File:
    """A file's bytes as of its last fsync; None before the first."""

    synced: bytes | None = None


class PowerLossDisk:
    """The possible contents of a disk after a power failure: only what was fsynced is certain.

    Watches all steps below `root`. `image` writes one possible disk into another folder: names that
    were changed since the last fsync of their folder are old or new, each by chance; bytes that
    were written since the last fsync of their file are there, torn, zeroed, or lost.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[int, _File] = {}  # by inode
        self.names: dict[str, dict[str, _File | None]] = {}  # by folder: what its last fsync made certain

    def adopt(self) -> None:
        """Treats what is on the disk now as certain."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                self.files[os.stat(path).st_ino] = _File(Path(path).read_bytes())
            self.names[folder] = self._entries(folder)

    def after(self, name: str, path: str) -> None:
        """Records a step that was taken."""
        if not path.startswith(str(self.root)):
            return
        if name == "fsync":
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode):
                self.names[path] = self._entries(path)
            else:
                with open(path, "rb") as file:
                    self.files.setdefault(status.st_ino, _File()).synced = file.read()

    def before(self, name: str, path: str) -> None:
        """Forgets a file that is about to be removed, so that the next file with its inode starts afresh."""
        if name == "unlink" and os.path.exists(path) and os.stat(path).st_nlink == 1:
            self.files.pop(os.stat(path).st_ino, None)

    def _entries(self, folder: str) -> dict[str, _File | None]:
        """The current names in a folder: files with their record, folders with None."""
        entries: dict[str, _File | None] = {}
        for entry in os.scandir(folder):
            entries[entry.name] = None if entry.is_dir() else self.files.setdefault(entry.inode(), _File())
        return entries

    def image(self, target: Path, rng: random.Random) -> None:
        """Writes a disk that the power loss may have left, as of now."""
        self._image_of(str(self.root), target, rng)

    def _image_of(self, folder: str, target: Path, rng: random.Random) -> None:
        target.mkdir(parents=True)
        certain, now = self.names.get(folder, {}), self._entries(folder)
        for name in sorted(certain.keys() | now.keys()):
            if name in certain and name in now and certain[name] is now[name]:
                entry, is_new = now[name], False
            else:
                is_new = rng.random() < 0.5
                if name not in (now if is_new else certain):
                    continue
                entry = (now if is_new else certain)[name]
            if entry is None:
                if os.path.isdir(os.path.join(folder, name)):
                    self._image_of(os.path.join(folder, name), target / name, rng)
                continue
            content = self._content(os.path.join(folder, name), entry, now.get(name) is entry, rng)
            (target / name).write_bytes(content)

    def _content(self, path: str, file: _File, is_live: bool, rng: random.Random) -> bytes:
        synced = file.synced or b""
        written = Path(path).read_bytes() if is_live else synced
        if written == file.synced:
            return written
        # Bytes that were on disk stay there when others are appended.
        kept = len(synced) if written.startswith(synced) else 0
        kind = rng.choice(["whole", "torn", "zeroed", "lost"])
        if kind == "torn":
            return written[: rng.randrange(kept, len(written) + 1)]
        return {"whole": written, "zeroed": written[:kept] + bytes(len(written) - kept), "lost": synced}[kind]


def copy_of(folder: Path, target: Path) -> Path:
    """Copies a run's folder, replacing what was at the target."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target
