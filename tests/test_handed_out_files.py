"""What commands write beside a person's files: only what they wrote themselves is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import plots
from evaluate import WRITTEN, own_files
from records import InputError
from reporting.handout.formats import FORMATS
from storage.own_files import OwnFiles
from tests.faults.others import snapshot

BITS = "0110010110110011010"
FILES = (*WRITTEN, *(each.file for each in FORMATS.values()))


@pytest.mark.parametrize("name", FILES)
def test_an_evaluation_refuses_to_replace_a_persons_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"mine")
    before = snapshot(tmp_path)
    with pytest.raises(InputError, match=f"{name} was not written by this command, .* --output_dir"):
        own_files(tmp_path, tuple(FORMATS))
    assert snapshot(tmp_path) == before


def test_what_an_evaluation_does_not_write_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / FORMATS["code"].file).write_bytes(b"mine")
    own_files(tmp_path, ("onnx",))


def test_an_evaluation_replaces_what_one_wrote_unless_it_was_changed(tmp_path: Path) -> None:
    for name in FILES:
        own_files(tmp_path, ()).hand_out(tmp_path / name, b"an evaluation")
    own_files(tmp_path, tuple(FORMATS)).hand_out(tmp_path / "model.py", b"another")
    (tmp_path / "model.py").write_bytes(b"improved")
    with pytest.raises(InputError, match=r"model\.py"):
        own_files(tmp_path, tuple(FORMATS))


def test_an_evaluation_of_before_is_adopted_with_the_files_that_it_names(tmp_path: Path) -> None:
    report = {"model": "", "classes": [], "confusion_matrix": [], "speed": {}, "exports": [{"path": "best/model.onnx"}]}
    for name in FILES:
        (tmp_path / name).write_bytes(json.dumps(report).encode())
    assert own_files(tmp_path, ("onnx",)).owns(tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"model\.py"):
        own_files(tmp_path, ("code",))


def test_a_drawing_replaces_a_drawing_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "network.svg"
    for _ in range(2):
        assert plots.main(["--chromosome", BITS, "--out", str(path)]) == 0
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"network\.svg was not written by this command"):
        plots.main(["--chromosome", BITS, "--out", str(path)])
    assert path.read_bytes() == b"mine"
    assert not OwnFiles(tmp_path, "evolution").owns(path)
