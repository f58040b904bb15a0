"""Every path of a run, and the lock of its folder."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import os
import re
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from records import InputError
from records.texts import JobKey
from storage.files import sync_folder, write_durably

LOCK_NAME = ".evolution.lock"
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


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

    def job(self, key: JobKey) -> Path:
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
