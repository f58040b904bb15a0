"""The list of the files that the program wrote into a folder. It replaces, renames and deletes no others.

A line of the list names a file before it is written for the first time, and is on disk before the file is. So a file
that is not listed is a person's, whatever its name.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from records.errors import InputError, SaveError
from records.texts import is_sound
from storage.files import TEMPORARY, file_sha256, link_file, sync_folder, write_durably, write_whole

LONGEST_NAME, LONGEST_PATH = 255, 3000  # bytes and characters: no file system takes more
LIST_NAME = ".evolution.files"
HEAD = b"# What CNN Hyperparameter Evolution wrote in this folder. It replaces, renames and deletes no other files.\n"
Writer = Literal["evolution", "evaluate", "train_model", "plots"]


class ForeignFile(SaveError):
    """A file stands where the program would write, but the program cannot prove that it wrote it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    writer: str
    sha256: str | None  # of a file that is handed out, and must not be replaced once a person has changed it


class OwnFiles:
    """The files below one folder that one of the commands wrote.

    All its methods take paths below the folder. Links below the folder are never followed; the
    folder itself may be one.
    """

    def __init__(self, folder: Path, writer: Writer) -> None:
        self.folder, self.writer = folder, writer
        self.list = folder / LIST_NAME
        self._entries: dict[str, _Entry] = {}
        self._seen = (0, 0)  # inode of the list, and how much of it was read

    def owned(self) -> list[Path]:
        """The files that this command wrote, and that are still there as it left them."""
        self._read()
        paths = [self.folder / name for name, entry in self._entries.items() if entry.writer == self.writer]
        return [path for path in paths if self.owns(path)]

    def owns(self, path: Path) -> bool:
        """Whether a file is one that this command wrote, and that nobody has changed since it was handed out."""
        self._read()
        entry = self._entries.get(self._name(path))
        if entry is None or entry.writer != self.writer or not path.is_file() or self._is_linked(path):
            return False
        return entry.sha256 is None or entry.sha256 == file_sha256(path)

    def foreign(self, paths: Iterable[Path]) -> list[Path]:
        """Those of the paths where there is something that this command did not write."""
        self._read()
        return [path for path in paths if os.path.lexists(path) and not self.owns(path)]

    def refuse_foreign(self, paths: Iterable[Path], advice: str) -> None:
        """Raises `InputError` if one of the files that a command is about to write is a person's."""
        if foreign := self.foreign(paths):
            raise InputError(f"{foreign[0]} was not written by this command, or was changed since; {advice}")

    def claim(self, *paths: Path) -> None:
        """Lists files that are about to be written. Raises `ForeignFile` if one of them is a person's."""
        self._read()
        for path in paths:
            if self._is_linked(path):
                raise ForeignFile(f"cannot write {path}: it leads elsewhere by a link; remove the link")
        if foreign := self.foreign(paths):
            raise ForeignFile(
                f"cannot write {foreign[0]}: the file there was not written by this program, or was changed since; "
                "move it elsewhere"
            )
        self.adopt(path for path in paths if self._name(path) not in self._entries)

    def adopt(self, paths: Iterable[Path]) -> None:
        """Lists files as written by this command, whether they are there or not."""
        self._append([{"writer": self.writer, "path": self._name(path)} for path in paths])

    def write(self, path: Path, content: bytes, *, durably: bool = True) -> None:
        """Writes a file of the program's own. Raises `ForeignFile` if there is another, and `SaveError`."""
        self.claim(path)
        (write_durably if durably else write_whole)(path, content)

    def hand_out(self, path: Path, content: bytes) -> None:
        """Writes a file that a person may change; it is then theirs. Raises `ForeignFile` and `SaveError`."""
        self.write(path, content)
        self._append([{"writer": self.writer, "path": self._name(path), "sha256": file_sha256(path)}])

    def link(self, source: Path, path: Path) -> None:
        """Makes a file of the program's own a hard link to `source`, or a copy. Raises as `write` does."""
        self.claim(path)
        link_file(source, path)

    def remove(self, path: Path) -> bool:
        """Removes a file, if it is the program's own; returns whether it was."""
        if not self.owns(path):
            return False
        path.unlink()
        self._append([{"path": self._name(path)}], durably=False)
        return True

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged file of the program's own to `*.damaged` (numbered if there is one); returns its path.

        Raises `ForeignFile` if it is not the program's own.
        """
        if not self.owns(path):
            raise ForeignFile(f"cannot rename {path}: it was not written by this program; move it elsewhere")
        aside, number = path.with_name(path.name + ".damaged"), 1
        while os.path.lexists(aside):
            number += 1
            aside = path.with_name(f"{path.name}.{number}.damaged")
        self.claim(aside)
        os.rename(path, aside)
        sync_folder(path.parent)
        self._append([{"path": self._name(path)}], durably=False)
        return aside

    def clear(self) -> None:
        """Removes all files that this command wrote, the newest first, and folders that are empty then."""
        for path in reversed(self.owned()):
            self.remove(path)
            for folder in path.parents:
                if folder == self.folder or any(folder.iterdir()):
                    break
                folder.rmdir()

    def sweep(self) -> None:
        """Removes the temporary files that killed writes have left beside files of the list."""
        self._read()
        folders = {(self.folder / name).parent for name in self._entries}
        for folder in (folder for folder in folders if folder.is_dir() and not self._is_linked(folder)):
            for path in folder.iterdir():
                if TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    path.unlink()

    def forget_if_empty(self) -> None:
        """Removes the list if no file is left that it names, and the folder if it is then empty and no link."""
        self._read()
        if not any(os.path.lexists(self.folder / name) for name in self._entries):
            self.list.unlink(missing_ok=True)
            self._entries, self._seen = {}, (0, 0)
            if self.folder.is_dir() and not self.folder.is_symlink() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _is_linked(self, path: Path) -> bool:
        """Whether a path, or a folder between it and that of the list, is a symbolic link."""
        between = [path, *path.parents][: len(path.relative_to(self.folder).parts)]
        return any(each.is_symlink() for each in between)

    def _read(self) -> None:
        """Reads what has been added to the list since it was last read. Raises `ForeignFile` for another file."""
        try:
            found = os.lstat(self.list)
            if (found.st_ino, found.st_size) == self._seen:
                return
            if found.st_ino != self._seen[0] or found.st_size < self._seen[1]:
                self._entries, self._seen = {}, (found.st_ino, 0)
            content = self.list.read_bytes() if stat.S_ISREG(found.st_mode) else b""
        except (FileNotFoundError, NotADirectoryError):
            self._entries, self._seen = {}, (0, 0)
            return
        except OSError as error:
            raise SaveError(f"cannot read {self.list}: {error.strerror}") from error
        if not content.startswith(HEAD):
            raise ForeignFile(f"cannot use {self.list}: it is not a list of this program; move it elsewhere")
        new, _, torn = content[max(self._seen[1], len(HEAD)) :].rpartition(b"\n")
        for line in new.split(b"\n"):
            self._take(line)
        self._seen = (found.st_ino, len(content) - len(torn))

    def _take(self, line: bytes) -> None:
        """Takes a line of the list; one that was torn or damaged counts for nothing."""
        try:
            found: Any = json.loads(line)
            name, writer, sha256 = found["path"], found.get("writer"), found.get("sha256")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return
        if not isinstance(name, str) or not is_sound(name) or len(name) > LONGEST_PATH:
            return
        parts = name.split("/")
        if {"", "..", "."} & set(parts) or max(len(os.fsencode(part)) for part in parts) > LONGEST_NAME:
            return  # every name that the program lists leads to below the folder
        if writer is None:
            self._entries.pop(name, None)
        else:
            self._entries[name] = _Entry(writer, sha256)

    def _append(self, lines: list[dict[str, str]], durably: bool = True) -> None:
        if not lines:
            return
        text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        try:
            if not self.list.exists():
                write_durably(self.list, HEAD)
            with open(self.list, "a+b") as file:
                file.seek(-1, os.SEEK_END)
                whole = file.read() == b"\n"  # unless a crash tore the last line
                file.write(text if whole else b"\n" + text)
                if durably:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise SaveError(f"cannot write {self.list}: {error.strerror}") from error
        self._read()
