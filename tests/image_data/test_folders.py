"""Images in folders of class folders: what is read, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_data import folders, pictures
from records import InputError
from tests.pictures import brightness_fits_labels, counts, images_of, load, refusal, write_npz, write_pictures


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("P", 3), ("1", 1), ("RGBA", 3)])
def test_a_folder_of_class_folders_is_a_data_set(tmp_path: Path, mode: str, channels: int) -> None:
    data = load(write_pictures(tmp_path / "pets", mode))
    assert data.input_shape == (channels, 10, 12)
    assert data.class_names == ("cat", "dog")
    assert brightness_fits_labels(data)
    assert [len(data.split(name)[1]) for name in ("train", "validation", "test")] == [14, 2, 4]


def test_grey_and_coloured_pictures_together_are_read_as_coloured(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L")
    Image.new("RGB", (12, 10), (250, 200, 150)).save(folder / "cat" / "3.png")
    data = load(folder)
    assert data.input_shape == (3, 10, 12)
    assert brightness_fits_labels(data)


def test_test_pictures_come_from_the_test_folder_where_there_is_one(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pets" / "train", count=10)
    write_pictures(tmp_path / "pets" / "test", count=3)
    data = load(tmp_path / "pets")
    assert [len(data.split(name)[1]) for name in ("train", "validation", "test")] == [18, 2, 6]
    assert sorted(data.test_images[:, 0, 0, 0]) == [20, 21, 22, 200, 201, 202]
    assert brightness_fits_labels(data)


def test_pictures_of_different_sizes_are_brought_to_one(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", sizes=((12, 10), (30, 20), (9, 40)))
    assert load(folder).input_shape == (3, 64, 64)
    small = load(folder, image_size="16")
    assert small.input_shape == (3, 16, 16)
    assert brightness_fits_labels(small)


def test_of_an_oblong_picture_the_middle_square_is_kept(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L", sizes=((60, 20),))
    for path in folder.glob("*/*.png"):
        with Image.open(path) as picture:
            wide = np.asarray(picture).copy()
        wide[:, :15], wide[:, 45:] = 0, 255
        Image.fromarray(wide).save(path)
    data = load(folder, image_size="10")
    assert brightness_fits_labels(data)
    assert (data.train_images == data.train_images[:, :1, :1]).all()


def test_pictures_of_one_size_are_resized_where_asked(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L", sizes=((7, 7),))
    assert "at least 8×8 pixels" in refusal(lambda: load(folder))
    assert load(folder, image_size="8").input_shape == (1, 8, 8)


@pytest.mark.parametrize("part", ["cat/4.png", "dog/0.png"])
@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_an_unreadable_picture_is_named(tmp_path: Path, part: str, content: bytes) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / part).write_bytes(content)
    message = refusal(lambda: load(folder))
    assert str(folder / part) in message


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    assert "one folder of images for each class" in refusal(lambda: load(tmp_path))


def test_a_class_folder_without_pictures_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "eel").mkdir()
    assert "eel" in refusal(lambda: load(folder))


def test_classes_that_differ_between_training_and_test_are_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pets" / "train")
    write_pictures(tmp_path / "pets" / "test")
    (tmp_path / "pets" / "test" / "dog").rename(tmp_path / "pets" / "test" / "eel")
    message = refusal(lambda: load(tmp_path / "pets"))
    assert "'dog'" in message
    assert "'eel'" in message


def test_a_class_of_two_pictures_cannot_be_split_three_ways(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", count=2)
    assert "at least 3, one each to train and to validate and to test" in refusal(lambda: load(folder))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_picture_that_was_cut_off_is_named(tmp_path: Path, kind: str) -> None:
    folder = write_pictures(tmp_path / "pets", sizes=((40, 40),))
    path = folder / "dog" / f"99.{kind}"
    Image.fromarray(images_of(40, 40, 3)).save(path)
    path.write_bytes(path.read_bytes()[:700])
    assert str(path) in refusal(lambda: load(folder))


def test_sixteen_bit_pictures_keep_their_content(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L", sizes=((8, 8),))
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        Image.fromarray(np.full((8, 8), 3000 * number, dtype=np.uint16)).save(path)
    data = load(folder)
    assert len(np.unique(data.train_images)) > 10


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_a_validation_folder_is_used_as_it_is(tmp_path: Path, name: str) -> None:
    for part, count in (("train", 10), (name, 4), ("test", 3)):
        write_pictures(tmp_path / part, "L", count=count)
    data = load(tmp_path)
    assert counts(data) == [20, 8, 6]
    assert sorted(data.val_images[:, 0, 0, 0]) == [20, 21, 22, 23, 200, 201, 202, 203]
    assert brightness_fits_labels(data)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "train")
    assert load(tmp_path).class_names == ("dog", "train")


def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L")
    expected = load(folder).fingerprint
    for path in folder.glob("*/*.png"):
        with Image.open(path) as picture:
            deep = (np.asarray(picture).astype(np.uint16) << 8) + 100
        Image.fromarray(deep).save(path.with_suffix(".tif"))
        path.unlink()
    assert load(folder).fingerprint == expected


def test_pictures_that_a_limit_drops_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_pictures(tmp_path / "pets", count=40)
    read, one = list[str](), pictures.read_picture

    def counted(path: str, *rest: Any) -> Any:
        read.append(path)
        return one(path, *rest)

    monkeypatch.setattr(folders, "read_picture", counted)
    data = load(folder, train_limit=10)
    assert counts(data) == [8, 2, 16]
    assert len(read) == len(set(read)) == 26


def test_names_of_classes_in_any_writing_are_kept(tmp_path: Path) -> None:
    names = ["Äpfel", "<b>bold</b>", "猫", "a" * 120]
    folder = write_pictures(tmp_path / "own")
    for name in names:
        (folder / name.replace("/", "∕")).mkdir()
        Image.new("RGB", (12, 10)).save(folder / name.replace("/", "∕") / "0.png")
        for number in (1, 2):
            Image.new("RGB", (12, 10)).save(folder / name.replace("/", "∕") / f"{number}.png")
    assert set(load(folder).class_names) == {"cat", "dog", *(name.replace("/", "∕") for name in names)}
    arrays = write_npz(tmp_path / "a.npz", classes=np.array(names))
    assert load(arrays).class_names == tuple(names)


def test_what_an_archive_or_a_desktop_leaves_behind_is_no_class_and_no_picture(tmp_path: Path) -> None:
    expected = load(write_pictures(tmp_path / "pets")).fingerprint
    for stray in (".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / "pets" / stray).mkdir()
    for stray in ("notes.txt", ".DS_Store", "cat/notes.txt", "cat/._0.png", "dog/Thumbs.db"):
        (tmp_path / "pets" / stray).write_text("no picture")
    assert load(tmp_path / "pets").fingerprint == expected


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "eel").mkdir()
    (folder / "eel" / "eel.heic").write_bytes(b"HEIC")
    message = refusal(lambda: load(folder))
    assert f"{folder / 'eel'}: this class has no pictures" in message
    assert ".png" in message
    assert "left out in the class folders: 1 × .heic" in message


def test_a_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "dog").rename(tmp_path / "dog")
    assert "at least 2 classes are needed, but there is 1" in refusal(lambda: load(folder))


@pytest.mark.parametrize("part", ["val", "test"])
def test_classes_that_are_missing_or_too_many_are_named(tmp_path: Path, part: str) -> None:
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / part)
    (tmp_path / part / "dog").rename(tmp_path / part / "eel")
    message = refusal(lambda: load(tmp_path))
    assert f"{tmp_path / part} lacks 'dog', and has 'eel', which the training images lack" in message


def test_two_validation_folders_are_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "valid"):
        write_pictures(tmp_path / part)
    assert "val and valid are both there; keep one" in refusal(lambda: load(tmp_path))


def test_a_damaged_picture_is_named_though_its_header_is_sound(tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "pets") / "cat" / "3.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cannot read the picture .*3\.png"):
        load(tmp_path / "pets")


@pytest.mark.parametrize("kind", [*pictures.FORMATS, "MPO"])
def test_a_picture_is_read_by_its_content_whatever_its_ending(tmp_path: Path, kind: str) -> None:
    write_pictures(tmp_path / "d")
    other = {"save_all": True, "append_images": [Image.new("RGB", (12, 10))]} if kind == "MPO" else {}
    path = tmp_path / "d" / "cat" / "3.png"
    Image.new("RGB", (12, 10), (200, 200, 200)).save(path, kind, **other)
    with Image.open(path) as picture:
        assert picture.format == kind
    assert counts(load(tmp_path / "d")) == [14, 2, 4]


@pytest.mark.parametrize("kind", ["EPS", "TGA", "PCX", "ICO", "SGI", "DDS", "MSP"])
def test_a_picture_of_a_format_that_is_not_meant_is_named_and_nothing_is_started_for_it(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "d")
    path = tmp_path / "d" / "cat" / "3.png"
    Image.new("1" if kind == "MSP" else "RGB", (16, 16)).save(path, kind)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    assert f"cannot read the picture {path}" in refusal(lambda: load(tmp_path / "d"))
