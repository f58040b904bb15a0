"""A network as a program of torch.export."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reporting.handout.trained_network import Forward, TrainedNetwork


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses what the exporters of torch print about their own internals."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


def example_images(network: TrainedNetwork) -> tuple[tuple[Tensor], tuple[dict[int, Any]]]:
    """Example images for tracing, with the number of images left open."""
    images = torch.zeros(2, *network.architecture.input_shape, dtype=torch.uint8)
    return (images,), ({0: torch.export.Dim("N", min=1)},)


def export_program(network: TrainedNetwork, path: Path) -> tuple[bytes, Forward]:
    images, shapes = example_images(network)
    with quiet():
        program = torch.export.export(network.model, images, dynamic_shapes=shapes)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=network.facts)
        buffer.seek(0)
        loaded: Forward = torch.export.load(buffer).module()
    return buffer.getvalue(), loaded
