"""Weights files: what is written, read and refused."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model_generator import build_model, load_model, weights_bytes
from records import InputError
from records.texts import Chromosome
from search_space.architecture import Architecture, Layer
from search_space.encoding import Encoding, decode
from tests.networks import (
    SMALL,
    architecture,
    extended,
    images,
    new_model,
    one_thread,  # noqa: F401 (a fixture)
    with_tail,
)


def test_the_statistics_of_the_images_travel_with_the_weights(tmp_path: Path) -> None:
    mean, std = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]
    network = architecture(shape=(3, 32, 32))
    model = build_model(network, mean, std)
    state = model.state_dict()
    assert state["0.mean"].flatten().tolist() == mean
    torch.testing.assert_close(state["0.scale"].flatten(), 1 / torch.tensor(std))
    path = tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(model))
    assert load_model(path, network)[0].state_dict()["mean"].flatten().tolist() == mean


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 9, 31)])
@pytest.mark.parametrize("chromosome", [SMALL, "0011101110111010101"])
def test_a_weights_file_gives_back_the_network_ready_to_use(
    tmp_path: Path, shape: tuple[int, int, int], chromosome: Chromosome
) -> None:
    network = architecture(chromosome, shape)
    model = new_model(network)
    path = tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(model))
    loaded = load_model(path, network)
    assert not loaded.training
    pixels = images(shape, seed=5)
    assert loaded(pixels).equal(model(pixels))
    assert not any(module.training for module in loaded.modules())


def test_equal_weights_give_equal_bytes_and_other_weights_others() -> None:
    network = architecture()
    assert weights_bytes(new_model(network, seed=1)) == weights_bytes(new_model(network, seed=1))
    assert weights_bytes(new_model(network, seed=1)) != weights_bytes(new_model(network, seed=2))


def test_loading_and_saving_again_gives_the_same_file(tmp_path: Path) -> None:
    content = weights_bytes(new_model(architecture()))
    (tmp_path / "weights.pt").write_bytes(content)
    assert weights_bytes(load_model(tmp_path / "weights.pt", architecture())) == content


def test_a_weights_file_does_not_depend_on_the_grouping_into_blocks(tmp_path: Path) -> None:
    one_two, two_one = architecture(Chromosome("0000100000001101111")), architecture(Chromosome("0000100000001011111"))
    (tmp_path / "weights.pt").write_bytes(weights_bytes(new_model(one_two)))
    pixels = images((1, 8, 8))
    assert load_model(tmp_path / "weights.pt", two_one)(pixels).equal(new_model(one_two)(pixels))


def test_a_missing_weights_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no weights file .*gone\.pt"):
        load_model(tmp_path / "gone.pt", architecture())


def test_a_folder_is_no_weights_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a weights file"):
        load_model(tmp_path, architecture())


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"hello", b'{"weights": []}', b"PK\x03\x04 and then nothing", b"\x89PNG\r\n\x1a\n"]
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"garbage\.pt is not a weights file; expected a state_dict"):
        load_model(path, architecture())


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    content = weights_bytes(new_model(architecture()))
    path = tmp_path / "short.pt"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"short\.pt is not a weights file"):
        load_model(path, architecture())


def other_objects() -> Iterator[tuple[str, Any]]:
    yield "a tensor", torch.zeros(3)
    yield "a list", [torch.zeros(3)]
    yield "nothing", None
    yield "numbers by name", {"0.mean": 1.0}
    yield "a checkpoint around the weights", {"state_dict": build_model(architecture()).state_dict(), "epoch": 3}
    yield "the module itself", build_model(architecture())


@pytest.mark.parametrize("name", [name for name, _ in other_objects()])
def test_a_file_of_another_object_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "object.pt"
    torch.save(dict(other_objects())[name], path)
    with pytest.raises(InputError, match=r"object\.pt is not a weights file"):
        load_model(path, architecture())


class Intruder:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("wrapped", [True, False], ids=["torch.save", "pickle"])
def test_nothing_in_a_file_is_executed(tmp_path: Path, wrapped: bool) -> None:
    path, trace = tmp_path / "intruder.pt", tmp_path / "trace"
    if wrapped:
        torch.save({"0.mean": Intruder(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"0.mean": Intruder(trace)}, protocol=2))
    with pytest.raises(InputError, match=r"intruder\.pt is not a weights file"):
        load_model(path, architecture())
    assert not trace.exists()


@pytest.mark.parametrize(
    "other",
    [
        architecture(Chromosome("0100100000001111111")),  # wider
        architecture(Chromosome("0001100000001111111")),  # kernels of 7
        architecture(Chromosome("0000100000001111110")),  # one convolution more
        architecture(classes=11),
        architecture(shape=(3, 8, 8)),
        architecture(shape=(1, 80, 80)),  # with a stem
    ],
)
def test_the_weights_of_another_network_are_refused_with_both_shapes(tmp_path: Path, other: Architecture) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(weights_bytes(build_model(other)))
    with pytest.raises(InputError, match=r"does not fit the chromosome: weight \S+ has the shape .*, expected .*"):
        load_model(path, architecture())


def test_weights_with_one_missing_or_one_too_many_are_refused_by_its_name(tmp_path: Path) -> None:
    path, state = tmp_path / "odd.pt", build_model(architecture()).state_dict()
    torch.save({name: value for name, value in state.items() if name != "1.weight"}, path)
    with pytest.raises(InputError, match=r"weight 1\.weight has the shape none, expected \(16, 1, 3, 3\)"):
        load_model(path, architecture())
    torch.save({**state, "extra": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"weight extra has the shape \(2,\), expected none"):
        load_model(path, architecture())


@pytest.mark.parametrize("content", [b"a", b"seed 1\n", b".venv\n", b"G", pickle.dumps([1], protocol=4)])
def test_text_that_begins_like_a_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.txt is not a weights file"):
        load_model(path, decode(Encoding((1, 8, 8), 10), Chromosome("0" * 19)))


@pytest.mark.parametrize(
    "state", [{0: torch.zeros(1), "a": torch.zeros(1)}, {"a": 1}, [torch.zeros(1)], torch.zeros(3)]
)
def test_a_file_of_other_values_is_refused(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt (is not a weights file|does not fit the chromosome)"):
        load_model(tmp_path / "other.pt", decode(Encoding((1, 8, 8), 10), Chromosome("0" * 19)))


def test_weights_files_do_not_depend_on_the_layout_in_memory() -> None:
    model = build_model(decode(Encoding((1, 8, 8), 10), Chromosome("0" * 19)))
    assert weights_bytes(model) == weights_bytes(model.to(memory_format=torch.channels_last))


def test_an_extended_weights_file_gives_back_the_network(tmp_path: Path) -> None:
    network = extended(with_tail("1101"))
    model, path = new_model(network), tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(model))
    pixels = images((1, 8, 8), seed=5)
    assert load_model(path, network)(pixels).equal(model(pixels))
    with pytest.raises(InputError, match="does not fit the chromosome"):
        load_model(path, extended(with_tail("0101")))


def test_a_file_that_grows_when_it_is_unpacked_is_refused(tmp_path: Path) -> None:
    whole, packed = tmp_path / "whole.pt", tmp_path / "packed.pt"
    whole.write_bytes(weights_bytes(build_model(architecture())))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        target.writestr("archive/data/999", bytes(100 << 20))
    assert packed.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="is not a weights file"):
        load_model(packed, architecture())


def test_a_network_that_is_far_larger_than_the_file_is_not_built(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(build_model(architecture())))
    huge = replace(architecture(), layers=(Layer(8192, 63),) * 100)  # a hundred TB
    with pytest.raises(InputError, match="the file is too small"):
        load_model(path, huge)
