"""What a drawing that was saved must be."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image


def check_files(paths: Sequence[Path], folder: Path, name: str) -> None:
    """A drawing that is sound XML, and a picture that can be decoded and is not blank."""
    assert list(paths) == [folder / f"{name}.svg", folder / f"{name}.png"]
    root = ElementTree.fromstring(paths[0].read_text())  # noqa: S314 our own file
    assert root.tag.endswith("svg")
    with Image.open(io.BytesIO(paths[1].read_bytes())) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 100
        assert np.asarray(picture.convert("L")).min() < 128
