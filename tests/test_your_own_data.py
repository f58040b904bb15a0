"""Your own images, from the files to a trained network, its report and its export."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from image_data.tensors import image_tensor, to_device
from model_generator import weights_bytes
from records import DataConfig, TrainingConfig, TrainingJob
from records.texts import Chromosome
from reporting.drawings.network_figure import draw_network
from reporting.figures.theme import save_figure
from reporting.handout.export import export_model
from reporting.handout.trained_network import TrainedNetwork
from search_space.architecture import network_text
from search_space.encoding import Encoding, decode
from tests.pictures import Y, check_files, counts, load, write_npz
from tests.program import ROOT
from train_model import train_model
from training.protocol import resolve_protocol


@pytest.mark.parametrize("shape", [(8, 8), (24, 40), (8, 224), (224, 160, 3)])
def test_a_network_for_images_of_any_size_trains_and_can_be_drawn_and_exported(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """Six training images in batches of 128, so that an epoch is one step."""
    images = np.repeat(np.arange(12), int(np.prod(shape))).astype(np.uint8).reshape(12, *shape)
    path = write_npz(tmp_path / "a.npz", x_train=images, y_train=np.arange(12) % 2, x_test=images[:2], y_test=Y[:2])
    data = load(path, val_fraction=0.5)
    network = decode(Encoding(data.input_shape, data.classes), Chromosome("0000000000001111111"))
    protocol = resolve_protocol(TrainingConfig(epochs=1), DataConfig(dataset=str(path)), data.input_shape, gpu=False)
    job = TrainingJob(phenotype=network_text(network), protocol=protocol, data_fingerprint=data.fingerprint)
    result, model = train_model(job, to_device(data, torch.device("cpu")), torch.device("cpu"))
    assert result.status == "done"
    assert result.fitness is not None
    check_files(save_figure(draw_network(network), tmp_path, "network"), tmp_path, "network")
    (tmp_path / "weights.pt").write_bytes(weights_bytes(model))
    assert isinstance(model, torch.nn.Sequential)
    subject = TrainedNetwork(model, network, "small", data.class_names, tmp_path / "weights.pt")
    (code,) = export_model(subject, image_tensor(data.test_images, torch.device("cpu")), tmp_path, ["code"])
    assert code.same_class == 2


def test_the_programs_of_the_guide_write_data_that_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs" / "your-own-data.md").read_text()
    monkeypatch.chdir(tmp_path)
    for program in re.findall(r"```python\n(.*?)```", guide, re.DOTALL):
        exec(compile(program, "guide", "exec"), {})  # noqa: S102 our own
    scans, pieces = load("scans"), load("pieces", image_size="48x64")
    assert counts(scans) == [830, 200, 316]
    assert sorted(set(scans.class_counts)) == [20, 110]
    assert pieces.input_shape == (3, 48, 64)
    assert counts(pieces) == [81, 9, 22]
    assert "830 training, 200 validation and 316 test images of 8×8×1" in guide


NAMES = ("<b>bold</b>", "a name that is much too long for any table " * 3, "猫 и кошка", "plain")


@pytest.mark.slow
def test_a_run_on_uneven_classes_with_odd_names_says_what_it_goes_by_and_keeps_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A validation split that comes with the data, few images, not square, and no test split."""
    import evaluate
    import evolution

    monkeypatch.chdir(tmp_path)
    labels = np.repeat(np.arange(4), [40, 20, 10, 10])
    rng = np.random.default_rng(0)
    images = (60 * labels[:, None, None] + rng.integers(0, 60, (80, 12, 20))).astype(np.uint8)
    path = write_npz(
        tmp_path / "own.npz",
        x_train=images,
        y_train=labels,
        x_val=images[::5],
        y_val=labels[::5],
        x_test=None,
        y_test=None,
        classes=np.array(NAMES),
    )
    line = ["--dataset", str(path), "--generations", "1", "--population", "3", "--epochs", "2", "--finalists", "1"]
    assert evolution.main([*line, "--early_stopping", "none", "--cpu_workers", "1", "--final_seeds", "1"]) == 0
    said = capfd.readouterr().out
    assert "data set" in said
    assert "64 training, 16 validation and 16 test images of 12×20×1 in 4 classes" in said
    assert "classes have 8 to 32 training images; fitness is the balanced accuracy" in said
    assert "an epoch of 64 images is 1 step of 64; a smaller --batch_size" in said
    assert ": balanced accuracy 0." in said or ": balanced accuracy 1." in said
    assert "\nvalidation balanced accuracy " in said
    assert "\ntest balanced accuracy " in said
    assert "\ntest accuracy        " in said
    card = Path("best_model/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Test balanced accuracy" in card
    assert "\\<b\\>bold" in card
    page = Path("results/report.html").read_text(encoding="utf-8")
    assert "validation balanced accuracy" in page
    assert f"Classes: &lt;b&gt;bold&lt;/b&gt;, {NAMES[1][:39]}…, 猫 и кошка, plain" in page
    line = ["--model_path", "best_model/best_model.pt", "--info_path", "best_model/info.json", "--export", "code"]
    assert evaluate.main(line) == 0
    said = capfd.readouterr().out
    assert "\nbalanced " in said
    assert "猫 и кошка" in said
    page = Path("best_model/evaluation.html").read_text(encoding="utf-8")
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    space: dict[str, Any] = {"__file__": "best_model/model.py"}
    exec(compile(Path("best_model/model.py").read_text(encoding="utf-8"), "model.py", "exec"), space)  # noqa: S102 our own file
    assert tuple(space["CLASSES"]) == NAMES
