"""Which folders are splits and which are classes: by common names, and by what lies in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pictures import brightness_fits_labels, counts, load, refusal, write_pictures


def splits(folder: Path, *names: str) -> Path:
    """Ten pictures of each of two classes in the first folder, four in each of the others."""
    for number, name in enumerate(names):
        write_pictures(folder / name, count=4 if number else 10)
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "test"), [18, 2, 8]),
        (("Training", "Testing"), [18, 2, 8]),
        (("TRAIN", "VALID", "TEST"), [20, 8, 8]),
        (("train", "dev"), [16, 8, 4]),
        (("train", "dev", "test"), [20, 8, 8]),
        (("train", "validation"), [16, 8, 4]),
        (("training_set", "test_set"), [18, 2, 8]),
        (("trainset", "testset"), [18, 2, 8]),
        (("train-images", "val-images", "test-images"), [20, 8, 8]),
        (("seg_train/seg_train", "seg_test/seg_test"), [18, 2, 8]),
        (("training_set/training_set", "test_set/test_set"), [18, 2, 8]),
        (("train",), [14, 2, 4]),
    ],
)
def test_common_names_of_splits_are_understood(tmp_path: Path, names: tuple[str, ...], expected: list[int]) -> None:
    data = load(splits(tmp_path, *names))
    assert counts(data) == expected
    assert data.class_names == ("cat", "dog")
    assert brightness_fits_labels(data)
    assert data.notes == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("val", "test"), "'test', 'val' look like splits, but there are no training images"),
        (("train", "eval"), "'eval' holds folders of the same names as train, but its name does not say"),
        (("train", "test", "holdout"), "'holdout' holds folders of the same names"),
        (("train", "training"), "train and training are both there; keep one of them"),
        (("train", "val", "dev"), "dev and val are both there"),
    ],
)
def test_splits_that_are_not_understood_are_refused_with_what_to_do(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    found = refusal(lambda: load(splits(tmp_path, *names)))
    assert message in found
    assert "name the folders of the splits train, val and test" in found or "keep one of them" in found


@pytest.mark.parametrize("name", ["train", "test", "val", "dev", "Training"])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_class_may_be_called_like_a_split(tmp_path: Path, name: str, hidden: bool) -> None:
    folder = write_pictures(tmp_path)
    (folder / "cat").rename(folder / name)
    if hidden:
        (folder / name / ".ipynb_checkpoints").mkdir()
    data = load(folder)
    assert set(data.class_names) == {"dog", name}
    assert counts(data) == [14, 2, 4]


def test_splits_without_class_folders_are_no_classes(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path)
    (folder / "cat").rename(folder / "train")
    (folder / "dog").rename(folder / "test")
    assert "'test', 'train' look like splits, but hold no class folders" in refusal(lambda: load(folder))


def test_a_class_called_train_that_has_folders_beside_others_is_asked_about(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path)
    (folder / "cat").rename(folder / "train")
    (folder / "train" / "steam").mkdir()
    (folder / "train" / "0.png").rename(folder / "train" / "steam" / "0.png")
    message = refusal(lambda: load(folder))
    assert "train looks like a split, since it holds folders, and 'dog' like classes" in message


def test_folders_beside_splits_are_told(tmp_path: Path) -> None:
    folder = splits(tmp_path, "train", "test")
    (folder / "labels").mkdir()
    (folder / "labels" / "labels.csv").write_text("")
    assert load(folder).notes == ("left out beside 'test', 'train': 'labels'",)


def test_pictures_to_predict_beside_splits_are_told(tmp_path: Path) -> None:
    folder = splits(tmp_path, "train")
    (folder / "test").mkdir()
    (folder / "train" / "cat" / "0.png").rename(folder / "test" / "0.png")
    data = load(folder)
    assert sum(counts(data)) == 19
    assert data.notes == ("left out beside 'train': 'test'",)


def test_classes_that_all_hold_the_same_folders_are_told(tmp_path: Path) -> None:
    folder = splits(tmp_path, "fold1", "fold2", "fold3")
    [note] = load(folder).notes
    assert "'fold1', 'fold2', 'fold3' are read as classes, and each holds 'cat', 'dog'" in note
