"""The model card: what it says of a run, of an evaluation, of little; and when none is written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import evaluate
from records import DataConfig, Fitness, Individual
from records import runs as records
from records.runs import DataFacts, Finalist, ModelInfo
from reporting.handout.model_card import knows, model_card
from search_space.encoding import Encoding
from search_space.genes import EXTENDED
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.files import sealed
from storage.results import read_info
from tests.builders import chromosome
from tests.test_evolution import SMALL, finish, start
from training.statistics import wilson_interval

CHROMOSOME = chromosome(
    EXTENDED,
    kernel=1,
    residual=True,
    squeeze_excitation=True,
    dropout=0.2,
    learning_rate=0.3,
    weight_decay=5e-4,
    optimizer="adamw",
    label_smoothing=0.1,
    augmentation="cutout",
)


def info_of(**changes: object) -> ModelInfo:
    encoding = Encoding((3, 32, 32), 30, EXTENDED)
    names = ("a|b", "_c_", "<script>", *(f"class {number}" for number in range(27)))
    info = ModelInfo(
        version="1",
        individual=Individual(
            generation=3, index=2, chromosome=CHROMOSOME, origin="random", fitness=Fitness(value=0.75)
        ),
        description=encoding.describe(CHROMOSOME),
        phenotype=encoding.network(CHROMOSOME),
        data=DataConfig(dataset="my\npictures"),
        facts=DataFacts(
            fingerprint="f" * 64,
            input_shape=(3, 32, 32),
            class_names=names,
            train_images=900,
            val_images=100,
            test_images=1000,
        ),
        metric="accuracy",
        precision="float32",
        split="train",
        weights=None,
        result=None,
    )
    return replace(info, **changes)  # type: ignore[arg-type]


def test_a_card_says_what_is_known_with_its_uncertainty() -> None:
    finalists = (Finalist(individual="gen3/ind2", chromosome=CHROMOSOME, accuracies=(0.7, 0.8)),)
    card = model_card(info_of(finalists=finalists, test=records.TestScore(accuracy=0.5, loss=1.25, images=1000)))
    low, high = wilson_interval(500, 1000)
    assert f"Test accuracy 0.5000 (1,000 images; 95% interval {low:.4f} to {high:.4f}), loss 1.2500." in card
    low, high = wilson_interval(75, 100)
    assert f"Validation accuracy 0.7500 (100 images; 95% interval {low:.4f} to {high:.4f})." in card
    assert "Finalist gen3/ind2: 0.7500 ± 0.0500 (standard error), mean of 2 fresh seeds." in card
    assert "32×32 pixels with 3 channels" in card
    assert "Licence of the data: to be checked" in card
    assert "--export code" in card
    assert "30 classes: " in card
    assert " and 10 more." in card


def test_names_are_no_markup() -> None:
    card = model_card(info_of())
    assert "<script>" not in card
    assert "a\\|b, \\_c\\_, \\<script\\>" in card
    assert "my\N{REPLACEMENT CHARACTER}pictures" in card


def test_a_card_says_which_images_the_weights_are_from() -> None:
    assert "training images only" in model_card(info_of())
    card = model_card(info_of(split="all"))
    assert "training and validation images" in card
    assert ", before the final training. The search selected by it" in card


def test_a_card_of_little_leaves_out_the_rest() -> None:
    individual = Individual(generation=1, index=1, chromosome=CHROMOSOME, origin="random")
    card = model_card(info_of(individual=individual))
    for absent in ("Test accuracy", "Validation accuracy", "Finalist", "device hours", "None"):
        assert absent not in card


# A run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carded")
    finish(start(*SMALL, "--population", "3", "--generations", "1", "--elitism", "1", "--output_dir", str(folder)))
    return folder


def evaluated(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(evaluate, "LATENCY_REPEATS", 3)
    model = folder / "best_model"
    line = ["--model_path", str(model / "best_model.pt"), "--info_path", str(model / "info.json"), *arguments]
    assert evaluate.main(line) == 0


@pytest.mark.slow
def test_a_run_ends_with_a_card_and_an_evaluation_adds_to_it(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path, info = tmp_path / "best_model/MODEL_CARD.md", read_info(tmp_path / "best_model/info.json")
    before = path.read_text()
    state = load_state(tmp_path)[1]
    assert knows(state, info)
    assert before == model_card(info, state)
    assert info.test is not None
    assert info.result is not None
    for said in (
        f"Test accuracy {info.test.accuracy:.4f} (",
        "Found by the search `genetic`: 1 generation of 3 individuals",
        "device hours",
        str(info.result.weights_sha256),
        "SGD, learning rate 0.2",
    ):
        assert said in before
    evaluated(tmp_path, monkeypatch)
    after = path.read_text()
    report = json.loads((tmp_path / "best_model/evaluation.json").read_text())
    assert set(before.splitlines()) < set(after.splitlines())
    assert f"Expected calibration error {report['calibration']['ece']:.4f}" in after
    assert f"recall {min(row['recall'] for row in report['classes']):.4f}" in after


@pytest.mark.slow
def test_weights_that_the_info_does_not_describe_get_no_card(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "best_model/best_model.pt"
    (tmp_path / "best_model/MODEL_CARD.md").unlink()
    state = torch.load(path, weights_only=True)
    torch.save({name: value + 0 for name, value in reversed(state.items())}, path)
    evaluated(tmp_path, monkeypatch)
    assert not (tmp_path / "best_model/MODEL_CARD.md").exists()


@pytest.mark.slow
def test_a_model_whose_run_is_gone_or_another_gets_a_card_without_the_search(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoints/generation_1/ga_state.json"
    path.write_bytes(sealed("other", {}))
    evaluated(tmp_path, monkeypatch)
    card = (tmp_path / "best_model/MODEL_CARD.md").read_text()
    assert "Test accuracy" in card
    assert "Found by the search" not in card


@pytest.mark.slow
def test_a_new_best_model_takes_its_old_exports_away(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    evaluations = RunDirectory(tmp_path).evaluations
    old, edited = tmp_path / "best_model/model.onnx", tmp_path / "best_model/model.py"
    for path in (old, edited):
        evaluations.hand_out(path, b"old")
    edited.write_text("a person's own")
    finish(start("--resume", str(tmp_path), "--cpu_workers", "1"))
    assert old.exists()  # the model is the same
    finish(start("--resume", str(tmp_path), "--final_epochs", "1", "--cpu_workers", "1"))
    assert not old.exists()
    assert edited.read_text() == "a person's own"
    assert "training and validation images" in (tmp_path / "best_model/MODEL_CARD.md").read_text()


def test_a_model_that_was_found_by_balanced_accuracy_says_so() -> None:
    test = records.TestScore(accuracy=0.9, loss=1.25, images=1000, balanced_accuracy=0.625)
    card = model_card(info_of(metric="balanced_accuracy", test=test))
    assert "Validation balanced accuracy 0.7500 (100 images). The search selected by it" in card
    assert "quote the test balanced accuracy instead" in card
    assert "Test balanced accuracy 0.6250, the mean recall of the classes" in card
    assert "Test accuracy 0.9000 (1,000 images; 95% interval" in card
