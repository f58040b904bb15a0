"""What a run hands over: finalists with fresh seeds, the front, and refusals; whole runs on digits, as processes."""

from __future__ import annotations

import csv
import json
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import evolution
from records import InputError, TrainingJob
from records.texts import JobKey
from search_space.space import NetworkSpace
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.files import file_sha256, read_sealed
from storage.results import INFO, PARETO, find_result, read_info
from tests.test_evolution import SMALL, finish, start

TINY = [
    *SMALL,
    "--population",
    "3",
    "--generations",
    "1",
    "--elitism",
    "1",
    "--cpu_workers",
    "2",
    "--min_free_disk",
    "0",
]
FINALISTS = ["--finalists", "2", "--final_seeds", "2"]


def lines_of(text: str, title: str) -> list[str]:
    """The closing line of this title, and those under it without one."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(title))
    last = first + 1
    while lines[last].startswith(" " * 21):
        last += 1
    return [line[21:] for line in lines[first:last]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run with finalists, and what it printed."""
    folder = tmp_path_factory.mktemp("finalists")
    return folder, finish(start(*TINY, *FINALISTS, "--output_dir", str(folder)))


def final_jobs(folder: Path) -> dict[str, list[TrainingJob]]:
    """The trainings that the finalists should have, by individual."""
    _, state = load_state(folder)
    space, jobs = NetworkSpace.of(state), {}
    for each in sorted(state.generations[0].individuals, key=lambda individual: individual.rank)[:2]:
        network, data = space.network(each.chromosome), state.facts.fingerprint
        plain = TrainingJob(phenotype=network, protocol=state.training, data_fingerprint=data)
        assert (plain.key,) == each.jobs
        jobs[each.name] = [replace(plain, replicate=seed) for seed in (1, 2)]
    return jobs


@pytest.mark.slow
def test_finalists_have_the_mean_and_error_of_their_own_trainings(finished: tuple[Path, str]) -> None:
    folder, text = finished
    run = RunDirectory(folder)
    info = read_info(folder / "best_model/info.json")
    expected = {}
    for name, jobs in final_jobs(folder).items():
        results = [find_result(run, job.key) for job in jobs]
        expected[name] = [result.epochs[-1].score for result in results if result is not None]
    assert {each.individual: list(each.accuracies) for each in info.finalists} == expected
    lines = lines_of(text, "with fresh seeds")
    assert len(lines) == len(info.finalists) == 2
    means = []
    for line, finalist in zip(lines, info.finalists, strict=True):
        values = [value or 0.0 for value in expected[finalist.individual]]
        mean, error = statistics.fmean(values), statistics.stdev(values) / 2**0.5
        assert line == f"{mean:.4f} ± {error:.4f} ({finalist.individual}, n=2)"
        means.append(mean)
    assert means == sorted(means, reverse=True)
    assert info.individual.name == info.finalists[0].individual


@pytest.mark.slow
def test_the_best_of_the_winners_fresh_trainings_is_handed_over(finished: tuple[Path, str]) -> None:
    folder, text = finished
    info = read_info(folder / "best_model/info.json")
    assert info.result is not None
    assert info.test is not None
    assert info.result.epochs[-1].score == max(info.finalists[0].accuracies)
    assert file_sha256(folder / "best_model/best_model.pt") == info.result.weights_sha256
    assert str(info.result.weights).startswith("results/final/")
    # None of the search's own trainings, which were selected for their luck.
    _, state = load_state(folder)
    assert info.result.key not in state.results
    assert lines_of(text, "test accuracy")[0].startswith(f"{info.test.accuracy:.4f} (")
    content = read_sealed(folder / "best_model/info.json", INFO)
    assert [each["individual"] for each in content["finalists"]] == [each.individual for each in info.finalists]


@pytest.mark.slow
def test_a_run_that_is_resumed_after_its_end_trains_and_tests_nothing_again(finished: tuple[Path, str]) -> None:
    folder, text = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("results/jobs/*.json")}
    handed_over = (folder / "best_model/info.json").read_bytes()
    again = finish(start("--resume", str(folder), "--cpu_workers", "2", "--min_free_disk", "0"))
    assert "; 0 in this session" in again
    assert {path: path.stat().st_mtime_ns for path in folder.glob("results/jobs/*.json")} == before
    assert (folder / "best_model/info.json").read_bytes() == handed_over
    for title in ("with fresh seeds", "test accuracy", "best network", "size"):
        assert lines_of(again, title) == lines_of(text, title)


@pytest.fixture(scope="module")
def two_objectives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two generations, accuracy against parameters and latency, with halving."""
    folder = tmp_path_factory.mktemp("front")
    arguments = ["--objectives", "accuracy", "parameters", "flops", "--early_stopping", "halving", "--epochs", "2"]
    return folder, finish(
        start(*TINY, "--population", "6", "--generations", "2", *arguments, "--output_dir", str(folder))
    )


@pytest.mark.slow
def test_the_front_is_that_of_the_history(two_objectives: tuple[Path, str]) -> None:
    folder, text = two_objectives
    _, state = load_state(folder)
    with open(folder / "results/history.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    points = {}
    for row in rows:
        if row["status"] == "done" and len(state.results[JobKey(row["job"])].epochs) == 2 and row["job"] not in points:
            point = (-float(row["validation_accuracy"]), int(row["parameters"]), int(row["flops"]))
            points[row["job"]] = (point, row)
    front = [
        row
        for point, row in points.values()
        if not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other, _ in points.values()
        )
    ]
    content = read_sealed(folder / "best_model/pareto.json", PARETO)
    assert content["objectives"] == ["accuracy", "parameters", "flops"]
    found = content["front"]
    assert {each["chromosome"] for each in found} == {row["chromosome"] for row in front}
    by_chromosome = {row["chromosome"]: row for row in front}
    for each in found:
        row = by_chromosome[each["chromosome"]]
        assert each["network"] == row["network"]
        assert each["objectives"] == {
            "accuracy": float(row["validation_accuracy"]),
            "parameters": int(row["parameters"]),
            "flops": int(row["flops"]),
        }
        assert (folder / each["weights"]).is_file()  # a front that cannot be used is worth little
    accuracies = [each["objectives"]["accuracy"] for each in found]
    assert accuracies == sorted(accuracies, reverse=True)
    lines = lines_of(text, "Pareto front")
    assert len(lines) == len(found)
    for line, each in zip(lines, found, strict=True):
        accuracy, parameters, flops = (each["objectives"][name] for name in ("accuracy", "parameters", "flops"))
        assert line == f"{accuracy:.4f}, {parameters:,} parameters, {flops / 1e6:,.2f} MFLOPs ({each['individual']})"


@pytest.mark.slow
def test_halving_says_how_many_epochs_it_spared(two_objectives: tuple[Path, str]) -> None:
    folder, text = two_objectives
    _, state = load_state(folder)
    spent = sum(len(result.epochs) for result in state.results.values())
    networks = len({each.jobs[-1] for one in state.generations for each in one.individuals})
    assert f"{spent} of {2 * networks} epochs (early stopping)" in lines_of(text, "trainings")[0]
    assert spent < 2 * networks


@pytest.mark.slow
def test_a_limit_that_no_network_keeps_is_said_with_the_one_that_comes_closest(tmp_path: Path) -> None:
    text = finish(start(*TINY, "--max_parameters", "100", "--max_latency", "1000", "--output_dir", str(tmp_path)))
    _, state = load_state(tmp_path)
    closest = min(state.generations[0].individuals, key=lambda each: each.rank)
    assert closest.fitness is not None
    assert closest.fitness.latency is not None
    said = f"{closest.name} comes closest with {closest.fitness.parameters:,} parameters (limit 100 parameters)"
    assert f"no network of generation 1 keeps the limits; {said}" in text
    assert f"({closest.name})" in lines_of(text, "best network")[0]


@pytest.mark.slow
def test_a_second_run_takes_over_what_the_first_trained(finished: tuple[Path, str], tmp_path: Path) -> None:
    first = finished[0]
    arguments = [*TINY, *FINALISTS, "--output_dir", str(tmp_path / "again")]
    text = finish(start(*arguments, "--reuse", str(first)))
    assert "; 3 from earlier runs; 0 in this session" in text
    one, two = (load_state(folder)[1] for folder in (first, tmp_path / "again"))
    assert one.generations == two.generations
    assert (
        read_info(first / "best_model/info.json").finalists
        == read_info(tmp_path / "again/best_model/info.json").finalists
    )
    same = [(folder / "best_model/best_model.pt").read_bytes() for folder in (first, tmp_path / "again")]
    assert same[0] == same[1]
    model = torch.load(tmp_path / "again/best_model/best_model.pt", weights_only=True)
    assert model


REFUSED_REUSE = {
    "--epochs 2 --early_stopping none": "its --epochs is 1, here it is 2",
    "--batch_size 16": "its --batch_size is 32, here it is 16",
    "--learning_rate 0.3": "its --learning_rate is 0.2, here it is 0.3",
    "--train_limit 200": "its data is another (digits, fingerprint ",
}


@pytest.mark.slow
@pytest.mark.parametrize("flags", REFUSED_REUSE)
def test_a_run_that_cannot_be_reused_is_refused_by_what_differs(
    flags: str, finished: tuple[Path, str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(REFUSED_REUSE[flags])) as refusal:
        evolution.main([*TINY, *flags.split(), "--reuse", str(finished[0]), "--output_dir", str(tmp_path / "new")])
    assert str(refusal.value).startswith(f"--reuse {finished[0]}: ")
    assert not (tmp_path / "new/checkpoints").exists()


@pytest.mark.slow
def test_a_folder_without_a_run_cannot_be_reused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, said in (("empty", "holds no run"), ("missing", "no state file or folder")):
        with pytest.raises(InputError, match=said):
            evolution.main([*TINY, "--reuse", str(tmp_path / folder), "--output_dir", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


BAD_FLAGS = {
    "--objectives accuracy speed": "'speed'",
    "--objectives parameters": "--objectives must be accuracy and then any of parameters, ",
    "--objectives parameters accuracy": "but is parameters accuracy",
    "--objectives accuracy accuracy": "each once, but is accuracy accuracy",
    "--objectives": "--objectives",
    "--max_parameters -5": "--max_parameters must be at least 1, but is -5",
    "--max_flops 0": "--max_flops must be at least 1, but is 0",
    "--max_latency -1": "--max_latency must be a number over 0, but is -1.0",
    "--max_latency nan": "--max_latency must be a number over 0, but is nan",
    "--finalists 1000": "--finalists must be between 0 and the number of individuals (200), but is 1000",
    "--finalists -1": "--finalists must be between 0 and",
    "--final_seeds 0": "--final_seeds must be at least 1",
    "--budget 0": "--budget must be at least 1, but is 0",
    "--budget 5 --finalists 6": "the number of individuals (5), but is 6",
    "--algorithm annealing": "or optuna:NAME with a sampler of Optuna, such as optuna:TPESampler, but is 'annealing'",
    "--algorithm optuna:": "but is 'optuna:'",
    "--algorithm optuna:TPE-Sampler": "but is 'optuna:TPE-Sampler'",
    "--early_stopping patience": "invalid choice: 'patience'",
    "--reduction_factor 1": "--reduction_factor must be at least 2, but is 1",
}


@pytest.mark.parametrize("flags", BAD_FLAGS)
def test_bad_settings_of_the_search_are_refused_and_nothing_is_written(flags: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        evolution.main(["--output_dir", str(tmp_path / "new"), *flags.split()])
    assert BAD_FLAGS[flags] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_settings_of_the_search_stay_those_of_the_run(finished: tuple[Path, str]) -> None:
    for flags, said in (
        ("--objectives accuracy flops", "--objectives is "),
        ("--max_parameters 5", "--max_parameters is None in this run and cannot become 5"),
        ("--early_stopping median", "--early_stopping is halving in this run and cannot become median"),
        ("--algorithm random", "--algorithm is genetic in this run and cannot become random"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            evolution.main(["--resume", str(finished[0]), *flags.split()])


@pytest.mark.slow
def test_pareto_json_is_a_sealed_file(two_objectives: tuple[Path, str]) -> None:
    path = two_objectives[0] / "best_model/pareto.json"
    document = json.loads(path.read_text())
    assert document["kind"] == PARETO
    assert set(document) == {"kind", "schema", "sha256", "content"}
