"""Exported networks give what the network gives: each format, standard and extended chromosomes, three image sizes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors
import torch
from torch import Tensor

import evaluate
from model_generator import build_model, load_model, weights_bytes
from records import InputError, RunFault
from records.texts import Chromosome
from reporting.handout import export, standalone_code
from reporting.handout.export import Exported, export_model, require_packages
from reporting.handout.formats import FORMATS
from reporting.handout.standalone_code import code_of
from reporting.handout.trained_network import TrainedNetwork
from search_space.architecture import architecture_of
from search_space.encoding import Encoding
from search_space.genes import EXTENDED, STANDARD, GeneTable
from tests.builders import chromosome
from tests.program import ROOT, program_files
from training.metrics import predict

# ReLU and max; GELU, average, late pooling, 5×5, residual, weighed and with dropout; LeakyReLU and weighed alone.
WEIGHED = {"squeeze_excitation": True}
CASES: dict[str, tuple[tuple[int, int, int], GeneTable, str]] = {
    "standard 8×8 grey": ((1, 8, 8), STANDARD, "0000000000001111111"),
    "standard 32×32": ((3, 32, 32), STANDARD, "0000100110111110111"),
    "extended 8×8 grey": (
        (1, 8, 8),
        EXTENDED,
        chromosome(EXTENDED, "0001001001110111111", **WEIGHED, residual=True, dropout=0.2),
    ),
    "extended 32×32": ((3, 32, 32), EXTENDED, chromosome(EXTENDED, "0001000100001101111", **WEIGHED, dropout=0.1)),
    "extended 96×80 with a stem": (
        (3, 96, 80),
        EXTENDED,
        chromosome(EXTENDED, "0000100100001111110", **WEIGHED, residual=True, dropout=0.2),
    ),
    "standard 96×96 with a stem": ((3, 96, 96), STANDARD, "0000101000001111111"),
}
FAST = ("standard 8×8 grey", "extended 32×32")
NAMES = ("plain", 'with "quotes"', "'''", "back\\slash", '"""; import os', "{braces}", "ß→é", "\u202e")


def network_of(case: str, folder: Path) -> TrainedNetwork:
    """A network whose running statistics, like all else that a file must carry, are not those at the start."""
    input_shape, table, bits = CASES[case]
    torch.manual_seed(1)
    encoding = Encoding(input_shape, len(NAMES), table)
    architecture = architecture_of(encoding.network(Chromosome(bits)))
    model = build_model(architecture, [100.0, 120.0, 140.0][: input_shape[0]], [50.0, 60.0, 70.0][: input_shape[0]])
    with torch.no_grad():
        for _ in range(3):
            model(images_of(architecture.input_shape, 16))
        for value in model.parameters():
            value.add_(torch.randn_like(value), alpha=0.02)
    weights = folder / "best_model.pt"
    weights.write_bytes(weights_bytes(model))
    return TrainedNetwork(
        load_model(weights, architecture), architecture, encoding.describe(Chromosome(bits)), NAMES, weights
    )


def images_of(input_shape: tuple[int, int, int], count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, *input_shape), dtype=torch.uint8, generator=generator)


@pytest.fixture(
    scope="module", params=[case if case in FAST else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainedNetwork, Tensor, list[Exported]]:
    folder = tmp_path_factory.mktemp("exported")
    network = network_of(request.param, folder)
    images = images_of(network.architecture.input_shape, 37)
    return network, images, export_model(network, images, folder, tuple(FORMATS))


def test_every_format_says_how_near_it_comes(exported: tuple[TrainedNetwork, Tensor, list[Exported]]) -> None:
    network, images, found = exported
    assert [each.format for each in found] == list(FORMATS)
    for each in found:
        assert each.path == network.weights.parent / FORMATS[each.format].file
        assert each.max_difference < 2e-5
        assert each.same_class == each.images == len(images)


PROGRAM = """
import json, sys, torch
import model
images, expected = torch.load(sys.argv[1])
network = model.load()
with torch.no_grad():
    difference = (network(images) - expected).abs().max().item()
probability = (model.predict(images) - expected.softmax(1)).abs().max().item()
foreign = sorted(name for name in sys.modules if name in json.loads(sys.argv[2]))
print(json.dumps([difference, probability, foreign, model.CLASSES, model.INPUT_SHAPE, model.DESCRIPTION]))
"""


def test_the_code_runs_by_itself_beside_its_weights(
    exported: tuple[TrainedNetwork, Tensor, list[Exported]], tmp_path: Path
) -> None:
    """In a process of its own, from a folder of its own: nothing of the project is there to be imported."""
    network, images, _ = exported
    own = sorted({path.relative_to(ROOT).parts[0].removesuffix(".py") for path in program_files()})
    for name in ("model.py", "best_model.pt"):
        (tmp_path / name).write_bytes((network.weights.parent / name).read_bytes())
    torch.save((images, predict(network.model, images, "float32")), tmp_path / "pair")
    (tmp_path / "program.py").write_text(PROGRAM)
    line = [sys.executable, "-W", "error", "program.py", "pair", json.dumps(own)]
    printed = subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120).stdout
    difference, probability, foreign, classes, input_shape, description = json.loads(printed)
    assert difference < 2e-5
    assert probability < 2e-5
    assert foreign == []
    assert tuple(classes) == NAMES
    assert tuple(input_shape) == network.architecture.input_shape
    assert description == network.description


def test_the_onnx_file_takes_any_number_of_images_and_knows_the_classes(
    exported: tuple[TrainedNetwork, Tensor, list[Exported]],
) -> None:
    network, images, _ = exported
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        network.weights.parent / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].type == "tensor(uint8)"
    assert session.get_inputs()[0].shape[1:] == list(network.architecture.input_shape)
    assert not isinstance(session.get_inputs()[0].shape[0], int)
    for count in (1, 2, 5, 37):
        logits = session.run(["logits"], {"images": images[:count].numpy()})[0]
        assert logits == pytest.approx(predict(network.model, images[:count], "float32").numpy(), abs=2e-5)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(NAMES)


def test_the_torch_program_takes_any_number_of_images(exported: tuple[TrainedNetwork, Tensor, list[Exported]]) -> None:
    network, images, _ = exported
    facts = {"classes": ""}
    with warnings.catch_warnings(action="ignore"):
        program = torch.export.load(network.weights.parent / "model.pt2", extra_files=facts)
    assert json.loads(facts["classes"]) == list(NAMES)
    for count in (1, 2, 5, 37):
        found, expected = program.module()(images[:count]), predict(network.model, images[:count], "float32")
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_safetensors_hold_the_weights_bit_for_bit(exported: tuple[TrainedNetwork, Tensor, list[Exported]]) -> None:
    network, _, _ = exported
    with safetensors.safe_open(network.weights.parent / "model.safetensors", "pt") as file:
        state = network.model.state_dict()
        assert set(file.keys()) == set(state)
        assert all(torch.equal(file.get_tensor(name), value) for name, value in state.items())
        assert architecture_of(file.metadata()["network"]) == network.architecture


def test_the_code_is_short_of_what_it_does_not_use_and_its_lines_fit(tmp_path: Path) -> None:
    plain = code_of(network_of("standard 8×8 grey", tmp_path), "best_model.pt")
    assert "class ResidualBlock" not in plain
    assert "class SqueezeExcitation" not in plain
    whole = code_of(network_of("extended 96×80 with a stem", tmp_path), "best_model.pt")
    assert "stride=2" in whole
    assert "nn.Dropout(0.2)" in whole
    assert max(map(len, whole.splitlines())) <= 120
    assert "nn.AvgPool2d(2),  # (N, " in code_of(network_of("extended 8×8 grey", tmp_path), "x.pt")


def test_code_in_another_folder_finds_the_weights(tmp_path: Path) -> None:
    network = network_of("standard 8×8 grey", tmp_path)
    export_model(network, images_of((1, 8, 8), 3), tmp_path / "a" / "b", ["code"])
    assert "WEIGHTS = Path(__file__).parent / '../../best_model.pt'" in (tmp_path / "a" / "b" / "model.py").read_text()


def test_a_file_that_gives_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("standard 8×8 grey", tmp_path)
    (tmp_path / "model.py").write_text("before")
    monkeypatch.setattr(
        standalone_code, "NORMALIZE", standalone_code.NORMALIZE.replace("* self.scale", "* self.scale * 2")
    )
    with pytest.raises(RunFault, match=r"model\.py was not written: its logits differ .* by \d"):
        export_model(network, images_of((1, 8, 8), 3), tmp_path, ["code"])
    monkeypatch.setattr(standalone_code, "NORMALIZE", "no code")
    with pytest.raises(RunFault, match=r"model\.py was not written: SyntaxError: "):
        export_model(network, images_of((1, 8, 8), 3), tmp_path, ["code"])
    assert (tmp_path / "model.py").read_text() == "before"


def test_logits_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    network = network_of("standard 8×8 grey", tmp_path)
    torch.nn.init.constant_(next(network.model.parameters()), float("nan"))
    with pytest.raises(RunFault, match="nan"):
        export_model(network, images_of((1, 8, 8), 3), tmp_path, ["safetensors"])


def test_many_images_are_sampled_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "CHECKED", 5)
    network = network_of("standard 8×8 grey", tmp_path)
    assert export_model(network, images_of((1, 8, 8), 50), tmp_path, ["safetensors"])[0].images == 5


def test_one_image_is_enough_to_check_with(tmp_path: Path) -> None:
    network = network_of("standard 8×8 grey", tmp_path)
    assert [each.images for each in export_model(network, images_of((1, 8, 8), 1), tmp_path, tuple(FORMATS))] == [1] * 4


def test_a_missing_package_is_named_before_anything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_packages(["torch", "code"])
    with pytest.raises(InputError, match="pip install onnx onnxruntime onnxscript"):
        require_packages(["code", "onnx"])
    line = ["--model_path", str(tmp_path / "none"), "--chromosome", "0", "--export", "code", "safetensors"]
    with pytest.raises(InputError, match=r"^--export safetensors needs the package safetensors; .* pip install safet"):
        evaluate.main(line)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="--export"):
        evaluate.main(["--model_path", "x", "--chromosome", "0", "--export", "tflite"])


@pytest.mark.slow
def test_evaluate_exports_beside_the_weights_and_says_how_near_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(evaluate, "LATENCY_REPEATS", 3)
    bits = CASES["extended 8×8 grey"][2]
    architecture = architecture_of(Encoding((1, 8, 8), 10, EXTENDED).network(Chromosome(bits)))
    weights = tmp_path / "weights.pt"
    weights.write_bytes(weights_bytes(build_model(architecture, [80.0], [96.0])))
    line = ["--model_path", str(weights), "--chromosome", bits, "--encoding", "extended", "--dataset", "digits"]
    assert evaluate.main([*line, "--export", *FORMATS, "code", "--precision", "bfloat16"]) == 0
    printed = capfd.readouterr()
    assert {each.file for each in FORMATS.values()} < {path.name for path in tmp_path.iterdir()}
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert [each["format"] for each in report["exports"]] == list(FORMATS)
    images = report["images"]
    for each in report["exports"]:
        assert f"{'as ' + each['format']:<16} logits within {each['max_difference']:.1e}" in printed.out
        assert each["images"] == each["same_class"] == images
    assert f"the same class for {images} of {images} images" in printed.out
    assert str(tmp_path / "model.onnx") in printed.out.splitlines()[-1]
    for chatter in ("[torch.onnx]", "Warning", "warning"):
        assert chatter not in printed.out + printed.err


def test_facts_survive_whatever_the_names_are(tmp_path: Path) -> None:
    network = replace(network_of("standard 8×8 grey", tmp_path), description="x" * 300 + '"""\n' + "y z " * 90)
    export_model(network, images_of((1, 8, 8), 2), tmp_path, ["code", "safetensors"])
    space: dict[str, object] = {"__file__": "model.py"}
    head = (tmp_path / "model.py").read_text().split("class Normalize")[0]
    exec(compile(head, "model.py", "exec"), space)  # noqa: S102
    assert space["DESCRIPTION"] == network.description
    assert np.array_equal(list(space["CLASSES"]), NAMES)  # type: ignore[call-overload]
