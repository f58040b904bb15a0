"""Which pictures there are in folders of class folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

import numpy as np

from image_data.pictures import ENDINGS
from image_data.source import Labels
from records import InputError

# What systems and tools leave in folders, in lower case, besides what is hidden.
TOOL_FOLDERS = {
    "__macosx", "__pycache__", "lost+found", "system volume information", "$recycle.bin", "recycler", "found.000",
    "@eadir", "#recycle", "@recycle", "@recently-snapshot", "_gsdata_", "_vti_cnf", "cvs",
}  # fmt: skip
TOOL_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
MOST_ENDINGS = 5  # in a note

Identity = tuple[int, int]  # device and inode of a folder


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder of class folders: class names in alphabetical order, paths and labels."""

    folder: Path
    class_names: list[str]
    paths: list[str]
    labels: Labels


@dataclass
class _Found:
    """What has been found so far in the class folders of one split."""

    seen: dict[Identity, str] = field(default_factory=dict)  # folders that have been read
    pictures: dict[str, list[str]] = field(default_factory=dict)  # of each class folder
    links: list[tuple[str, str]] = field(default_factory=list)  # to folders, and the class folder that they lie in


class Lister:
    """Lists the pictures of splits, each in the order of torchvision's ImageFolder.

    Each folder is read once, in whichever class it really lies: a link is followed only to a folder
    that belongs to no class otherwise. `left_out` counts what lies beside pictures and is not read.
    """

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()

    def listings(self, splits: Mapping[str, Path]) -> dict[str, Listing]:
        """Raises `InputError` for a folder that cannot be read or holds no pictures, and for classes named alike."""
        found = {name: self._classes(folder) for name, folder in splits.items()}
        seen = {identity: path for each in found.values() for identity, path in each.seen.items()}
        for each in found.values():
            each.seen = seen
            while each.links:
                link, class_folder = each.links.pop(0)
                if _identity(link) in seen:
                    self.left_out["link to a folder that is read already"] += 1
                else:
                    self._walk(each, link, class_folder)
        return {name: self._listing(folder, found[name]) for name, folder in splits.items()}

    def notes(self) -> list[str]:
        """What was left out, in words."""
        return [f"{self._left_out()}; read is {' '.join(ENDINGS)}"] if self.left_out else []

    def _left_out(self) -> str:
        most = self.left_out.most_common(MOST_ENDINGS)
        others = self.left_out.total() - sum(count for _, count in most)
        kinds = [f"{count:,} × {kind}" for kind, count in most] + ([f"{others:,} others"] if others else [])
        return f"left out in the class folders: {', '.join(kinds)}"

    def _classes(self, folder: Path) -> _Found:
        """Reads the class folders, links among them last."""
        found = _Found(seen={_identity(folder): str(folder)})
        names = visible_folders(folder)
        if not names:
            raise InputError(f"{folder}: expected one folder of images for each class, found no folder")
        _refuse_twins(folder, names)
        for name in sorted(names, key=lambda name: (folder / name).is_symlink()):
            path = os.path.join(folder, name)
            found.pictures[path] = []
            if (other := found.seen.get(_identity(path))) is not None:
                raise InputError(f"{path} and {other} are the same folder; remove one of them")
            self._walk(found, path, path)
        return found

    def _walk(self, found: _Found, top: str, class_folder: str) -> None:
        """Reads a folder and those within; remembers links to folders for later."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            if (identity := _identity(folder)) in found.seen:
                continue  # mounted twice
            found.seen[identity] = folder
            with os.scandir(folder) as entries:
                for entry in entries:
                    if is_left_behind(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_dir():
                        found.links.append((entry.path, class_folder))
                    elif self._is_picture(entry):
                        found.pictures[class_folder].append(entry.path)
        found.links.sort()

    def _is_picture(self, entry: os.DirEntry[str]) -> bool:
        if not entry.name.lower().endswith(ENDINGS):
            if entry.name.lower() not in TOOL_FILES:
                self.left_out[os.path.splitext(entry.name)[1].lower() or "without an ending"] += 1
            return False
        if entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
            return True  # also a link to a picture that is missing, which is named when it is read
        self.left_out["pipe or device"] += 1
        return False

    def _listing(self, folder: Path, found: _Found) -> Listing:
        names = sorted(os.path.basename(class_folder) for class_folder in found.pictures)
        paths, labels = list[str](), list[int]()
        for label, name in enumerate(names):
            pictures = found.pictures[os.path.join(folder, name)]
            if not pictures:
                here = f"; {self._left_out()}" if self.left_out else ""
                raise InputError(f"{folder / name}: this class has no pictures ({' '.join(ENDINGS)}){here}")
            # Folder by folder, as os.walk visits them in their order.
            paths += sorted(pictures, key=os.path.split)
            labels += [label] * len(pictures)
        # A name that is not UTF-8 could not be printed.
        shown = [os.fsencode(name).decode(errors="replace") for name in names]
        return Listing(folder, shown, paths, np.asarray(labels, dtype=np.int64))


def visible_folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, in alphabetical order, without what is hidden or left by tools."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not is_left_behind(entry.name))


def is_left_behind(name: str) -> bool:
    """Whether a file or folder is hidden, or of those that systems and tools leave."""
    return name.startswith(".") or name.lower() in TOOL_FOLDERS


def alike(name: str) -> str:
    """A form that two names share if a person cannot tell them apart."""
    return normalize("NFC", os.fsencode(name).decode(errors="replace"))


def _refuse_twins(folder: Path, names: list[str]) -> None:
    twins = [name for name, count in Counter(map(alike, names)).items() if count > 1]
    if twins:
        raise InputError(
            f"{folder}: several folders look like {twins[0]!r}, but are spelled with other characters; put their "
            "pictures into one of them"
        )


def _identity(path: str | Path) -> Identity:
    found = os.stat(path)
    return found.st_dev, found.st_ino
