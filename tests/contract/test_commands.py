"""The command lines that are promised, word for word, in a fresh folder, with six packages and small CIFAR archives.

On a machine without a GPU, `--gpus ...` is left out of the words; on one with fewer GPUs than the words name, those are
left out that it does not have. CIFAR-100's archive holds 12 classes, so that a hundred of them need not be trained on.
After the words of three runs stands `--max_flops`, which has the search turn to small networks: the four runs of 20 and
30 generations would take twice as long without it.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from storage.checkpoint import load_state
from storage.results import read_info
from tests.contract.environment import ROOT, SIX, Environment, checkout, closure

pytestmark = pytest.mark.timeout(1000)
SMALL = "python evolution.py --generations 20 --population 10 --gpus 0 1 2 3"
CIFAR100 = "python evolution.py --dataset cifar100 --population 20 --generations 30 --gpus 0 1 2 3"
SEARCH = "python evolution.py --mutation_prob 0.2 --tournament_size 4 --elitism 3 --gpus 0 1"
TRAINING = "python evolution.py --epochs 10 --batch_size 64 --gpus 0 1 2 3"
RESUME = "python evolution.py --resume checkpoints/generation_5/ga_state.json --gpus 0 1 2 3"
BEST = "python evaluate.py --model_path best_model/best_model.pt --info_path best_model/info.json"
QUICKLY = " --max_flops 20000000"
INDIVIDUAL = (
    "python evaluate.py --model_path results/gen3/ind2/best_model.pt --chromosome 0110010110110011010 --dataset cifar10"
)


def here(words: str) -> str:
    """A command line with those of its GPUs that this machine has."""
    before, _, numbers = words.partition(" --gpus ")
    there = [number for number in numbers.split() if int(number) < torch.cuda.device_count()]
    return f"{before} --gpus {' '.join(there)}" if there else before


def columns(folder: Path) -> list[tuple[str, ...]]:
    """What a run found: of its history all that is not measured."""
    with open(folder / "results/history.csv", encoding="utf-8", newline="") as file:
        return [tuple(row.values())[:14] for row in csv.DictReader(file)]


def finished(six: Environment, folder: Path, words: str, after: str = "") -> Path:
    """The folder in which a command ran to its end, with all that a run leaves behind."""
    said = six.run(here(words) + after, checkout(folder))
    assert "test accuracy" in said
    assert (folder / "best_model/best_model.pt").is_file()
    assert (folder / "results/report.html").is_file()
    return folder


@pytest.fixture(scope="module")
def first(six: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(six, tmp_path_factory.mktemp("first"), SMALL)


# The environment


def test_the_environment_holds_the_six_packages_and_what_they_require_alone(six: Environment) -> None:
    """Every package that can be imported there is of a distribution that one of the six requires."""
    lister = "import json, importlib.metadata as m; print(json.dumps([d.name for d in m.distributions()]))"
    names = json.loads(six.run(f"python -c '{lister}'", six.folder))
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in names} == set(closure(SIX))


@pytest.mark.parametrize("package", ["rich", "ray", "optuna", "onnx", "tensorboard", "pytest", "tests", "pip"])
def test_other_packages_cannot_be_imported_there(package: str, six: Environment) -> None:
    assert "ModuleNotFoundError" in six.run(f"python -c 'import {package}'", six.folder, status=1)


def test_the_six_packages_can_be_imported_there(six: Environment) -> None:
    modules = ", ".join("sklearn" if name == "scikit-learn" else name for name in SIX)
    six.run(f"python -c 'import {modules}'", six.folder)


def test_the_six_packages_are_listed_as_required() -> None:
    listed = {re.split(r"[<>=]", line)[0] for line in (ROOT / "requirements.txt").read_text().split()}
    assert set(SIX) <= listed <= set(closure(SIX))


# Runs


@pytest.mark.slow
def test_generations_and_population(first: Path) -> None:
    state = load_state(first)[1]
    assert (state.generation, state.search.population, state.data.dataset) == (20, 10, "cifar10")
    assert {len(generation.individuals) for generation in state.generations} == {10}
    assert len(columns(first)) == 200


@pytest.mark.slow
def test_another_data_set(six: Environment, tmp_path: Path) -> None:
    state = load_state(finished(six, tmp_path, CIFAR100, QUICKLY))[1]
    assert (state.generation, state.search.population, state.data.dataset) == (30, 20, "cifar100")
    assert state.facts.input_shape == (3, 32, 32)


@pytest.mark.slow
def test_settings_of_the_search(six: Environment, tmp_path: Path) -> None:
    state = load_state(finished(six, tmp_path, SEARCH, QUICKLY))[1]
    assert (state.search.mutation_prob, state.search.tournament_size, state.search.elitism) == (0.2, 4, 3)
    for generation in state.generations[1:]:
        assert [each.origin for each in generation.individuals].count("elite") == 3


@pytest.mark.slow
def test_settings_of_the_training(six: Environment, tmp_path: Path) -> None:
    state = load_state(finished(six, tmp_path, TRAINING, QUICKLY))[1]
    assert (state.training.epochs, state.training.batch_size) == (10, 64)
    assert max(len(result.epochs) for result in state.results.values()) == 10


@pytest.mark.slow
def test_a_run_goes_on_from_a_state(first: Path, six: Environment, tmp_path: Path) -> None:
    """The run as it was after generation 5: it ends as the one that went on at once."""
    shutil.copytree(first, tmp_path, dirs_exist_ok=True, symlinks=True)
    for number in range(6, 21):
        shutil.rmtree(tmp_path / f"checkpoints/generation_{number}")
        shutil.rmtree(tmp_path / f"results/gen{number}")
    for folder in ("best_model", "results/final", "results/figures"):
        shutil.rmtree(tmp_path / folder)
    state = load_state(tmp_path)[1]
    assert state.generation == 5
    for job in (tmp_path / "results/jobs").iterdir():
        if job.stem not in state.results:
            job.unlink()
    kept = {job: job.stat().st_mtime_ns for job in (tmp_path / "results/jobs").iterdir()}
    said = six.run(here(RESUME), tmp_path)
    assert "generation 5/20" not in said
    assert "generation 20/20 in" in said
    assert {job: job.stat().st_mtime_ns for job in kept} == kept
    if not torch.cuda.is_available():  # to the same bits on CPUs
        assert columns(tmp_path) == columns(first)


# Evaluation


@pytest.mark.slow
def test_the_best_model_is_evaluated(first: Path, six: Environment) -> None:
    info = read_info(first / "best_model/info.json")
    assert info.test is not None
    said = six.run(BEST, first)
    assert f"test accuracy    {info.test.accuracy:.4f} (20 images)" in said
    assert (first / "best_model/evaluation.html").is_file()


@pytest.mark.slow
def test_an_individual_is_evaluated_by_its_chromosome(first: Path, six: Environment) -> None:
    """The words with the chromosome that the individual's `info.json` names, which alone fits its weights."""
    info = read_info(first / "results/gen3/ind2/info.json")
    assert info.individual.origin == "elite"
    assert info.weights != "results/gen3/ind2/best_model.pt"
    words = INDIVIDUAL.replace("0110010110110011010", info.individual.chromosome)
    assert "test accuracy" in six.run(words, first)
    assert (first / "results/gen3/ind2/evaluation.html").is_file()


@pytest.mark.slow
def test_where_the_chromosome_or_the_weights_are_not_there_the_refusal_says_so_in_one_line(
    first: Path, six: Environment
) -> None:
    said = six.run(INDIVIDUAL, first, status=2)
    assert said.startswith("error: results/gen3/ind2/best_model.pt does not fit the chromosome")
    assert said.count("\n") == 1
    missing = INDIVIDUAL.replace("gen3/ind2", "gen3/ind11")
    said = six.run(missing, first, status=2)
    assert said.startswith("error: no weights file results/gen3/ind11/best_model.pt; ")
    assert said.count("\n") == 1
    flags = re.search(r"--model_path \S+ --chromosome \d+", said)
    assert flags is not None
    assert "test accuracy" in six.run(f"python evaluate.py {flags[0]} --dataset cifar10", first)


# GPUs


@pytest.mark.slow
@pytest.mark.parametrize("words", [SMALL, CIFAR100, SEARCH, TRAINING])
def test_gpus_that_are_not_there_are_refused_in_one_line(words: str, six: Environment, tmp_path: Path) -> None:
    checkout(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    said = six.run(words, tmp_path, status=2, CUDA_VISIBLE_DEVICES="")
    assert re.fullmatch(r"error: --gpus 0 is not there: .*leave --gpus out to train on the CPU\n", said)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_gpus_that_are_not_there_are_refused_when_a_run_goes_on(six: Environment, tmp_path: Path) -> None:
    checkout(tmp_path)
    shutil.copytree(Path(__file__).parent / "runs/v0_1_0/checkpoints", tmp_path / "checkpoints")
    words = RESUME.replace("generation_5", "generation_2")
    said = six.run(words, tmp_path, status=2, CUDA_VISIBLE_DEVICES="")
    assert re.fullmatch(r"error: --gpus 0 is not there: .*leave --gpus out to train on the CPU\n", said)


# Make


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_has_the_targets_that_are_promised(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


PROMISED = (SMALL, CIFAR100, SEARCH, TRAINING, RESUME, BEST, INDIVIDUAL, "make demo", "make test")


@pytest.mark.parametrize("words", PROMISED)
def test_the_readme_shows_the_words_that_are_promised(words: str) -> None:
    assert words in (ROOT / "README.md").read_text()
