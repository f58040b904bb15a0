"""The files of a run."""

from __future__ import annotations

from pathlib import Path

from records.texts import JobKey
from storage.directory import RunDirectory
from storage.files import write_durably


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
