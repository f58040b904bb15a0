"""Which folders of a data set are its splits, and which are its classes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_data.listing import alike, visible_folders
from image_data.pictures import ENDINGS
from records import InputError
from records.words import listed

WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
# What people add to these words: training_set, seg_train, test-images.
ADDITIONS = {"set", "images", "image", "imgs", "img", "data", "dataset", "split", "seg"}
NAMING = "name the folders of the splits train, val and test, with the same class folders in each"


@dataclass(frozen=True)
class _Child:
    """A folder in the folder of a data set: its own folders, and the split that its name means, if any."""

    name: str
    path: Path
    folders: tuple[str, ...]
    split: str | None

    @property
    def classes(self) -> set[str]:
        return set(map(alike, self.folders))


def find_splits(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The folder of each split, by name, and notes; without splits, the folder itself holds the classes to train on.

    A split is recognised by its name and by the class folders within. Raises `InputError` for
    folders that look like splits and are not understood.
    """
    children = [_child(folder / name) for name in visible_folders(folder)]
    splits: dict[str, list[_Child]] = {}
    for child in children:
        if child.split is not None and child.folders:
            splits.setdefault(child.split, []).append(child)
    _refuse_what_is_unclear(folder, children, splits)
    if "train" not in splits:
        return {"train": folder}, _note_on_what_may_be_splits(children)
    named = {each.name for [each] in splits.values()}
    others = [child.name for child in children if child.name not in named]
    notes = [f"left out beside {listed(sorted(named))}: {listed(others)}"] if others else []
    return {split: each.path for split, [each] in splits.items()}, notes


def _child(path: Path) -> _Child:
    """A folder; what was unpacked into a folder of the same name, as training_set/training_set, counts as one."""
    folders = visible_folders(path)
    if folders == [path.name]:
        path = path / path.name
        folders = visible_folders(path)
    return _Child(path.name, path, tuple(folders), _split_called(path.name))


def _split_called(name: str) -> str | None:
    """The split that a name means, in whatever case, alone or with the usual additions."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
    essential = [word for word in words if word not in ADDITIONS]
    whole = words if len(words) == 1 else essential
    if len(whole) != 1:
        return None
    [word] = whole
    return next((split for split, known in WORDS.items() if word.removesuffix("set") in known), None)


def _refuse_what_is_unclear(folder: Path, children: list[_Child], splits: Mapping[str, list[_Child]]) -> None:
    for several in splits.values():
        if len(several) > 1:
            names = " and ".join(each.name for each in several)
            raise InputError(f"{folder}: {names} are both there; keep one of them")
    found = [each for several in splits.values() for each in several]
    if not found and len(children) > 1 and all(child.split for child in children):
        raise InputError(
            f"{folder}: {listed([child.name for child in children])} look like splits, but hold no class folders; put "
            "the pictures into one folder for each class in each of them"
        )
    if "train" not in splits and len(found) > 1 and len({frozenset(each.classes) for each in found}) == 1:
        names = listed([each.name for each in found])
        raise InputError(f"{folder}: {names} look like splits, but there are no training images; {NAMING}")
    others = [child for child in children if child not in found]
    alike_others = [child.name for child in others if "train" in splits and child.classes & splits["train"][0].classes]
    if alike_others:
        raise InputError(
            f"{folder}: {listed(alike_others)} holds folders of the same names as {splits['train'][0].name}, but its "
            f"name does not say whether it is for validation or for testing; {NAMING}"
        )
    unused = [child.name for child in others if child.split is None and _holds_pictures(child.path)]
    if list(splits) == ["train"] and unused:
        raise InputError(
            f"{folder}: {splits['train'][0].name} looks like a split, since it holds folders, and {listed(unused)} "
            f"like classes; {NAMING}, or put the pictures of a class called train directly into its folder"
        )


def _note_on_what_may_be_splits(children: list[_Child]) -> list[str]:
    within = {frozenset(child.classes) for child in children}
    if len(children) < 2 or len(within) > 1 or len(common := within.pop()) < 2:
        return []
    return [
        f"{listed([child.name for child in children])} are read as classes, and each holds {listed(sorted(common))}; "
        f"if they are splits, {NAMING}"
    ]


def _holds_pictures(path: Path) -> bool:
    """Whether there are pictures in a folder, or in folders within."""
    return any(file.lower().endswith(ENDINGS) for _, _, files in os.walk(path) for file in files)
