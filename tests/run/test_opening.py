"""The door of a run: what is refused before anything is touched, and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from records import InputError, RunFault
from run.opening import open_folder
from run.request import Request
from storage.adoption import adopt, foreign_files
from storage.checkpoint import newest_run, save_state
from storage.directory import RunDirectory
from storage.lock import LOCK_NAME
from storage.own_files import LIST_NAME
from tests.faults.others import files_of, snapshot
from tests.faults.small_run import birth, fingerprint, inline


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where a small run has been taken to its end."""
    inline(tmp_path / "runs" / "one")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "one"


def request(folder: Path, **flags: object) -> Request:
    return Request.of(output_dir=folder, dataset="digits", **flags)


def test_a_folder_with_a_run_is_refused_with_a_free_one_to_copy(there: Path) -> None:
    with pytest.raises(InputError, match=r"holds another run; .* --output_dir runs/digits-2, or remove it by --overwr"):
        open_folder(request(there))
    Path("runs/digits-2").mkdir()
    with pytest.raises(InputError, match="--output_dir runs/digits-3,"):
        open_folder(request(there))
    open_folder(request(there, overwrite=True))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_persons_file_in_the_way_is_named_and_left(tmp_path: Path, overwrite: bool) -> None:
    for name in ("best_model/best_model.pt", "results/report.html"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"mine")
    before = snapshot(tmp_path)
    with pytest.raises(
        InputError, match=r"would replace .*/best_model\.pt and 1 more file, not written by this program"
    ):
        open_folder(request(tmp_path, overwrite=overwrite))
    assert snapshot(tmp_path) == before


def test_what_is_left_of_a_run_without_its_states_is_kept_until_it_is_removed_on_purpose(there: Path) -> None:
    for number, path in RunDirectory(there).states():
        path.unlink()
        assert number >= 0
    with pytest.raises(InputError, match=r"of a run that cannot be resumed; .* --overwrite"):
        open_folder(request(there))
    run, _ = open_folder(request(there, overwrite=True))
    run.clear()
    assert files_of(there) == []


def test_the_marks_that_keep_empty_folders_in_git_count_as_nothing(tmp_path: Path) -> None:
    for name in ("results", "checkpoints"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".gitignore").write_text("*\n!.gitignore\n")
    open_folder(request(tmp_path))
    inline(tmp_path)
    RunDirectory(tmp_path).clear()
    assert [path.name for path in files_of(tmp_path)] == [".gitignore", ".gitignore"]


def test_folders_that_a_person_linked_to_another_disk_stay_usable(tmp_path: Path) -> None:
    for name in ("results", "checkpoints", "best_model"):
        (tmp_path / "scratch" / name).mkdir(parents=True)
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / name).symlink_to(tmp_path / "scratch" / name)
    inline(tmp_path / "run")
    inline(tmp_path / "plain")
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "plain")
    open_folder(Request.of(resume=tmp_path / "run"))
    RunDirectory(tmp_path / "run").clear()
    assert files_of(tmp_path / "scratch") == []
    assert (tmp_path / "run" / "results").is_symlink()


def test_a_run_of_a_version_that_kept_no_list_is_adopted(there: Path) -> None:
    for path in there.rglob(LIST_NAME):
        path.unlink()
    (there / "best_model" / "model.docx").write_bytes(b"mine")
    run, _ = open_folder(Request.of(resume=there))
    assert foreign_files(run) == []
    adopt(run)
    assert run.foreign() == []
    run.clear()
    assert files_of(there) == [there / "best_model" / "model.docx"]


def test_a_state_that_somebody_put_there_adopts_no_file_of_a_person(tmp_path: Path) -> None:
    save_state(RunDirectory(tmp_path), birth(0))
    mine = [tmp_path / "run.toml", tmp_path / "best_model" / "best_model.pt", tmp_path / "results/gen1/ind1/info.json"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"would replace .* and 2 more files, .* and resume the run then"):
        open_folder(Request.of(resume=tmp_path))
    adopt(RunDirectory(tmp_path))
    RunDirectory(tmp_path).clear()
    assert files_of(tmp_path) == sorted(mine)


def test_without_a_path_the_newest_run_is_resumed(there: Path) -> None:
    inline(Path("a/b/c"))
    inline(Path("a/b/c/d"))  # too deep to be found
    inline(Path(".hidden"))
    os.utime(RunDirectory(there).states()[0][1], (1, 1))
    assert newest_run() == Path("a/b/c")
    os.utime(RunDirectory(Path("a/b/c")).states()[0][1], (0, 0))
    assert newest_run() == Path("runs/one")
    Path("empty").mkdir()
    with pytest.raises(InputError, match=r"there is no run in .*empty"):
        newest_run(Path("empty"))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_that_is_removed_or_replaced_stops_the_run(tmp_path: Path, replaced: bool) -> None:
    """Nobody else gets in meanwhile, as the folder is locked, too."""
    run = RunDirectory(tmp_path)
    run.lock()
    save_state(run, birth(0))
    (tmp_path / LOCK_NAME).unlink()
    if replaced:
        (tmp_path / LOCK_NAME).touch()
    with pytest.raises(InputError, match="in use by another process"):
        RunDirectory(tmp_path).lock()
    for act in (lambda: save_state(run, birth(0)), run.foreign, run.clear):
        with pytest.raises(RunFault, match="lock was removed or replaced while this run worked"):
            act()
    run.unlock()
    assert (tmp_path / LOCK_NAME).exists() == replaced
    RunDirectory(tmp_path).lock()


@pytest.mark.parametrize("content", [b"mine", b"process of photosynthesis\n", None])
def test_a_file_with_the_name_of_the_lock_is_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run" / LOCK_NAME
    path.parent.mkdir()
    if content is None:
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="not a lock of this program"):
        RunDirectory(tmp_path / "run").lock()
    assert content is None or path.read_bytes() == content
    assert not (tmp_path / "elsewhere").exists()
