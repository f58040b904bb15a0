"""The list of what the program wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from records import InputError
from storage.own_files import HEAD, LIST_NAME, ForeignFile, OwnFiles


@pytest.fixture
def own(tmp_path: Path) -> OwnFiles:
    return OwnFiles(tmp_path / "results", "evolution")


def again(own: OwnFiles) -> OwnFiles:
    """The same list, as another process reads it."""
    return OwnFiles(own.folder, own.writer)


def test_what_was_written_is_replaced_and_removed(own: OwnFiles) -> None:
    path = own.folder / "a" / "b.json"
    for content in (b"one", b"two"):
        again(own).write(path, content)
        assert path.read_bytes() == content
    assert again(own).remove(path)
    assert not path.exists()


@pytest.mark.parametrize("act", ["write", "hand_out", "link"])
def test_what_a_person_wrote_is_refused_by_name(own: OwnFiles, act: str) -> None:
    path, source = own.folder / "b.json", own.folder / "source"
    own.write(source, b"new")
    path.write_bytes(b"mine")
    with pytest.raises(ForeignFile, match=r"b\.json"):
        own.link(source, path) if act == "link" else getattr(own, act)(path, b"new")
    assert not own.remove(path)
    with pytest.raises(ForeignFile, match=r"b\.json"):
        own.set_aside(path)
    own.clear()
    assert path.read_bytes() == b"mine"


def test_a_file_that_a_person_put_where_one_was_removed_is_theirs(own: OwnFiles) -> None:
    path = own.folder / "b.json"
    own.write(path, b"ours")
    own.remove(path)
    path.write_bytes(b"mine")
    assert again(own).foreign([path]) == [path]


def test_a_file_that_was_handed_out_is_a_persons_once_they_changed_it(own: OwnFiles) -> None:
    path = own.folder / "model.py"
    own.hand_out(path, b"code")
    again(own).hand_out(path, b"better code")
    path.write_bytes(b"my code")
    with pytest.raises(InputError, match=r"model\.py was not written by this command, or was changed since; go away"):
        again(own).refuse_foreign([path], "go away")
    assert not again(own).remove(path)


def test_commands_do_not_replace_what_another_command_wrote(own: OwnFiles) -> None:
    path = own.folder / "best_model.pt"
    own.write(path, b"of a run")
    with pytest.raises(ForeignFile):
        OwnFiles(own.folder, "train_model").write(path, b"of a training")


@pytest.mark.parametrize("at", ["file", "folder", "above"])
def test_links_below_the_folder_are_not_followed(own: OwnFiles, tmp_path: Path, at: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "b").mkdir(parents=True)
    (elsewhere / "b" / "c.json").write_bytes(b"mine")
    path = own.folder / "a" / "b" / "c.json"
    own.write(path, b"ours")
    moved = {"file": path, "folder": path.parent, "above": path.parent.parent}[at]
    moved.rename(own.folder / "moved")
    moved.symlink_to({"file": elsewhere / "b" / "c.json", "folder": elsewhere / "b", "above": elsewhere}[at])
    with pytest.raises(ForeignFile, match="link"):
        own.write(path, b"ours")
    assert not own.remove(path)
    own.clear()
    own.sweep()
    assert (elsewhere / "b" / "c.json").read_bytes() == b"mine"


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "scratch")
    own = OwnFiles(tmp_path / "results", "evolution")
    own.write(own.folder / "a.json", b"ours")
    assert (tmp_path / "scratch" / "a.json").read_bytes() == b"ours"
    own.clear()
    own.forget_if_empty()
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("harm", [b"", b"{", b'{"writer": "evolution", "path": "a', bytes(20), b"\xff\n[]\n3\n"])
def test_a_list_that_was_torn_keeps_its_sound_lines(own: OwnFiles, harm: bytes) -> None:
    first, second = own.folder / "a.json", own.folder / "b.json"
    own.write(first, b"one")
    with open(own.list, "ab") as file:
        file.write(harm)
    again(own).write(second, b"two")
    assert again(own).owned() == [first, second]


@pytest.mark.parametrize("name", ["../mine", "/etc/passwd", "a/../../mine", "", ".", "a\0b", "x//y"])
def test_a_list_leads_nowhere_else(own: OwnFiles, name: str, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    own.write(own.folder / "a.json", b"ours")
    with open(own.list, "ab") as file:
        file.write(json.dumps({"writer": "evolution", "path": name}).encode() + b"\n")
    assert again(own).owned() == [own.folder / "a.json"]
    again(own).clear()
    assert (tmp_path / "mine").exists()


def test_a_file_with_the_name_of_the_list_is_refused(own: OwnFiles) -> None:
    own.folder.mkdir()
    own.list.write_bytes(b"my files")
    with pytest.raises(ForeignFile, match=LIST_NAME):
        own.write(own.folder / "a.json", b"ours")
    assert own.list.read_bytes() == b"my files"


def test_two_processes_add_to_one_list(own: OwnFiles) -> None:
    other = again(own)
    for number in range(3):
        own.write(own.folder / f"own{number}", b"")
        other.write(own.folder / f"other{number}", b"")
    assert len(again(own).owned()) == 6
    assert own.list.read_bytes().count(HEAD) == 1


@pytest.mark.parametrize("name", ["x" * 256, "é" * 200, "a/" * 2000 + "b", "\ud800"])
def test_a_list_with_a_name_that_no_file_can_have_is_read(own: OwnFiles, name: str) -> None:
    own.write(own.folder / "a", b"")
    with open(own.list, "a", encoding="utf-8") as file:
        file.write(json.dumps({"path": name, "writer": "evolution"}) + "\n")
    assert OwnFiles(own.folder, "evolution").owned() == [own.folder / "a"]
