"""Durable writes, seals, the lock, and the checkpoint."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import InputError, TrainingResult
from records.canonical import to_json
from records.errors import SaveError
from records.texts import JobKey
from records.trainings import Epoch
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.files import DamagedFile, make_durable, read_sealed, sealed, write_durably, write_whole
from storage.results import find_result, seal_result

ROOT = Path(__file__).parent.parent.parent
RESULT = TrainingResult(key=JobKey("ab"), status="done", epochs=(Epoch(train_loss=0.1, score=2 / 3, loss=1e-17),))

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
    temporary = f".file.{os.getpid()}.tmp"
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
    with pytest.raises(DamagedFile, match="ValueError"):
        read_sealed(path, "kind")


@given(data=st.data())
def test_a_change_of_any_byte_is_noticed_or_changes_nothing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damage") / "file.json"
    whole = sealed("kind", to_json(RESULT))
    position = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:position] + bytes([data.draw(st.integers(0, 255))]) + whole[position + 1 :])
    try:
        content = read_sealed(path, "kind")
    except DamagedFile:
        return
    assert content == json.loads(json.dumps(to_json(RESULT)))


@given(length=st.integers(0, len(sealed("kind", to_json(RESULT))) - 2))
def test_a_torn_file_is_noticed(length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("torn") / "file.json"
    path.write_bytes(sealed("kind", to_json(RESULT))[:length])
    with pytest.raises(DamagedFile):
        read_sealed(path, "kind")


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(sealed("training_result", {}))
    with pytest.raises(DamagedFile, match=r"expected a 'ga_state' file of schema 1, found 'training_result'"):
        read_sealed(path, "ga_state")


def test_a_sealed_result_is_found_to_the_last_bit(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert find_result(run, JobKey("ab")) is None
    seal_result(run, RESULT)
    assert find_result(run, JobKey("ab")) == RESULT


def test_a_result_under_another_jobs_name_is_damaged(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    seal_result(run, RESULT)
    run.job(JobKey("ab")).rename(run.job(JobKey("cd")))
    with pytest.raises(DamagedFile, match="another job"):
        find_result(run, JobKey("cd"))


def test_damaged_files_are_set_aside_under_new_names(tmp_path: Path) -> None:
    run, names = RunDirectory(tmp_path), []
    for _ in range(3):
        (tmp_path / "x.json").touch()
        names.append(run.set_aside(tmp_path / "x.json").name)
    assert names == ["x.json.damaged", "x.json.2.damaged", "x.json.3.damaged"]


def test_states_are_listed_newest_first_by_number(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for number in (0, 2, 10, 9):
        write_durably(run.state(number), b"")
    (run.checkpoints / "generation_x").mkdir()
    (run.checkpoints / "generation_11").mkdir()
    assert [number for number, _ in run.states()] == [10, 9, 2, 0]


def test_a_folder_without_a_run_and_one_with_damaged_states_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        load_state(tmp_path)
    write_durably(RunDirectory(tmp_path).state(3), b"{}")
    with pytest.raises(InputError, match=r"no state of .* is sound .*--overwrite"):
        load_state(tmp_path)


HOLDER = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from storage.directory import RunDirectory
RunDirectory(Path({folder!r})).lock()
print("locked", flush=True)
time.sleep(60)
"""


def test_a_lock_names_its_holder_and_falls_with_it(tmp_path: Path) -> None:
    code = HOLDER.format(root=str(ROOT), folder=str(tmp_path))
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    run = RunDirectory(tmp_path)
    with pytest.raises(InputError, match=f"in use by process {holder.pid} on .*--output_dir"):
        run.lock()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    run.lock()
    run.unlock()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "locks have no effect on the file system of"),
        (
            OSError(errno.ENOLCK, "No locks available"),
            "cannot lock .*: No locks available; choose another --output_dir",
        ),
    ],
)
def test_a_file_system_without_locks_is_refused(
    answer: OSError | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        if answer is not None:
            raise answer

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(InputError, match=said):
        RunDirectory(tmp_path).lock()


def test_a_lock_that_was_given_back_leaves_no_trace(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a" / "b")
    run.lock()
    run.unlock()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_write_left_is_swept_when_the_folder_is_taken(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    leftover = run.jobs / ".key.json.123.tmp"
    write_durably(leftover, b"half")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".mine.tmp").touch()
    run.lock()
    run.unlock()
    assert not leftover.exists()
    assert (tmp_path / "elsewhere" / ".mine.tmp").exists()


def test_clearing_a_run_leaves_what_is_not_of_the_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    own = [
        run.state(0),
        run.state(1),
        run.job(JobKey("ab")),
        run.weights("gen1/ind1"),
        run.history,
        run.best_model,
        run.best_info,
    ]
    for path in [*own, tmp_path / "notes.txt", run.results / "mine.txt"]:
        write_durably(path, b"")
    run.clear()
    assert not any(path.exists() for path in own)
    assert (tmp_path / "notes.txt").exists()
    assert (run.results / "mine.txt").exists()


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
