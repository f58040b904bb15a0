"""The evaluation of a network that was trained for one epoch: its figures, its files, its refusals."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics
from torch import Tensor

import evaluate
import train_model
from evaluate import main
from image_data import ImageData, load_image_data
from model_generator import build_model, load_model, weights_bytes
from records import DataConfig, Individual, InputError, Limits, RunFault
from records.runs import DataFacts, ModelInfo
from records.texts import Chromosome, NetworkText
from reporting.evaluation.summary import summary
from search_space.architecture import network_text
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED
from search_space.tables import gene_table_text
from storage.directory import RunDirectory
from storage.own_files import LIST_NAME
from storage.results import read_info, save_info
from tests.builders import chromosome
from tests.faults.small_run import InlineWorkers, NoSignals, go_on

CHROMOSOME = Chromosome("0000000000001111111")  # the smallest network
OTHER = Chromosome("0100000000001111111")
FILES = {LIST_NAME, "evaluation.json", "evaluation.html", "confusion_matrix.svg", "confusion_matrix.png"}


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu() -> Iterator[None]:
    """No graphics card, and few repetitions: the speed is not what is tested."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        monkeypatch.setattr(evaluate, "LATENCY_WARM_UPS", 1)
        monkeypatch.setattr(evaluate, "LATENCY_REPEATS", 3)
        yield


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_image_data(DataConfig(dataset="digits"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "weights.pt"
    settings = ["--dataset", "digits", "--epochs", "1", "--batch_size", "32", "--device", "cpu"]
    assert train_model.main(["--chromosome", CHROMOSOME, "--model_path", str(path), *settings]) == 0
    return path


def evaluation(weights: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    """The report that an evaluation in float32 writes into a folder."""
    line = ["--model_path", str(weights), "--output_dir", str(folder), "--precision", "float32", *arguments]
    assert main(line) == 0
    report: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return report


@pytest.fixture(scope="module")
def report(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("evaluated")
    return evaluation(weights, folder, "--chromosome", CHROMOSOME, "--dataset", "digits"), folder


def logits_of(weights: Path, digits: ImageData) -> Tensor:
    model = load_model(weights, decode(Encoding(digits.input_shape, digits.classes), CHROMOSOME))
    with torch.no_grad():
        logits: Tensor = model(torch.from_numpy(digits.test_images).permute(0, 3, 1, 2))
    return logits


def test_the_figures_are_those_of_scikit_learn(
    report: tuple[dict[str, Any], Path], weights: Path, digits: ImageData
) -> None:
    found, truth, logits = report[0], digits.test_labels, logits_of(weights, digits)
    predicted = logits.argmax(1).numpy()
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["loss"] == pytest.approx(metrics.log_loss(truth, logits.double().softmax(1).numpy()), rel=1e-4)
    assert found["confusion_matrix"] == metrics.confusion_matrix(truth, predicted).tolist()
    expected = metrics.classification_report(truth, predicted, output_dict=True, zero_division=0.0)
    for row in found["classes"]:
        for name, column in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert row[name] == pytest.approx(expected[row["class"]][column])
        assert row["images"] == expected[row["class"]]["support"]
    assert [row["class"] for row in found["classes"]] == list("0123456789")


def test_every_test_image_is_counted_once(report: tuple[dict[str, Any], Path], digits: ImageData) -> None:
    matrix = np.array(report[0]["confusion_matrix"])
    assert matrix.sum() == report[0]["images"] == len(digits.test_labels)
    assert matrix.sum(axis=1).tolist() == np.bincount(digits.test_labels).tolist()
    assert matrix.trace() / matrix.sum() == pytest.approx(report[0]["accuracy"])


def test_the_report_says_what_was_evaluated_and_on_what(
    report: tuple[dict[str, Any], Path], weights: Path, digits: ImageData
) -> None:
    found = report[0]
    model = build_model(decode(Encoding(digits.input_shape, digits.classes), CHROMOSOME))
    assert found["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert (found["model"], found["dataset"], found["precision"]) == (str(weights), "digits", "float32")
    assert "CPU" in found["device"]
    assert "top_5_accuracy" not in found  # with ten classes it says little
    speed = found["speed"]
    for name in ("latency_ms", "images_per_second"):
        assert len(speed[name]) == 3
        assert speed[name] == sorted(speed[name])
        assert speed[name][0] > 0


def test_the_files_are_written_where_asked(report: tuple[dict[str, Any], Path], weights: Path) -> None:
    folder = report[1]
    assert {path.name for path in folder.iterdir()} == FILES
    with Image.open(folder / "confusion_matrix.png") as picture:
        assert min(picture.size) > 300
    assert {path.name for path in weights.parent.iterdir()} == {"weights.pt", "info.json", LIST_NAME}


def test_calibration_is_reported_and_the_page_tells_it(
    report: tuple[dict[str, Any], Path], weights: Path, digits: ImageData
) -> None:
    found, page = report[0], (report[1] / "evaluation.html").read_text()
    sure, predicted = logits_of(weights, digits).double().softmax(1).max(1)
    assert found["calibration"]["mean_confidence"] == pytest.approx(float(sure.mean()), rel=1e-4)
    assert found["calibration"]["max_confidence"] == pytest.approx(float(sure.max()), rel=1e-4)
    bins = found["calibration"]["bins"]
    assert sum(each["count"] for each in bins) == found["images"]
    right = sum(each["count"] * each["accuracy"] for each in bins if each["count"])
    assert right == pytest.approx(found["accuracy"] * found["images"])
    gaps = [each["count"] * abs(each["accuracy"] - each["confidence"]) for each in bins if each["count"]]
    assert found["calibration"]["ece"] == pytest.approx(sum(gaps) / found["images"])
    low, high = found["accuracy_interval"]
    assert 0 < low < found["accuracy"] < high < 1
    assert f"<b>{found['accuracy']:.4f}</b>" in page
    assert f"<b>{found['calibration']['ece']:.4f}</b>" in page
    mistakes = int((predicted.numpy() != digits.test_labels).sum())
    assert page.count("<img ") == min(mistakes, 24)
    assert "http:" not in page


def info_of(digits: ImageData, chromosome: Chromosome = CHROMOSOME, **facts: Any) -> ModelInfo:
    known = DataFacts(
        fingerprint=digits.fingerprint,
        input_shape=digits.input_shape,
        class_names=digits.class_names,
        train_images=len(digits.train_labels),
        val_images=len(digits.val_labels),
        test_images=len(digits.test_labels),
    )
    known = replace(known, **facts)
    architecture = decode(Encoding(known.input_shape, len(known.class_names)), chromosome)
    return ModelInfo(
        version="0",
        individual=Individual(generation=1, index=1, chromosome=chromosome, origin="random"),
        description=architecture.describe(),
        phenotype=network_text(architecture),
        data=DataConfig(dataset="digits"),
        facts=known,
        metric="accuracy",
        precision="float32",
        split="train",
        weights=None,
        result=None,
    )


def write_info(folder: Path, info: ModelInfo) -> Path:
    run = RunDirectory(folder)
    save_info(run, info)
    return run.individual(info.individual.name) / "info.json"


def test_an_info_file_stands_for_chromosome_and_data(
    report: tuple[dict[str, Any], Path],
    weights: Path,
    digits: ImageData,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The files then lie beside the weights, and what is printed says the same."""
    copy = tmp_path / "model" / "weights.pt"
    copy.parent.mkdir()
    copy.write_bytes(weights.read_bytes())
    info = write_info(tmp_path, info_of(digits))
    assert main(["--model_path", str(copy), "--info_path", str(info), "--batch-size", "7"]) == 0
    assert {path.name for path in copy.parent.iterdir()} == FILES | {"weights.pt"}
    found = json.loads((copy.parent / "evaluation.json").read_text())
    measured = ("model", "speed")
    assert {name: found[name] for name in found if name not in measured} == {
        name: report[0][name] for name in report[0] if name not in measured
    }
    assert found["speed"]["batch_size"] == 7
    printed = capsys.readouterr().out
    assert f"{found['accuracy']:.4f} ({found['images']:,} images)" in printed
    assert f"{found['parameters']:,}" in printed
    assert f"{found['calibration']['ece']:.4f} (expected calibration error" in printed
    for name in FILES - {LIST_NAME}:
        assert str(copy.parent / name) in printed


def test_names_of_classes_are_printed_as_they_are(report: tuple[dict[str, Any], Path]) -> None:
    names = ["[bold]oak[/bold]", "[/]", "x" * 50]
    rows = [{**row, "class": name} for row, name in zip(report[0]["classes"], names, strict=False)]
    lines = summary({**report[0], "classes": rows})
    assert all(any(name in line for line in lines) for name in names)


# Other encodings


EXTENDED_CHROMOSOME = chromosome(EXTENDED, kernel=1, residual=True, squeeze_excitation=True, dropout=0.2)


def test_a_network_of_another_encoding_is_named_by_chromosome_or_by_info_file(
    digits: ImageData, tmp_path: Path
) -> None:
    """The info file is enough by itself: a table of one's own need not be there any more."""
    encoding = Encoding(digits.input_shape, digits.classes, EXTENDED)
    weights, table = tmp_path / "weights.pt", tmp_path / "genes.json"
    weights.write_bytes(weights_bytes(build_model(decode(encoding, EXTENDED_CHROMOSOME), *digits.statistics())))
    named = ["--chromosome", EXTENDED_CHROMOSOME, "--dataset", "digits", "--encoding"]
    by_name = evaluation(weights, tmp_path / "1", *named, "extended")
    table.write_text(gene_table_text(EXTENDED))
    by_file = evaluation(weights, tmp_path / "2", *named, str(table))
    info = replace(
        info_of(digits),
        individual=Individual(generation=1, index=1, chromosome=EXTENDED_CHROMOSOME, origin="random"),
        description=encoding.describe(EXTENDED_CHROMOSOME),
        phenotype=encoding.network(EXTENDED_CHROMOSOME),
    )
    by_info = evaluation(weights, tmp_path / "3", "--info_path", str(write_info(tmp_path, info)))
    reports = [{name: value for name, value in each.items() if name != "speed"} for each in (by_name, by_file, by_info)]
    assert reports[0] == reports[1] == reports[2]
    assert "residual, squeeze-and-excitation, dropout 0.2; SGD" in by_name["description"]


# Refusals


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        main([*map(str, arguments)])
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def of_digits(weights: Path, chromosome: Chromosome = CHROMOSOME) -> list[str]:
    return ["--model_path", str(weights), "--chromosome", chromosome, "--dataset", "digits"]


def test_the_network_is_named_in_one_way(weights: Path, digits: ImageData, tmp_path: Path) -> None:
    info = write_info(tmp_path, info_of(digits))
    assert "--info_path or by --chromosome" in refusal(*of_digits(weights), "--info_path", info)
    assert "--info_path or by --chromosome" in refusal("--model_path", weights, "--dataset", "digits")
    assert "--model_path" in refusal("--chromosome", CHROMOSOME)
    assert "--encoding goes with --chromosome" in refusal(
        "--model_path", weights, "--info_path", info, "--encoding", "standard"
    )


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    message = refusal(*of_digits(weights, OTHER))
    assert f"{weights} does not fit the chromosome" in message


class Trap:
    """An object whose pickle makes a folder when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


GARBAGE: dict[str, Callable[[Path, bytes], object]] = {
    "an empty file": lambda path, weights: path.write_bytes(b""),
    "a text": lambda path, weights: path.write_bytes(b"weights"),
    "a cut-off file": lambda path, weights: path.write_bytes(weights[: len(weights) // 2]),
    "a pickle": lambda path, weights: path.write_bytes(pickle.dumps({"a": 1}, protocol=2)),
    "a list": lambda path, weights: torch.save([1, 2], path),
    "numbers": lambda path, weights: torch.save({"a": 1}, path),
    "other tensors": lambda path, weights: torch.save({"a": torch.zeros(2)}, path),
    "no tensors": lambda path, weights: torch.save({}, path),
    "a trap": lambda path, weights: torch.save({"a": Trap(path.parent / "sprung")}, path),
    "a pickled trap": lambda path, weights: path.write_bytes(pickle.dumps(Trap(path.parent / "sprung"), 2)),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_file_that_holds_no_weights_is_refused_and_never_run(kind: str, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "garbage.pt"
    GARBAGE[kind](path, weights.read_bytes())
    assert str(path) in refusal(*of_digits(path))
    assert {found.name for found in tmp_path.iterdir()} == {"garbage.pt"}


def test_a_missing_weights_file_is_named(tmp_path: Path) -> None:
    assert refusal(*of_digits(tmp_path / "none.pt")) == f"no weights file {tmp_path / 'none.pt'}"
    assert refusal(*of_digits(tmp_path)) == f"no weights file {tmp_path}"


def test_where_a_run_has_removed_weights_the_refusal_names_those_that_it_keeps(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    state = go_on(run, InlineWorkers(run), NoSignals(), limits=Limits(min_free_disk=0.0, keep_models="none"))
    there = {each.name: each for each in state.generations[-1].individuals if run.weights(each.name).is_file()}
    gone = next(each.name for each in state.generations[0].individuals if not run.weights(each.name).is_file())
    said = refusal(*of_digits(run.weights(gone)))
    pattern = r"no weights file (\S+); .* --model_path (\S+) --chromosome ([01]+) \(or --info_path (\S+)\)"
    flags = re.fullmatch(pattern, said)
    assert flags is not None, said
    missing, path, chromosome, info_path = flags.groups()
    assert missing == str(run.weights(gone))
    assert Path(path).is_file()
    assert read_info(Path(info_path)).individual.chromosome == chromosome
    assert read_info(Path(info_path)).result == state.results[next(iter(there.values())).jobs[-1]]
    for weights in tmp_path.rglob("*.pt"):
        weights.unlink()
    assert refusal(*of_digits(run.weights(gone))) == f"no weights file {run.weights(gone)}"


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b'{"kind": "model_info"}', b"\xff\xfe"])
def test_an_info_file_that_is_missing_or_damaged_is_refused(
    weights: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "info.json"
    if content is not None:
        path.write_bytes(content)
    assert str(path) in refusal("--model_path", weights, "--info_path", path)


def test_an_info_file_that_was_changed_by_hand_is_refused(weights: Path, digits: ImageData, tmp_path: Path) -> None:
    path = write_info(tmp_path, info_of(digits))
    path.write_text(path.read_text().replace(CHROMOSOME, OTHER))
    assert str(path) in refusal("--model_path", weights, "--info_path", path)


def test_an_info_file_whose_phenotype_is_no_network_is_refused(
    weights: Path, digits: ImageData, tmp_path: Path
) -> None:
    path = write_info(tmp_path, replace(info_of(digits), phenotype=NetworkText("{}")))
    message = refusal("--model_path", weights, "--info_path", path)
    assert str(path) in message
    assert "--chromosome" in message


def test_data_of_another_shape_are_refused(weights: Path, digits: ImageData, tmp_path: Path) -> None:
    info = write_info(tmp_path, info_of(digits, input_shape=(3, 32, 32)))
    message = refusal("--model_path", weights, "--info_path", info)
    assert "(3, 32, 32)" in message
    assert "--dataset" in message
    info = write_info(tmp_path, info_of(digits, class_names=("yes", "no")))
    assert "it lacks 'yes', 'no', and it has '0'" in refusal("--model_path", weights, "--info_path", info)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chromosome", "0110"], "19 bits"),
        (["--encoding", "extended"], f"{EXTENDED.length} bits"),
        (["--encoding", "nowhere.json"], "no gene table 'nowhere.json'"),
        (["--batch_size", "0"], "--batch_size must be at least 1"),
        (["--gpus", "99"], "--gpus 99 is not there"),
        (["--precision", "int8"], "--precision"),
        (["--dataset", "nowhere"], "no data set 'nowhere'"),
        (["--modelpath", "x"], "did you mean --model_path?"),
    ],
)
def test_what_is_typed_wrongly_is_refused_in_one_line(weights: Path, arguments: list[str], said: str) -> None:
    assert said in refusal(*of_digits(weights), *arguments)


def test_a_folder_that_cannot_be_written_is_named(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises((InputError, RunFault)) as caught:
        main([*of_digits(weights), "--output_dir", str(tmp_path / "file" / "below")])
    assert str(tmp_path / "file") in str(caught.value)
    assert "\n" not in str(caught.value)
