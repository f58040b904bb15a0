"""A model evaluated on other data than those of its training: classes by name, all images or a split."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import evaluate
import train_model
from image_data.whole import with_channels
from records import InputError
from storage.results import read_info

CHROMOSOME = "0000000000001111111"
COUNT = 200


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        monkeypatch.setattr(evaluate, "LATENCY_WARM_UPS", 1)
        monkeypatch.setattr(evaluate, "LATENCY_REPEATS", 1)
        yield


def pictures(size: int = 16, channels: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures that are dark (0) or bright (1)."""
    rng, labels = np.random.default_rng(0), np.arange(COUNT) % 2
    images = rng.integers(0, 60, (COUNT, size, size, channels)).astype(np.uint8)
    images[labels == 1] += 150
    return images, labels


def archive(path: Path, names: Sequence[str] | None, flipped: bool = False, size: int = 16) -> Path:
    images, labels = pictures(size)
    arrays: dict[str, Any] = {"x_train": images, "y_train": 1 - labels if flipped else labels}
    if names is not None:
        arrays["classes"] = np.array(names)
    np.savez(path, **arrays)
    return path


def folders(path: Path, names: Sequence[str], size: int = 16, channels: int = 1) -> Path:
    images, labels = pictures(size, channels)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (path / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze()).save(path / names[label] / f"{number}.png")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that `train_model.py` trained on dark cats and bright dogs."""
    folder = tmp_path_factory.mktemp("model")
    data = archive(folder / "cat_dog.npz", ["cat", "dog"])
    line = f"--chromosome {CHROMOSOME} --dataset {data} --epochs 4 --batch_size 16 --device cpu --flip off"
    assert train_model.main([*line.split(), "--model_path", str(folder / "weights.pt")]) == 0
    return folder


def evaluation(model: Path, folder: Path, *arguments: object) -> dict[str, Any]:
    line = [
        "--model_path",
        model / "weights.pt",
        "--info_path",
        model / "info.json",
        "--output_dir",
        folder,
        *arguments,
    ]
    assert evaluate.main(list(map(str, line))) == 0
    report: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return report


def test_what_train_model_wrote_is_evaluated_like_a_model_of_a_run(model: Path, tmp_path: Path) -> None:
    info = read_info(model / "info.json")
    assert (info.facts.class_names, info.individual.chromosome) == (("cat", "dog"), CHROMOSOME)
    report = evaluation(model, tmp_path)
    assert (report["split"], report["images"], report["accuracy"]) == ("test", COUNT // 5, 1.0)
    assert evaluation(model, tmp_path, "--split", "validation")["images"] == info.facts.val_images
    assert evaluation(model, tmp_path, "--split", "train")["images"] == info.facts.train_images


def test_the_data_of_the_training_are_known_wherever_they_lie(model: Path, tmp_path: Path) -> None:
    """Then the images that the network was trained on are left out."""
    moved = archive(tmp_path / "moved.npz", ["cat", "dog"])
    assert evaluation(model, tmp_path, "--dataset", moved)["images"] == COUNT // 5


def test_classes_are_matched_by_name_whatever_their_order(model: Path, tmp_path: Path) -> None:
    report = evaluation(model, tmp_path, "--dataset", archive(tmp_path / "a.npz", ["dog", "cat"], flipped=True))
    assert (report["split"], report["images"], report["accuracy"]) == ("all", COUNT, 1.0)
    assert [row["class"] for row in report["classes"]] == ["cat", "dog"]
    exchanged = archive(tmp_path / "b.npz", ["dog", "cat"])
    assert evaluation(model, tmp_path, "--dataset", exchanged)["accuracy"] == 0.0


def test_classes_without_names_are_matched_by_number(model: Path, tmp_path: Path) -> None:
    report = evaluation(model, tmp_path, "--dataset", archive(tmp_path / "a.npz", None))
    assert report["accuracy"] == 1.0
    assert [row["class"] for row in report["classes"]] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["cat", "wolf"], "lacks 'dog', and it has 'wolf' besides"),
        (["Cat", "Dog"], "lacks 'cat', 'dog', and it has 'Cat', 'Dog' besides"),
    ],
)
def test_other_classes_are_refused_with_the_differences(
    model: Path, tmp_path: Path, names: list[str], said: str
) -> None:
    with pytest.raises(InputError, match=f"the classes of .* are not those of the network: it {said}; name its"):
        evaluation(model, tmp_path, "--dataset", archive(tmp_path / "a.npz", names))


def test_a_folder_of_class_folders_is_evaluated_whole_and_resized_as_the_model_needs_it(
    model: Path, tmp_path: Path
) -> None:
    data = folders(tmp_path / "pets", ["cat", "dog"], size=40, channels=3)
    report = evaluation(model, tmp_path, "--dataset", data)
    assert (report["split"], report["images"], report["accuracy"]) == ("all", COUNT, 1.0)
    assert evaluation(model, tmp_path, "--dataset", data, "--split", "test")["images"] == COUNT // 5


def test_of_a_folder_with_splits_the_test_images_are_evaluated(model: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        folders(tmp_path / "pets" / part, ["cat", "dog"])
    report = evaluation(model, tmp_path, "--dataset", tmp_path / "pets")
    assert (report["split"], report["images"]) == ("test", COUNT)


def test_a_folder_with_a_picture_of_each_class_is_enough(model: Path, tmp_path: Path) -> None:
    images, _ = pictures()
    for name, image in zip(["cat", "dog"], images, strict=False):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.fromarray(image.squeeze()).save(tmp_path / "pets" / name / "a.png")
    assert evaluation(model, tmp_path, "--dataset", tmp_path / "pets")["images"] == 2


def test_colours_become_grey_as_pillow_makes_them_and_grey_is_repeated() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    grey = with_channels(colours, 1)
    assert (grey[..., 0] == [np.asarray(Image.fromarray(each).convert("L")) for each in colours]).all()
    assert (with_channels(grey, 3) == np.repeat(grey, 3, axis=3)).all()


def test_a_second_model_does_not_take_the_description_of_the_first(model: Path, tmp_path: Path) -> None:
    own = train_model.own_files(model / "weights.pt")  # again: its own
    assert own.owns(model / "weights.pt")
    with pytest.raises(InputError, match=r"info\.json describes .*weights\.pt; name a --model_path in another folder"):
        train_model.own_files(model / "other.pt")
    (tmp_path / "mine.pt").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"mine\.pt was not written by this command"):
        train_model.own_files(tmp_path / "mine.pt")


def deep_folders(path: Path, brightness: float) -> Path:
    """The pictures as floats beyond every usual range."""
    images, labels = pictures()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = path / ("cat", "dog")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.squeeze().astype(np.float32) * brightness).save(place / f"{number}.tif")
    return path


def test_pixels_that_do_not_say_their_range_have_that_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = deep_folders(tmp_path / "bright", 16)
    line = f"--chromosome {CHROMOSOME} --dataset {data} --epochs 4 --batch_size 16 --device cpu --flip off"
    assert train_model.main([*line.split(), "--model_path", str(tmp_path / "weights.pt")]) == 0
    low, high = read_info(tmp_path / "info.json").facts.preparation.pixel_range or (0, 0)
    assert low < 16
    assert 3200 < high < 3400
    assert f"note: the type of the pixels does not say their range: {low:g} becomes black" in capsys.readouterr().out
    assert evaluation(tmp_path, tmp_path / "same")["accuracy"] > 0.9
    dim = deep_folders(tmp_path / "dim", 2)  # its dogs are as dark as the cats were
    assert evaluation(tmp_path, tmp_path / "other", "--dataset", dim)["accuracy"] == 0.5
    assert f"note: the type of the pixels does not say their range: {low:g} becomes black" in capsys.readouterr().err
