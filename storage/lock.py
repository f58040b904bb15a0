"""The lock of a folder: one process at a time, however the last one ended."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
from pathlib import Path

from records import InputError, RunFault

LOCK_NAME = ".evolution.lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
NO_LOCKS_OF_FOLDERS = (*NO_LOCKS, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.EACCES)
HOLDER = re.compile(rb"process( \d*( o?n?( \S{0,255})?)?)?")  # a lock file's content, whole or torn by a power failure


class FolderLock:
    """An exclusive lock (`flock`) on a folder, and on a file in it that names the holder.

    The system releases it when the process ends. Network file systems may lock files only; elsewhere
    the folder stays locked whatever becomes of the file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LOCK_NAME
        self._descriptor: int | None = None
        self._folder_descriptor: int | None = None
        self._made: list[Path] = []  # folders that were missing, the innermost first

    def take(self) -> None:
        """Locks the folder for this process; makes it where it is missing.

        Raises `InputError` where another process holds it, which is named, or where the folder
        cannot be written or locked.
        """
        self._made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._folder_descriptor = self._lock_folder()
            while self._descriptor is None:
                self._descriptor = self._try()
        except OSError as error:
            what = "lock" if error.errno in NO_LOCKS else "write to"
            raise InputError(f"cannot {what} {self.folder}: {error.strerror}; choose another --output_dir") from error

    def check(self) -> None:
        """Raises `RunFault` if the folder was locked, but its lock file has been removed or replaced since."""
        if self._descriptor is not None and not self._is_current(self._descriptor):
            raise RunFault(
                f"{self.path} was removed or replaced while this run worked, and another process may have begun to "
                "write here; nothing more is written"
            )

    def release(self) -> None:
        """Releases the folder, and removes those that were made for the lock and are still empty."""
        if self._descriptor is not None:
            if self._is_current(self._descriptor):
                self.path.unlink()
            os.close(self._descriptor)
            self._descriptor = None
            for folder in self._made:
                if not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()
        if self._folder_descriptor is not None:
            os.close(self._folder_descriptor)
            self._folder_descriptor = None

    def _lock_folder(self) -> int | None:
        """The descriptor of the locked folder; None where the file system locks files only."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise self._in_use() from None
        except OSError as error:
            os.close(descriptor)
            if error.errno not in NO_LOCKS_OF_FOLDERS:
                raise
            return None
        return descriptor

    def _try(self) -> int | None:
        """The descriptor of the locked file; None if its last holder removed the file meanwhile."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._foreign() from error
            raise
        try:
            _lock(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise self._in_use() from None
        if not self._is_current(descriptor):
            os.close(descriptor)
            return None
        if not _is_a_lock(os.pread(descriptor, 1000, 0)):
            os.close(descriptor)
            raise self._foreign()
        self._refuse_if_without_effect()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        return descriptor

    def _is_current(self, descriptor: int) -> bool:
        """Whether the path of the lock file still leads to the file that is open."""
        try:
            there, held = os.stat(self.path, follow_symlinks=False), os.fstat(descriptor)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def _in_use(self) -> InputError:
        holder = "another process"
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            content = file.read(1000)
            if content.strip(b"\0") and _is_a_lock(content):
                holder = content.decode()
        return InputError(f"{self.folder} is in use by {holder}; wait for it to end, or choose another --output_dir")

    def _foreign(self) -> InputError:
        return InputError(
            f"{self.path} is not a lock of this program; move it elsewhere, or choose another --output_dir"
        )

    def _refuse_if_without_effect(self) -> None:
        """Raises `InputError` where a locked file can be locked again: some file systems only pretend to lock."""
        second = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _lock(second)
        except BlockingIOError:
            return
        finally:
            os.close(second)
        raise InputError(f"locks have no effect on the file system of {self.folder}; choose another --output_dir")


def _lock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_a_lock(content: bytes) -> bool:
    content = content.strip(b"\0")
    return b"process".startswith(content) or HOLDER.fullmatch(content) is not None
