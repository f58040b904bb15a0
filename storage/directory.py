"""Every path of a run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from records.texts import JobKey
from storage.files import sync_folder
from storage.lock import FolderLock
from storage.own_files import OwnFiles

# The names of all files that a run writes, as regular expressions: folders with what is in them, files with None.
Tree = Mapping[str, "Tree | None"]
KEY = r"[0-9a-f]{64}"
WEIGHTS: Tree = {r"best_model\.pt": None}
LOGGED: Tree = {r"events\.out\.tfevents\.(config|curve|hparams|\d{6})": None}
NAMES: Tree = {
    r"run\.toml": None,
    "checkpoints": {r"generation_\d+": {r"(ga_state|progress)\.json": None}},
    "results": {
        r"history\.csv|report\.html|pruned\.json|ablation\.json": None,
        "jobs": {KEY + r"\.json": None},
        "figures": {r"fitness\.(svg|png)": None},
        "tensorboard": {
            **LOGGED,
            "progress": LOGGED,
            r"gen\d+": {r"ind\d+": {**LOGGED, r"epochs_\d+": LOGGED}},
        },
        r"gen\d+": {r"ind\d+": {r"info\.json": None, **WEIGHTS, r"epochs_\d+": WEIGHTS}},
        "final": {**WEIGHTS, r"[0-9a-f]{16}": WEIGHTS},
    },
    "best_model": {r"info\.json|pareto\.json|MODEL_CARD\.md": None, **WEIGHTS},
}


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
        self.evaluations = OwnFiles(root / "best_model", "evaluate")  # the files of evaluations beside the model
        self._own = {each.folder: each for each in self._lists()}
        self._lock = FolderLock(root)

    def _lists(self) -> Iterator[OwnFiles]:
        """The lists of what the run wrote: one for each of its folders, as a person may have linked some of them."""
        for folder in (self.checkpoints, self.results, self.best_model.parent, self.root):
            yield OwnFiles(folder, "evolution")

    def state(self, generation: int) -> Path:
        return self.checkpoints / f"generation_{generation}" / "ga_state.json"

    def progress(self, generation: int) -> Path:
        """The file of what a steady state did after the checkpoint of a generation."""
        return self.state(generation).with_name("progress.json")

    def job(self, key: JobKey) -> Path:
        return self.jobs / f"{key}.json"

    def job_files(self) -> list[Path]:
        """The files of results that exist, sound or not."""
        return sorted(path for path in self.jobs.glob("*.json") if re.fullmatch(KEY, path.stem) and path.is_file())

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
            if (match := re.fullmatch(r"generation_(\d+)", path.parent.name)) and path.is_file():
                found.append((int(match[1]), path))
        return sorted(found, reverse=True)

    def own(self, path: Path) -> OwnFiles:
        """The list that a file of the run belongs to. Raises `RunFault` if the run was locked, and the lock is gone."""
        self._lock.check()
        return self._own[next(folder for folder in self._own if path.is_relative_to(folder))]

    def claim(self, *paths: Path) -> None:
        """Lists files that are about to be written. Raises `ForeignFile` if one of them is not the run's own."""
        for own, group in groupby(sorted(paths), self.own):
            own.claim(*group)

    def write(self, path: Path, content: bytes, *, durably: bool = True) -> None:
        """Writes a file of the run, as `write_durably` or `write_whole` does. Raises `ForeignFile` and `SaveError`."""
        self.own(path).write(path, content, durably=durably)

    def hand_out(self, path: Path, content: bytes) -> None:
        """Writes a file of the run that is a person's once they have changed it."""
        self.own(path).hand_out(path, content)

    def remove(self, path: Path) -> None:
        """Removes a file, if it is the run's own."""
        self.own(path).remove(path)

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged file to `*.damaged` (numbered if there is one) and returns the new path."""
        return self.own(path).set_aside(path)

    def foreign(self) -> list[Path]:
        """What stands where a run writes its files, but is not listed as this run's."""
        places = self.places()
        mine = {own: [path for path in places if self.own(path) is own] for own in self._own.values()}
        return sorted(path for own, paths in mine.items() for path in own.foreign(paths))

    def places(self) -> list[Path]:
        """All that stands where a run writes its files, whoever wrote it; and what bars the way to such a place."""
        return sorted(_places(self.root, NAMES, may_be_links=True))

    def clear(self) -> None:
        """Removes a run, the newest state first, so that a crash meanwhile leaves an older run or none.

        Only files that the run, or an evaluation of its best network, wrote are removed.
        """
        self.drop_states_after(-1)
        self.evaluations.clear()
        for own in self._own.values():
            if own.folder != self.root:
                own.clear()
        self.remove(self.config)
        for own in self._own.values():
            own.forget_if_empty()

    def drop_states_after(self, generation: int) -> None:
        """Removes the states of later generations, the newest first."""
        for number, path in self.states():
            if number > generation:
                self.remove(path)
                self.remove(self.progress(number))
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()
                sync_folder(self.checkpoints)

    def write_history(self, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write(self.history, text.getvalue().encode(errors="backslashreplace"))

    def lock(self) -> None:
        """Locks the run for this process, and removes what interrupted writes have left.

        Raises `InputError` where another process holds it, or where the folder cannot be written.
        """
        self._lock.take()
        for own in self._own.values():
            own.sweep()

    def unlock(self) -> None:
        self._lock.release()


def _places(folder: Path, names: Tree, may_be_links: bool = False) -> Iterator[Path]:
    """The files of a tree that are there; also links and files that stand where it has folders, folders for files."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        for pattern, inside in names.items():
            if re.fullmatch(pattern, path.name):
                if inside is not None and path.is_dir() and (may_be_links or not path.is_symlink()):
                    yield from _places(path, inside)
                else:
                    yield path
