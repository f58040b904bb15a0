"""Data sets that several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_data import ImageData
from tests.pictures import load


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of one property share."""
    return tmp_path_factory.mktemp("data")
