"""Which pictures there are in folders: what is hidden, linked, of another kind, or named alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unicodedata import normalize

import pytest
from PIL import Image

from image_data.listing import TOOL_FOLDERS
from tests.pictures import brightness_fits_labels, counts, load, refusal, write_pictures
from tests.program import ROOT


@pytest.mark.parametrize("name", [".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", *sorted(TOOL_FOLDERS)])
@pytest.mark.parametrize("place", ["", "cat", "cat/more"])
def test_what_systems_and_tools_leave_is_no_class_and_holds_no_picture(tmp_path: Path, name: str, place: str) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "cat" / "more").mkdir()
    (folder / "cat" / "0.png").rename(folder / "cat" / "more" / "0.png")
    expected = load(folder).fingerprint
    left = folder / place / name / "deeper"
    left.mkdir(parents=True)
    Image.new("RGB", (3, 3)).save(left / "0.png")
    data = load(folder)
    assert data.fingerprint == expected
    assert data.notes == ()


def test_a_class_may_have_underscores_around_its_name(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "cat").rename(folder / "__background__")
    assert load(folder).class_names == ("__background__", "dog")


def test_what_is_left_out_beside_pictures_is_counted(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    for name in ("a.heic", "b.HEIC", "notes.txt", "LICENSE", ".hidden", "Thumbs.db", "desktop.ini"):
        (folder / "cat" / name).write_text("no picture")
    [note] = load(folder).notes
    assert note.startswith("left out in the class folders: 2 × .heic, 1 × ")
    assert "1 × .txt" in note
    assert "1 × without an ending" in note
    assert ".db" not in note.partition("; read is ")[0]


@pytest.mark.parametrize("ending", ["jfif", "JFIF", "jpe", "mpo"])
def test_other_endings_of_jpeg_are_read(tmp_path: Path, ending: str) -> None:
    folder = write_pictures(tmp_path / "pets")
    for number in range(10):
        Image.new("RGB", (12, 10), (220, 220, 220)).save(folder / "cat" / f"{number}.{ending}", "JPEG")
    data = load(folder)
    assert sum(counts(data)) == 30
    assert brightness_fits_labels(data)
    assert data.notes == ()


@pytest.mark.parametrize("links", [["cat/again -> ."], ["cat/a -> .", "cat/b -> ."], ["cat/up -> ..", "dog/up -> .."]])
@pytest.mark.timeout(30)
def test_a_link_back_multiplies_no_picture(tmp_path: Path, links: list[str]) -> None:
    folder = write_pictures(tmp_path / "pets")
    expected = load(folder).fingerprint
    for link in links:
        place, target = link.split(" -> ")
        (folder / place).symlink_to(target)
    data = load(folder)
    assert data.fingerprint == expected
    assert f"{len(links)} × link to a folder that is read already" in data.notes[0]


@pytest.mark.parametrize("target", ["dog", "dog/more"])
def test_a_link_puts_no_picture_of_one_class_into_another(tmp_path: Path, target: str) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "dog" / "more").mkdir()
    (folder / "dog" / "0.png").rename(folder / "dog" / "more" / "0.png")
    expected = load(folder).fingerprint
    (folder / "cat" / "link").symlink_to(folder / target)
    assert load(folder).fingerprint == expected


def test_a_link_puts_no_picture_of_one_split_into_another(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_pictures(tmp_path / part)
    (tmp_path / "train" / "cat" / "link").symlink_to(tmp_path / "test" / "cat")
    assert counts(load(tmp_path)) == [18, 2, 20]


def test_pictures_elsewhere_are_read_through_links(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    expected = load(folder).fingerprint
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "cat").rename(elsewhere / "felines")
    (folder / "cat").symlink_to(elsewhere / "felines")
    assert load(folder).fingerprint == expected
    (elsewhere / "felines" / "0.png").rename(elsewhere / "0.png")
    (folder / "cat" / "0.png").symlink_to(elsewhere / "0.png")
    assert load(folder).fingerprint == expected
    (folder / "dog" / "more").symlink_to(write_pictures(tmp_path / "other") / "dog")
    assert sum(counts(load(folder))) == 30


@pytest.mark.parametrize(("name", "target"), [("eel", "cat"), ("all", "."), ("eel", "cat/more")])
def test_a_class_that_is_a_link_to_another_is_refused(tmp_path: Path, name: str, target: str) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "cat" / "more").mkdir()
    (folder / name).symlink_to(target)
    message = refusal(lambda: load(folder))
    assert str(folder / name) in message
    assert "are the same folder; remove one of them" in message


def test_the_same_folder_may_serve_to_validate_and_to_test(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_pictures(tmp_path / part)
    (tmp_path / "test").symlink_to("val")
    assert counts(load(tmp_path)) == [20, 20, 20]


def test_a_link_to_a_missing_picture_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "cat" / "y.png").symlink_to("/nonexistent/y.png")
    assert f"cannot read the picture {folder / 'cat' / 'y.png'} (No such file" in refusal(lambda: load(folder))


@pytest.mark.timeout(30)
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    expected = load(folder).fingerprint
    os.mkfifo(folder / "cat" / "z.png")
    (folder / "dog" / "z.png").symlink_to("/dev/zero")
    data = load(folder)
    assert data.fingerprint == expected
    assert "2 × pipe or device" in data.notes[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_read_is_named_to_a_person_who_is_not_root(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "cat" / "more").mkdir(mode=0o700)
    code = (
        "import os, sys; from image_data import load_image_data; from records import DataConfig, InputError\n"
        "load_image_data(DataConfig(dataset=sys.argv[1])); os.setuid(65534)\n"
        "try: load_image_data(DataConfig(dataset=sys.argv[1]))\n"
        "except InputError as error: print(error)"
    )
    for above in folder.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(0o711)
    ended = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == f"cannot read the folder {folder / 'cat' / 'more'} (Permission denied)\n"


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, scan = write_pictures(tmp_path / "pets"), os.scandir
    (folder / "cat" / "more").mkdir()

    def refused(path: str | Path) -> object:
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert f"cannot read the folder {folder / 'cat' / 'more'} (Permission denied)" in refusal(lambda: load(folder))


def test_class_folders_that_look_alike_are_refused(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    for name in (normalize("NFC", "éclair"), normalize("NFD", "éclair")):
        place = folder / name
        place.mkdir()
        Image.new("RGB", (12, 10)).save(place / "0.png")
    assert f"several folders look like {normalize('NFC', 'éclair')!r}" in refusal(lambda: load(folder))


def test_classes_of_splits_that_only_spell_a_name_otherwise_are_the_same(tmp_path: Path) -> None:
    for part, name in (("train", normalize("NFC", "étoile")), ("test", normalize("NFD", "étoile"))):
        write_pictures(tmp_path / part)
        (tmp_path / part / "cat").rename(tmp_path / part / name)
        (tmp_path / part / "dog").rename(tmp_path / part / "ez")
    data = load(tmp_path)
    assert data.class_names == ("ez", normalize("NFC", "étoile"))
    assert [int(image.mean()) < 100 for image in data.test_images] == [label == 0 for label in data.test_labels]
