"""Every path of a run."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from records.texts import JobKey
from storage.files import sync_folder, write_durably
from storage.lock import FolderLock


class RunDirectory:
    """The paths of the files of one run, below `root`; no other module knows their names."""

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
        self._lock = FolderLock(root)

    def state(self, generation: int) -> Path:
        return self.checkpoints / f"generation_{generation}" / "ga_state.json"

    def progress(self, generation: int) -> Path:
        """The file of what a steady state did after the checkpoint of a generation."""
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
        """Removes a run, the newest state first, so that a crash meanwhile leaves an older run or none."""
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
        """Locks the run for this process, and removes what interrupted writes have left.

        Raises `InputError` where another process holds it, or where the folder cannot be written.
        """
        self._lock.take()
        for folder in (self.checkpoints, self.results, self.best_model.parent):
            for leftover in folder.rglob(".*.tmp"):
                leftover.unlink()

    def unlock(self) -> None:
        self._lock.release()
