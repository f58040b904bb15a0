"""The files of a run."""

from __future__ import annotations

from pathlib import Path

from records.texts import JobKey
from storage.directory import RunDirectory
from storage.files import write_durably

KEY = JobKey(64 * "a")


def test_damaged_files_are_set_aside_under_new_names(tmp_path: Path) -> None:
    run, names = RunDirectory(tmp_path), []
    for _ in range(3):
        run.write(tmp_path / "x.json", b"")
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
    """It has a name that no other program gives, and lies where the run has written before."""
    run = RunDirectory(tmp_path)
    run.write(run.job(KEY), b"whole")
    leftover = run.jobs / ".key.json.123.evolution.tmp"
    kept = [run.jobs / ".key.json.123.tmp", run.results / "mine" / ".key.json.123.evolution.tmp"]
    for path in (leftover, *kept):
        write_durably(path, b"half")
    run.lock()
    run.unlock()
    assert not leftover.exists()
    assert all(path.exists() for path in kept)


def test_clearing_a_run_leaves_what_is_not_of_the_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    own = [
        run.state(0),
        run.state(1),
        run.job(KEY),
        run.weights("gen1/ind1"),
        run.history,
        run.best_model,
        run.best_info,
        run.config,
    ]
    for path in own:
        run.write(path, b"")
    evaluation = run.best_model.with_name("evaluation.json")
    run.evaluations.hand_out(evaluation, b"{}")
    mine = [
        tmp_path / "notes.txt",
        run.results / "mine.txt",
        run.results / "genomes" / "human.fa",
        run.figures / "fig1.pdf",
        run.results / "final" / "paper.tex",
        run.state(1).with_name("notes.txt"),
        run.best_model.with_name("resnet50.pt"),
    ]
    for path in mine:
        write_durably(path, b"mine")
    run.clear()
    assert not any(path.exists() for path in [*own, evaluation])
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(mine)
    assert all(path.read_bytes() == b"mine" for path in mine)
