"""Durable writes, links and sealed files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.errors import SaveError
from storage.files import DamagedFile, make_durable, read_sealed, sealed, write_durably, write_whole

CONTENT: dict[str, Any] = {
    "key": "ab",
    "status": "done",
    "epochs": [{"train_loss": 0.1, "score": 2 / 3, "loss": 1e-17}],
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_a_durable_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for content in (b"first", b"second"):
        write_durably(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(SaveError, match=f"cannot write {path}: No space left"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_content_is_on_disk_before_the_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def logged_fsync(descriptor: int) -> None:
        steps.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def logged_rename(source: Path, target: Path) -> None:
        steps.append(f"rename {source.name} {target.name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "rename", logged_rename)
    write_durably(tmp_path / "file", b"content")
    temporary = f".file.{os.getpid()}.evolution.tmp"
    assert steps == [f"fsync {temporary}", f"rename {temporary} file", f"fsync {tmp_path.name}"]


@given(content=st.dictionaries(st.text(), json_values, max_size=5))
def test_a_sealed_file_gives_its_content_back(
    content: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("seal") / "file.json"
    path.write_bytes(sealed("kind", content))
    assert read_sealed(path, "kind") == content


def test_a_number_that_became_infinite_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(sealed("kind", {"loss": 1e-17}).replace(b"1e-17", b"1e917"))
    with pytest.raises(DamagedFile, match="Out of range"):
        read_sealed(path, "kind")


@given(data=st.data())
def test_a_change_of_any_byte_is_noticed_or_changes_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damage") / "file.json"
    whole = sealed("kind", CONTENT)
    position = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:position] + bytes([data.draw(st.integers(0, 255))]) + whole[position + 1 :])
    try:
        content = read_sealed(path, "kind")
    except DamagedFile:
        return
    assert content == CONTENT


@given(length=st.integers(0, len(sealed("kind", CONTENT)) - 2))
def test_a_torn_file_is_noticed(length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("torn") / "file.json"
    path.write_bytes(sealed("kind", CONTENT)[:length])
    with pytest.raises(DamagedFile):
        read_sealed(path, "kind")


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(sealed("training_result", {}))
    with pytest.raises(DamagedFile, match=r"expected a 'ga_state' file of schema 1, found 'training_result'"):
        read_sealed(path, "ga_state")


def test_a_file_can_be_written_now_and_made_durable_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    path = tmp_path / "results" / "gen1" / "ind1" / "best_model.pt"
    write_whole(path, b"weights")
    assert (path.read_bytes(), synced) == (b"weights", [])
    assert [item.name for item in path.parent.iterdir()] == ["best_model.pt"]
    make_durable(path)
    assert synced == [place.stat().st_ino for place in (path, *list(path.parents)[:4])]


def test_a_file_that_is_not_there_cannot_be_made_durable(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="cannot write"):
        make_durable(tmp_path / "missing")
