"""Whole runs on real images, as processes; and everything that a person can type wrongly."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import evolution
from records import InputError
from records.errors import StopRequested
from search_space.genes import EXTENDED
from storage.checkpoint import load_state, read_progress, read_state
from storage.directory import RunDirectory
from storage.own_files import LIST_NAME
from tests.processes import alive_after, children_of

ROOT = Path(__file__).parent.parent
SMALL = ["--dataset", "digits", "--train_limit", "300", "--epochs", "1", "--batch_size", "32"]
SEARCH = ["--population", "4", "--generations", "3", "--elitism", "1"]
MEASURED = ("seconds", "images_per_second", "peak_memory_bytes", "device", "attempts")


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "evolution.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    out, err = process.communicate(timeout=200)
    assert process.returncode == status, err
    return out + err


def outcome(folder: Path) -> dict[str, object]:
    """All of a finished run that must not depend on machines, workers or interruptions."""
    states = sorted(folder.glob("checkpoints/generation_*/ga_state.json"), key=lambda path: len(str(path)))
    state = read_state(states[-1])
    with open(folder / "results/history.csv", encoding="utf-8", newline="") as file:
        history = [{name: row[name] for name in row if name not in MEASURED} for row in csv.DictReader(file)]
    results = {
        key: (result.status, result.epochs, result.weights_sha256, result.parameters)
        for key, result in state.results.items()
    }
    return {"generations": state.generations, "population": state.population, "results": results, "history": history}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that nobody disturbed, on one worker, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    text = finish(start(*SMALL, *SEARCH, "--cpu_workers", "1", "--output_dir", str(folder)))
    return folder, text


@pytest.mark.slow
def test_the_settings_that_a_run_writes_make_it_again(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = finished
    again = ["--config", str(folder / "run.toml"), "--cpu_workers", "2", "--output_dir", str(tmp_path)]
    finish(start(*again))
    assert outcome(tmp_path) == outcome(folder)
    assert (tmp_path / "run.toml").read_bytes() == (folder / "run.toml").read_bytes()


@pytest.mark.slow
def test_a_state_alone_goes_on_elsewhere_with_other_devices_to_the_same_end(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = finished
    moved = tmp_path / "carried" / "ga_state.json"  # nothing else of the run comes along
    moved.parent.mkdir()
    moved.write_bytes((folder / "checkpoints/generation_1/ga_state.json").read_bytes())
    there = tmp_path / "there"
    finish(start("--resume", str(moved), "--output_dir", str(there), "--cpu_workers", "2"))
    assert outcome(there) == outcome(folder)
    assert (there / "best_model/best_model.pt").read_bytes() == (folder / "best_model/best_model.pt").read_bytes()


@pytest.mark.slow
def test_a_run_ends_with_a_tested_model_and_a_command_that_works(finished: tuple[Path, str]) -> None:
    folder, text = finished
    assert "generation 3/3 in" in text
    command = next(line for line in text.splitlines() if line.startswith("next")).split()[1:]
    assert command[1] == str(ROOT / "evaluate.py")
    evaluated = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    tested = next(line for line in text.splitlines() if line.startswith("test accuracy")).split()[2]
    assert f"test accuracy    {tested}" in evaluated.stdout
    report = json.loads((folder / "best_model/evaluation.json").read_text())
    assert f"{report['accuracy']:.4f}" == tested
    for name in ("best_model/confusion_matrix.svg", "results/figures/fitness.svg", "results/figures/fitness.png"):
        assert (folder / name).stat().st_size > 1000


@pytest.mark.slow
def test_two_workers_give_the_history_of_one(finished: tuple[Path, str], tmp_path: Path) -> None:
    finish(start(*SMALL, *SEARCH, "--cpu_workers", "2", "--output_dir", str(tmp_path)))
    assert outcome(tmp_path) == outcome(finished[0])


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_end_and_trains_nothing_twice(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    process = start(*SMALL, *SEARCH, "--cpu_workers", "2", "--output_dir", str(tmp_path))
    deadline = time.monotonic() + 200
    jobs = tmp_path / "results/jobs"
    # Generation 1 trains 4 networks; one more means that generation 2 is under way.
    while len(list(jobs.glob("*.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = children_of(process.pid)
    process.kill()
    process.communicate()
    assert len(workers) == 2
    assert not alive_after(workers, seconds=2)
    before = {path.name: path.stat().st_mtime_ns for path in jobs.glob("*.json")}
    assert 5 <= len(before) < 10
    text = finish(start("--resume", str(tmp_path), "--cpu_workers", "1"))
    assert outcome(tmp_path) == outcome(finished[0])
    assert {path.name: path.stat().st_mtime_ns for path in jobs.glob("*.json") if path.name in before} == before
    assert f"{10 - len(before)} in this session" in text


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_at_once_and_the_command_that_goes_on_is_named(number: signal.Signals, tmp_path: Path) -> None:
    process = start(*SMALL, *SEARCH, "--cpu_workers", "2", "--output_dir", str(tmp_path))
    while not list(tmp_path.glob("results/jobs/*.json")):
        time.sleep(0.01)
    process.send_signal(number)
    text = finish(process, status=3)
    assert "Traceback" not in text
    assert f"stopped by {number.name}; every finished training is kept" in text
    command = next(line for line in text.splitlines() if line.startswith("to go on: ")).split()[4:]
    assert command == [
        str(ROOT / "evolution.py"),
        "--resume",
        f"{tmp_path}/checkpoints/generation_0/ga_state.json",
        "--cpu_workers",
        "2",
    ]
    if number == signal.SIGINT:
        finish(start(*command[1:]))
    assert not list(tmp_path.glob("**/.evolution.lock"))


@pytest.mark.slow
def test_more_generations_continue_a_run_and_rewind_goes_back(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = finished[0]
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    old = tmp_path / "checkpoints/generation_1/ga_state.json"
    refused = finish(start("--resume", str(old)), status=2)
    assert "--rewind" in refused
    assert "generation_3" in refused
    text = finish(start("--resume", str(old), "--rewind", "--cpu_workers", "1"))
    assert "0 in this session" in text  # every job of the dropped generations was found again
    assert outcome(tmp_path) == outcome(folder)
    text = finish(start("--resume", str(tmp_path), "--generations", "4", "--final_epochs", "2", "--cpu_workers", "2"))
    assert "generation 4/4 in" in text
    assert "then 2 epochs on all but the test images" in text


@pytest.mark.slow
def test_a_second_run_in_a_locked_folder_is_refused_with_the_holder(tmp_path: Path) -> None:
    process = start(*SMALL, *SEARCH, "--cpu_workers", "1", "--output_dir", str(tmp_path))
    while not (tmp_path / "checkpoints/generation_0/ga_state.json").exists():
        time.sleep(0.01)
    try:
        text = finish(start("--resume", str(tmp_path)), status=2)
        assert f"in use by process {process.pid}" in text
    finally:
        process.kill()
        process.communicate()


BAD_FLAGS = {
    "--population 1": "--population must be at least 2, but is 1",
    "--elitism 10": "--elitism must be at least 0 and under the population (10), but is 10",
    "--tournament_size 11": "--tournament_size must be between 1 and the population (10), but is 11",
    "--mutation_prob 1.5": "--mutation_prob must be between 0 and 1, but is 1.5",
    "--crossover_prob -0.1": "--crossover_prob must be between 0 and 1, but is -0.1",
    "--epochs 0": "--epochs must be at least 1, but is 0",
    "--generations 0": "--generations must be at least 1, but is 0",
    "--dataset cifar11": "no data set 'cifar11': expected digits, cifar10",
    "--dataset missing.npz": "no data set 'missing.npz'",
    "--gpus 7": "--gpus 7 is not there: torch",
    "--cpu_workers 0": "--cpu_workers must be at least 1",
    "--job_timeout -1": "--job_timeout must be a number over 0, none or auto, but is -1",
    "--job_timeout nan": "--job_timeout must be a number over 0, none or auto, but is nan",
    "--gpus 0 --cpu_workers 1": "exclude each other",
    "--popluation 5": "did you mean --population?",
    "--population five": "argument --population: invalid int value: 'five'",
    "--crossover three_point": "invalid choice: 'three_point'",
    "--resume nowhere": "no state file or folder nowhere",
    "--rewind": "--rewind needs the state to go back to",
    "--learning_rate nan": "--learning_rate must be a finite number",
    "--train_limit 5 --dataset digits": "--train_limit must be at least 20",
    "--encoding extnded": "no gene table 'extnded': expected standard, extended or a JSON file; did you mean extended?",
    "--encoding pyproject.toml": "pyproject.toml, line 1: this is not JSON",
    "--encoding extended --optimizer adamw": "--optimizer is a gene of this --encoding",
    "--optimizer adam": "invalid choice: 'adam'",
    "--val_fraction 1": "--val_fraction must be over 0 and under 1",
}


@pytest.mark.parametrize("flags", BAD_FLAGS)
def test_bad_flags_are_refused_by_name_and_nothing_is_written(flags: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with pytest.raises(InputError) as refusal:
        evolution.main(["--output_dir", str(folder), *flags.split()])
    assert BAD_FLAGS[flags] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_bad_input_is_one_line_and_exit_status_2() -> None:
    text = finish(start("--population", "1"), status=2)
    assert text == "error: --population must be at least 2, but is 1\n"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to .*file/run.*choose another --output_dir"):
        evolution.main([*SMALL, "--output_dir", str(tmp_path / "file" / "run")])


def test_images_that_are_too_small_are_refused(tmp_path: Path) -> None:
    images, labels = np.zeros((8, 7, 9), np.uint8), np.arange(8) % 2
    np.savez(tmp_path / "small.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(InputError, match="at least 8×8 pixels"):
        evolution.main(["--dataset", str(tmp_path / "small.npz"), "--output_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


PLAN = ["--plan", "--cpu_workers", "1"]


@pytest.mark.slow
def test_a_plan_touches_no_run_and_counts_what_earlier_ones_have_trained(
    finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert evolution.main([*SMALL, *SEARCH, *PLAN, "--output_dir", str(folder), "--reuse", str(folder)]) == 0
    said = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert f"{folder.resolve()} holds a run, which is not touched; a new one is planned" in said
    assert "measured 6 of 6: " in said
    assert "reuse            4 of the first 4 trainings are taken over" in said
    with pytest.raises(InputError, match=r"^--reuse .*: its --optimizer is sgd, here it is adamw"):
        evolution.main([*SMALL, *SEARCH, *PLAN, "--optimizer", "adamw", "--reuse", str(folder)])


def test_a_plan_that_is_stopped_says_that_it_writes_nothing(
    born: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("workers.local.LocalWorkers.hold", lambda *arguments: signal.raise_signal(signal.SIGINT))
    capsys.readouterr()
    assert evolution.main([*SMALL, *PLAN, "--output_dir", str(born), "--quiet"]) == 3
    assert capsys.readouterr().err == "stopped by SIGINT; a plan writes nothing\n"


@pytest.fixture
def born(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run that was born and stopped before its first training."""
    monkeypatch.setattr("workers.local.LocalWorkers.hold", _stop)
    assert evolution.main([*SMALL, *SEARCH, "--output_dir", str(tmp_path), "--quiet"]) == 3
    return tmp_path


def _stop(*arguments: object) -> None:
    raise StopRequested


def test_a_new_run_refuses_a_folder_that_holds_another(born: Path) -> None:
    with pytest.raises(InputError, match=r"holds another run.*--resume .*generation_0.*--output_dir.*--overwrite"):
        evolution.main([*SMALL, "--output_dir", str(born)])


def test_overwrite_removes_the_run_that_was_there(born: Path) -> None:
    old = read_state(born / "checkpoints/generation_0/ga_state.json")
    run = RunDirectory(born)
    run.write(run.weights("gen1/ind1"), b"of the run that was there")
    (born / "results" / "genomes").mkdir()
    assert evolution.main([*SMALL, "--seed", "5", "--output_dir", str(born), "--overwrite", "--quiet"]) == 3
    new = read_state(born / "checkpoints/generation_0/ga_state.json")
    assert new.search.seed == 5
    assert new.population != old.population
    assert not (born / "results/gen1").exists()
    assert (born / "results/genomes").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--population 6", "--population is 4 in this run and cannot become 6"),
        ("--epochs 3", "--epochs is 1 in this run and cannot become 3"),
        ("--encoding extended", "--encoding is standard in this run and cannot become extended"),
        ("--optimizer adamw", "--optimizer is sgd in this run and cannot become adamw"),
        ("--seed 1", "--seed is 0 in this run and cannot become 1"),
        ("--train_limit 200", "--train_limit is 300 in this run and cannot become 200"),
        ("--dataset missing.npz", "--dataset is digits in this run and cannot become missing.npz"),
        ("--dataset cifar10", "--dataset is digits in this run and cannot become cifar10"),
    ],
)
def test_a_resumed_run_refuses_by_name_what_would_change_results(born: Path, flags: str, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        evolution.main(["--resume", str(born), *flags.split()])
    assert said in str(refusal.value)


def test_a_resumed_run_takes_the_same_settings_again(born: Path) -> None:
    assert evolution.main(["--resume", str(born), *SMALL, *SEARCH, "--quiet"]) == 3


def test_other_data_under_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.local.LocalWorkers.hold", _stop)
    path, run = tmp_path / "data.npz", ["--output_dir", str(tmp_path / "run"), "--quiet"]
    for fill in (0, 1):
        images, labels = np.full((40, 8, 8), fill, np.uint8), np.arange(40) % 2
        np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
        if fill == 0:
            assert evolution.main(["--dataset", str(path), *run]) == 3
    with pytest.raises(InputError, match=r"is not the one this run began with"):
        evolution.main(["--resume", str(tmp_path / "run")])


def test_a_damaged_state_file_is_refused_and_its_folder_falls_back(born: Path) -> None:
    newer = born / "checkpoints/generation_1/ga_state.json"
    newer.parent.mkdir()
    newer.write_bytes(
        (born / "checkpoints/generation_0/ga_state.json").read_bytes().replace(b'"seed": 0', b'"seed": 1')
    )
    with pytest.raises(InputError, match=r"does not match its seal.*name the run's folder"):
        evolution.main(["--resume", str(newer)])
    assert evolution.main(["--resume", str(born), "--quiet"]) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"kind": "ga_state"}',
        b"\x80\x04.",
        b'{"schema": 99, "kind": "ga_state", "sha256": "", "content": {}}',
    ],
)
def test_a_foreign_file_is_refused_as_a_state(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ga_state.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"ga_state\.json"):
        evolution.main(["--resume", str(path)])


def test_hyphens_are_accepted_for_underscores(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--tournament_size must be"):
        evolution.main(["--tournament-size", "11", "--output-dir", str(tmp_path)])


def test_help_shows_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evolution.main(["--help"])
    text = capsys.readouterr().out
    for words in (
        "--mutation_prob X",
        "(default: 1/length)",
        "--generations N",
        "(default: 20)",
        "--job_timeout NAME",
    ):
        assert words in text


def test_a_refusal_comes_before_torch_is_imported() -> None:
    code = "import sys, evolution; assert 'torch' not in sys.modules; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, env={**os.environ})


@pytest.mark.slow
def test_a_time_limit_stops_in_good_order(tmp_path: Path) -> None:
    limit = ["--max_hours", str(12 / 3600), "--generations", "1000", "--output_dir", str(tmp_path)]
    text = finish(start(*SMALL, *limit, "--population", "4", "--cpu_workers", "1"), status=3)
    assert "stopped by --max_hours; every finished training is kept" in text
    assert read_state(tmp_path / "checkpoints/generation_0/ga_state.json").generation == 0


@pytest.mark.slow
def test_a_new_best_model_takes_its_old_evaluation_away(finished: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    old, page = tmp_path / "best_model/evaluation.json", tmp_path / "best_model/evaluation.html"
    evaluations = RunDirectory(tmp_path).evaluations
    evaluations.hand_out(old, b"{}")
    evaluations.hand_out(page, b"old")
    old.with_name("model.docx").touch()
    finish(start("--resume", str(tmp_path), "--cpu_workers", "1"))
    assert old.exists()  # the model is the same
    assert page.exists()
    finish(start("--resume", str(tmp_path), "--final_epochs", "1", "--cpu_workers", "1"))
    assert not old.exists()
    assert not page.exists()
    assert old.with_name("model.docx").exists()


def test_every_file_of_a_run_is_listed(finished: tuple[Path, str]) -> None:
    """So that the next run, or an evaluation, knows all of them as the program's own."""
    run = RunDirectory(finished[0])
    found = {path for path in finished[0].rglob("*") if path.is_file() and path.name != LIST_NAME}
    found -= set(run.evaluations.owned())  # of another test
    assert {path for path in found if not run.own(path).owns(path)} == set()
    assert found == set(run.places())


OWN_TABLE = """{"length": 5, "unused": [4], "genes": [
  {"name": "activation", "loci": [0], "values": ["ReLU", "ELU"]},
  {"name": "squeeze_excitation", "loci": [1], "values": [false, true]},
  {"name": "optimizer", "loci": [2], "values": ["sgd", "adamw"]},
  {"name": "augmentation", "loci": [3], "values": ["none", "strong"]}
]}"""


@pytest.mark.slow
def test_the_extended_encoding_runs_resumes_and_is_evaluated(tmp_path: Path) -> None:
    """A run that stops after a generation and goes on ends as one that does not stop."""
    search = ["--encoding", "extended", "--population", "4", "--cpu_workers", "2"]
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    text = finish(start(*SMALL, *search, "--generations", "2", "--output_dir", str(whole)))
    finish(start(*SMALL, *search, "--generations", "1", "--output_dir", str(halved)))
    finish(start("--resume", str(halved), "--generations", "2", "--cpu_workers", "1"))
    assert outcome(halved) == outcome(whole)
    state = read_state(whole / "checkpoints/generation_2/ga_state.json")
    assert all(len(individual.chromosome) == EXTENDED.length for individual in state.population)
    with open(whole / "results/history.csv", encoding="utf-8", newline="") as file:
        networks = [row["network"] for row in csv.DictReader(file)]
    assert all("learning rate" in network and "augmentation" in network for network in networks)
    command = next(line for line in text.splitlines() if line.startswith("next")).split()[1:]
    evaluated = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    tested = next(line for line in text.splitlines() if line.startswith("test accuracy")).split()[2]
    assert f"test accuracy    {tested}" in evaluated.stdout


@pytest.mark.slow
def test_a_run_with_a_table_of_ones_own_goes_on_without_its_file(tmp_path: Path) -> None:
    table, folder = tmp_path / "my_genes.json", tmp_path / "run"
    table.write_text(OWN_TABLE)
    search = ["--encoding", str(table), "--population", "4", "--cpu_workers", "2"]
    finish(start(*SMALL, *search, "--generations", "1", "--output_dir", str(folder)))
    table.write_text(OWN_TABLE.replace('"ELU"', '"GELU"'))
    changed = finish(start("--resume", str(folder), "--encoding", str(table)), status=2)
    assert f"the gene table {table} has changed since this run began" in changed
    table.unlink()
    text = finish(start("--resume", str(folder), "--generations", "3", "--cpu_workers", "2"))
    assert "generation 3/3 in" in text
    state = read_state(folder / "checkpoints/generation_3/ga_state.json")
    jobs = {individual.chromosome[:4]: individual.jobs for each in state.generations for individual in each.individuals}
    # One training for each phenotype: the same network with another optimizer or augmentation is another.
    assert len(set(jobs.values())) == len(jobs) == len(state.results)
    assert len(jobs) >= 8


# Without generations to wait for


STEADY = [*SMALL, "--scheme", "steady_state", "--population", "2", "--elitism", "0", "--tournament_size", "2"]


def order_on_disk(folder: Path) -> list[str]:
    run, state = load_state(folder)
    return [*state.order, *(each.name for each in read_progress(run, state).taken)]


@pytest.mark.slow
def test_a_steady_run_that_was_killed_goes_on_in_the_recorded_order(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = start(*STEADY, "--generations", "4", "--cpu_workers", "2", "--output_dir", str(folder))
    while len(list(folder.glob("results/jobs/*.json"))) < 3:
        assert run.poll() is None
        time.sleep(0.01)
    run.kill()
    run.communicate()
    before = order_on_disk(folder)
    sealed = {path.stem for path in folder.glob("results/jobs/*.json")}
    text = finish(start("--resume", str(folder), "--cpu_workers", "2"))
    assert "8 networks for 8 individuals" in text
    assert f"{8 - len(sealed)} in this session" in text
    _, state = load_state(folder)
    assert list(state.order[: len(before)]) == before
    assert len(before) in (len(sealed) - 1, len(sealed))
    assert (state.search.scheme, state.search.early_stopping, len(state.order)) == ("steady_state", "none", 8)
    assert (folder / "results/report.html").is_file()
    text = finish(start("--resume", str(folder), "--generations", "5", "--cpu_workers", "1"))
    assert "10 networks for 10 individuals" in text


@pytest.mark.slow
def test_with_one_worker_a_steady_run_is_the_same_however_it_was_disturbed(tmp_path: Path) -> None:
    flags = [*STEADY, "--generations", "3", "--cpu_workers", "1", "--output_dir"]
    finish(start(*flags, str(tmp_path / "whole")))
    run = start(*flags, str(tmp_path / "killed"))
    while len(list((tmp_path / "killed").glob("results/jobs/*.json"))) < 3:
        assert run.poll() is None
        time.sleep(0.01)
    run.kill()
    run.communicate()
    finish(start("--resume", str(tmp_path / "killed"), "--cpu_workers", "1"))
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
