"""The lock of a folder: one process at a time, however the last one ended."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

from records import InputError

LOCK_NAME = ".evolution.lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class FolderLock:
    """An exclusive lock (`flock`) on a file of a folder. The system releases it when the process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None
        self._made: list[Path] = []  # folders that were missing, the innermost first

    def take(self) -> None:
        """Locks the folder for this process; makes it where it is missing.

        Raises `InputError` where another process holds it, which is named, or where the folder
        cannot be written or locked.
        """
        self._made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            while self._descriptor is None:
                self._descriptor = self._try()
        except OSError as error:
            what = "lock" if error.errno in NO_LOCKS else "write to"
            raise InputError(f"cannot {what} {self.folder}: {error.strerror}; choose another --output_dir") from error

    def release(self) -> None:
        """Releases the folder, and removes those that were made for the lock and are still empty."""
        if self._descriptor is not None:
            (self.folder / LOCK_NAME).unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None
            for folder in self._made:
                if any(folder.iterdir()):
                    break
                folder.rmdir()

    def _try(self) -> int | None:
        """The descriptor of the locked file; None if its last holder removed the file meanwhile."""
        path = self.folder / LOCK_NAME
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise InputError(
                f"{self.folder} is in use by {holder}; wait for it to end, or choose another --output_dir"
            ) from None
        try:
            current = os.stat(path).st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            current = False
        if not current:
            os.close(descriptor)
            return None
        self._refuse_if_without_effect(path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        return descriptor

    def _refuse_if_without_effect(self, path: Path) -> None:
        """Raises `InputError` where a locked file can be locked again: some file systems only pretend to lock."""
        second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            os.close(second)
        raise InputError(f"locks have no effect on the file system of {self.folder}; choose another --output_dir")
