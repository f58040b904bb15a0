"""Data of one's own: splits that come with it, sizes, memory, classes, and what is refused."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from image_data import archives, folders, splits
from image_data import data_set as image_data
from image_data.tensors import image_tensor, to_device
from records import DataConfig, InputError, TrainingConfig, TrainingJob
from records.texts import Chromosome
from reporting.drawings.network_figure import draw_network
from reporting.figures.theme import save_figure
from reporting.handout.export import Network, export_model
from search_space.architecture import network_text
from search_space.encoding import Encoding, decode
from tests.image_data.test_data_set import (
    X_TEST,
    Y_TEST,
    X,
    Y,
    brightness_fits_labels,
    images_of,
    load,
    pairs,
    refusal,
    write_npz,
    write_pictures,
)
from tests.pictures import check_files
from train_model import train_model, weights_bytes
from training.protocol import resolve_protocol

X_VAL, Y_VAL = images_of(8, 8, 8, seed=3), np.arange(8) % 4


def counts(data: image_data.ImageData) -> list[int]:
    return [len(data.split(name)[1]) for name in ("train", "validation", "test")]


# Splits of one's own


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_a_validation_folder_is_used_as_it_is(tmp_path: Path, name: str) -> None:
    for part, count in (("train", 10), (name, 4), ("test", 3)):
        write_pictures(tmp_path / part, "L", count=count)
    data = load(tmp_path)
    assert counts(data) == [20, 8, 6]
    assert sorted(data.val_images[:, 0, 0, 0]) == [20, 21, 22, 23, 200, 201, 202, 203]
    assert brightness_fits_labels(data)


def test_with_a_validation_folder_the_test_images_may_still_come_from_the_training_images(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", count=10)
    write_pictures(tmp_path / "val", count=2)
    data = load(tmp_path)
    assert counts(data) == [16, 4, 4]
    assert np.bincount(data.test_labels).tolist() == [2, 2]


def test_two_images_of_a_class_are_enough_beside_a_validation_folder(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", count=2)
    write_pictures(tmp_path / "val", count=1)
    assert counts(load(tmp_path)) == [2, 2, 2]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "train")
    assert load(tmp_path).class_names == ("dog", "train")


def test_validation_arrays_are_used_as_they_are(tmp_path: Path) -> None:
    data = load(write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL))
    assert pairs(data.split("train")) == pairs((X[..., None], Y))
    assert np.array_equal(data.val_images[..., 0], X_VAL)
    assert np.array_equal(data.val_labels, Y_VAL)
    assert np.array_equal(data.test_images[..., 0], X_TEST)


def test_without_test_arrays_a_fifth_of_the_training_images_is_held_out(tmp_path: Path) -> None:
    data = load(write_npz(tmp_path / "a.npz", x_test=None, y_test=None))
    assert counts(data) == [28, 4, 8]
    assert pairs(*(data.split(name) for name in ("train", "validation", "test"))) == pairs((X[..., None], Y))


def test_a_training_limit_leaves_validation_images_of_ones_own_alone(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL)
    assert counts(load(path, train_limit=10)) == [10, 8, 12]
    assert counts(load(path, train_limit=4)) == [4, 8, 12]
    assert "--train_limit must be at least 4 (one image for each" in refusal(lambda: load(path, train_limit=3))


def test_validation_images_of_ones_own_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    pixels, labels = X_VAL.copy(), Y_VAL.copy()
    pixels[3, 3, 3] ^= 1
    labels[[0, 1]] = labels[[1, 0]]
    splits = [(None, None), (X_VAL, Y_VAL), (pixels, Y_VAL), (X_VAL, labels)]
    found = {load(write_npz(tmp_path / "a.npz", x_val=x, y_val=y)).fingerprint for x, y in splits}
    assert len(found) == 4


def test_a_validation_share_is_refused_where_there_are_validation_images(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL)
    message = refusal(lambda: load(path, val_fraction=0.2))
    assert "--val_fraction is for data without a validation split" in message
    assert "8 validation images; leave the flag out" in message


# What is known from before


def test_fingerprints_of_folders_and_archives_never_change(tmp_path: Path) -> None:
    """Of what could be read before there were validation splits of one's own; runs made then can be resumed."""
    write_pictures(tmp_path / "limited")
    write_pictures(tmp_path / "both" / "train", count=7)
    write_pictures(tmp_path / "both" / "test", count=3)
    write_pictures(tmp_path / "sizes", mode="P", sizes=((12, 10), (30, 20), (9, 40)))
    found = [
        load(tmp_path / "limited", train_limit=9),
        load(tmp_path / "both"),
        load(tmp_path / "sizes"),
        load(write_npz(tmp_path / "a.npz"), train_limit=30, val_fraction=0.3),
    ]
    assert [data.fingerprint for data in found] == [
        "5a0b910010ef19e7145666db9984eaf51faac08c1544c15aab631b28b8be346e",
        "08bbb211311c778a3722cc7535598335565e2de8b92bee41073275c304463ad1",
        "15784c89f6782e2086bd3b3558c6cfeee4c4b6465498bf3af345fdd0dde28749",
        "5c3958bd5128737e53a3a8ab88d5a9be7195aac50ee893223e50883582df1cd0",
    ]


# Sizes


@pytest.mark.parametrize(("size", "shape"), [("16", (16, 16)), ("12x20", (12, 20)), ("224x8", (224, 8))])
def test_images_are_resized_to_a_square_or_to_height_and_width(
    tmp_path: Path, size: str, shape: tuple[int, int]
) -> None:
    folder = write_pictures(tmp_path / "pets", sizes=((30, 20), (9, 40)))
    data = load(folder, image_size=size)
    assert data.input_shape == (3, *shape)
    assert brightness_fits_labels(data)
    images = np.repeat(np.repeat(np.where(Y < 2, 20, 200)[:, None, None], 30, 1), 10, 2).astype(np.uint8)
    data = load(write_npz(tmp_path / "a.npz", x_train=images, x_test=images[:12], y_test=Y[:12]), image_size=size)
    assert data.input_shape == (1, *shape)
    assert np.array_equal(data.train_images[:, 0, 0, 0] < 100, data.train_labels < 2)


@pytest.mark.parametrize("size", ["7", "225", "0x64", "64x300", "64x", "x", "1x2x3", "sixty", "-64", "6 4", "٦٤", ""])
def test_a_size_out_of_range_or_of_another_form_is_refused(size: str) -> None:
    message = refusal(lambda: DataConfig(image_size=size))
    assert message.startswith("--image_size must be 8 to 224 pixels, as 64 or (height, width) as 48x64, but is")


def test_a_named_set_is_not_resized() -> None:
    assert "--image_size is for data of one's own" in refusal(lambda: load("digits", image_size="16"))


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_images_that_are_too_large_are_refused_with_a_size_that_would_do(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write_pictures(tmp_path / "pets", "L", sizes=((400, 300),))
    else:
        large = np.zeros((40, 300, 400), np.uint8)
        path = write_npz(tmp_path / "a.npz", x_train=large, x_test=large[:12])
    message = refusal(lambda: load(path))
    assert "images are 300×400 pixels, but networks read at most 224 a side" in message
    assert "--image_size 64" in message
    assert "96x128" in message
    assert load(path, image_size="96x128").input_shape == (1, 96, 128)


@pytest.mark.parametrize("side", [8, 224])
def test_the_smallest_and_the_largest_images_are_read(tmp_path: Path, side: int) -> None:
    assert load(write_pictures(tmp_path / "pets", "L", 5, sizes=((side, side),))).input_shape == (1, side, side)


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", np.uint16), ("I", np.int32)])
def test_of_sixteen_bits_the_upper_eight_are_kept(tmp_path: Path, mode: str, dtype: Any) -> None:
    folder = write_pictures(tmp_path / "pets", "L")
    for path in folder.glob("*/*.png"):
        with Image.open(path) as picture:
            deep = np.asarray(picture).astype(dtype) << 8
        Image.fromarray(deep).save(path.with_suffix(".tif"))
        path.unlink()
        with Image.open(path.with_suffix(".tif")) as picture:
            assert picture.mode == mode
    data = load(folder)
    assert data.input_shape == (1, 10, 12)
    assert brightness_fits_labels(data)


# Reading no more than is needed


def test_pictures_that_a_limit_drops_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_pictures(tmp_path / "pets", count=40)
    read, one = list[str](), folders._read_picture

    def counted(path: str, *rest: Any) -> Any:
        read.append(path)
        return one(path, *rest)

    monkeypatch.setattr(folders, "_read_picture", counted)
    data = load(folder, train_limit=10)
    assert counts(data) == [8, 2, 16]
    assert len(read) == len(set(read)) == 26


def test_an_archive_is_read_without_ever_being_in_memory_as_a_whole(tmp_path: Path) -> None:
    images = np.zeros((4000, 64, 64), np.uint8)  # 16 MB
    path = write_npz(tmp_path / "a.npz", x_train=images, y_train=np.arange(4000) % 4, x_test=images[:4], y_test=Y[:4])
    load(write_npz(tmp_path / "warm.npz"))
    tracemalloc.start()
    data = load(path, train_limit=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data.train_labels) == 90
    assert peak < 14e6


@pytest.mark.parametrize("rows", [1, 7, 40, 1000])
def test_however_many_rows_are_read_at_once_the_images_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    path = write_npz(tmp_path / "a.npz", x_val=X_VAL, y_val=Y_VAL)
    expected = load(path, train_limit=20).fingerprint
    monkeypatch.setattr(archives, "CHUNK", rows * 64)
    assert load(path, train_limit=20).fingerprint == expected


def test_an_array_in_the_order_of_fortran_is_the_same_array(tmp_path: Path) -> None:
    images, test = images_of(40, 9, 12, 3), images_of(12, 9, 12, 3, seed=2)
    expected = load(write_npz(tmp_path / "c.npz", x_train=images, x_test=test))
    turned = write_npz(tmp_path / "f.npz", x_train=np.asfortranarray(images), x_test=np.asfortranarray(test))
    assert load(turned).fingerprint == expected.fingerprint


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_too_much_for_the_memory_is_refused_before_a_pixel_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "folder":
        path = write_pictures(tmp_path / "pets", count=50, sizes=((64, 64),))
    else:
        images = np.zeros((100, 64, 64, 3), np.uint8)
        path = write_npz(tmp_path / "a.npz", x_train=images, y_train=np.arange(100) % 2, x_test=None, y_test=None)
    need = 2 * 100 * 64 * 64 * 3 + (archives.CHUNK if kind == "archive" else 0)
    monkeypatch.setattr(splits, "free_memory", lambda: need)
    assert counts(load(path)) == [72, 8, 20]
    monkeypatch.setattr(splits, "free_memory", lambda: need - 1)
    monkeypatch.setattr(image_data, "_read", lambda *_: pytest.fail("pixels were read"))
    message = refusal(lambda: load(path))
    assert "its 100 images of 64×64×3 need" in message
    assert (
        "are free; make them smaller, for instance by --image_size 56, or use fewer, by --train_limit 79, or free some"
        in message
    )


def test_where_free_memory_is_unknown_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "free_memory", lambda: None)
    assert counts(load(write_npz(tmp_path / "a.npz"))) == [36, 4, 12]


@pytest.mark.parametrize("parts", [("",), ("train", "val", "test")])
def test_following_the_advice_on_memory_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...]
) -> None:
    folder = tmp_path / "pets"
    for part in parts:
        write_pictures(folder / part, count=60 if part in ("", "train") else 10, sizes=((64, 64),))
    monkeypatch.setattr(splits, "free_memory", lambda: 1_500_000)
    words = refusal(lambda: load(folder)).split()
    size, limit = (words[words.index(flag) + 1].strip(",") for flag in ("--image_size", "--train_limit"))
    assert load(folder, image_size=size).input_shape == (3, int(size), int(size))
    assert len(load(folder, train_limit=int(limit)).train_labels) > 0


# Classes


def test_names_of_classes_in_any_writing_are_kept(tmp_path: Path) -> None:
    names = ["Äpfel", "<b>bold</b>", "猫", "a" * 120]
    folder = write_pictures(tmp_path / "own")
    for name in names:
        (folder / name.replace("/", "∕")).mkdir()
        Image.new("RGB", (12, 10)).save(folder / name.replace("/", "∕") / "0.png")
        for number in (1, 2):
            Image.new("RGB", (12, 10)).save(folder / name.replace("/", "∕") / f"{number}.png")
    assert set(load(folder).class_names) == {"cat", "dog", *(name.replace("/", "∕") for name in names)}
    arrays = write_npz(tmp_path / "a.npz", classes=np.array(names))
    assert load(arrays).class_names == tuple(names)


def test_names_of_classes_as_bytes_are_read_as_text(tmp_path: Path) -> None:
    assert (
        load(write_npz(tmp_path / "a.npz", classes=np.array([b"oak", b"ash", b"elm", b"yew"]))).class_names[0] == "oak"
    )


def test_what_an_archive_or_a_desktop_leaves_behind_is_no_class_and_no_picture(tmp_path: Path) -> None:
    expected = load(write_pictures(tmp_path / "pets")).fingerprint
    for stray in (".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / "pets" / stray).mkdir()
    for stray in ("notes.txt", ".DS_Store", "cat/notes.txt", "cat/._0.png", "dog/Thumbs.db"):
        (tmp_path / "pets" / stray).write_text("no picture")
    assert load(tmp_path / "pets").fingerprint == expected


# What is refused


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "eel").mkdir()
    (folder / "eel" / "eel.gif").write_bytes(b"GIF89a")
    message = refusal(lambda: load(folder))
    assert f"{folder / 'eel'}: there is no picture of this class" in message
    assert ".png" in message


def test_a_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets")
    (folder / "dog").rename(tmp_path / "dog")
    assert "at least 2 classes are needed, but there is 1" in refusal(lambda: load(folder))


@pytest.mark.parametrize("part", ["val", "test"])
def test_classes_that_are_missing_or_too_many_are_named(tmp_path: Path, part: str) -> None:
    write_pictures(tmp_path / "train")
    write_pictures(tmp_path / part)
    (tmp_path / part / "dog").rename(tmp_path / part / "eel")
    message = refusal(lambda: load(tmp_path))
    assert f"{tmp_path / part} lacks 'dog', and has 'eel', which the training images have not" in message


def test_two_validation_folders_are_refused(tmp_path: Path) -> None:
    for part in ("train", "val", "valid"):
        write_pictures(tmp_path / part)
    assert "val and valid are both there; keep one" in refusal(lambda: load(tmp_path))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "x_val without y_val": ({"x_val": X_VAL}, "y_val is missing"),
    "y_val without x_val": ({"y_val": Y_VAL}, "x_val is missing"),
    "x_test without y_test": ({"y_test": None}, "y_test is missing"),
    "validation images of another kind": ({"x_val": X_VAL / 255.0, "y_val": Y_VAL}, "x_val must hold uint8 pixels"),
    "validation images of another size": (
        {"x_val": images_of(8, 9, 8), "y_val": Y_VAL},
        "training images are 8×8×1, but validation images 9×8×1",
    ),
    "a class that is not validated": (
        {"x_val": X_VAL, "y_val": Y_VAL % 3, "classes": np.array(["oak", "ash", "elm", "yew"])},
        "there is none of 'yew'",
    ),
    "an unknown class in validation": (
        {"x_val": X_VAL, "y_val": Y_VAL + 1},
        "validation labels must lie between 0 and 3",
    ),
    "no validation images": ({"x_val": X_VAL[:0], "y_val": Y_VAL[:0]}, "there are no validation images"),
    "names for fewer classes": ({"classes": np.array(["oak", "ash"])}, "classes must name the 4 classes"),
    "names in a table": ({"classes": np.array([["oak", "ash", "elm", "yew"]])}, "has the shape (1, 4)"),
    "one image of a class": (
        {"y_train": np.where(np.arange(40) == 7, 4, Y), "x_test": None, "y_test": None},
        "class '4' has 1 training image; each class needs at least 3",
    ),
    "images without pixels": ({"x_train": X[:, :, :0], "x_test": X_TEST[:, :, :0]}, "at least 8×8 pixels"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_npz(tmp_path / "a.npz", **changes)
    message = refusal(lambda: load(path))
    assert words in message
    assert str(path) in message


def test_channels_are_checked_before_anything_is_resized(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_train=images_of(40, 9, 9, 2), x_test=images_of(12, 9, 9, 2))
    assert "1 or 3 channels, but x_train has 2" in refusal(lambda: load(path, image_size="8"))


def test_a_damaged_picture_is_named_though_its_header_is_sound(tmp_path: Path) -> None:
    path = write_pictures(tmp_path / "pets") / "cat" / "3.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cannot read the picture .*3\.png"):
        load(tmp_path / "pets")


def test_labels_of_an_archive_hold_whatever_kind_of_whole_number(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", y_train=Y.astype(np.uint64), y_test=Y_TEST.astype(np.int8))
    assert np.array_equal(load(path).test_labels, Y_TEST)


# From images to a network


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
    subject = Network(model, network, "small", data.class_names, tmp_path / "weights.pt")
    (code,) = export_model(subject, image_tensor(data.test_images, torch.device("cpu")), tmp_path, ["code"])
    assert code.same_class == 2


def test_the_programs_of_the_guide_write_data_that_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parent.parent.parent / "docs" / "your-own-data.md").read_text()
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
    """A validation split of one's own, images that are not square, few of them, and no test split."""
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
    card = Path("best_model/MODEL_CARD.md").read_text()
    assert "Test balanced accuracy" in card
    assert "\\<b\\>bold" in card
    page = Path("results/report.html").read_text()
    assert "validation balanced accuracy" in page
    assert f"Classes: &lt;b&gt;bold&lt;/b&gt;, {NAMES[1][:39]}…, 猫 и кошка, plain" in page
    line = ["--model_path", "best_model/best_model.pt", "--info_path", "best_model/info.json", "--export", "code"]
    assert evaluate.main(line) == 0
    said = capfd.readouterr().out
    assert "\nbalanced " in said
    assert "猫 и кошка" in said
    page = Path("best_model/evaluation.html").read_text()
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    space: dict[str, Any] = {"__file__": "best_model/model.py"}
    exec(compile(Path("best_model/model.py").read_text(), "model.py", "exec"), space)  # noqa: S102 our own file
    assert tuple(space["CLASSES"]) == NAMES
