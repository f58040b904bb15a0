"""Exports a trained network to other formats.

Exported networks take the same input, uint8 images (N, C, H, W) of any number N, and give logits (N, classes) in
float32; normalisation is included. No file is written before it was loaded again and reproduced the network.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from records import InputError, RunFault
from reporting.handout.formats import FORMATS
from reporting.handout.trained_network import TrainedNetwork
from storage.files import write_durably
from training.metrics import predict

CHECKED = 1000  # images on which an exported file is compared with the network, at most
TOLERANCE = 1e-3  # of logits, relative to the largest if that exceeds 1; rounding errors are about a hundredth of it


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and how closely it reproduces the network in float32 on the CPU."""

    format: str
    path: Path
    max_difference: float  # of logits
    same_class: int  # images with the same predicted class
    images: int


def require_packages(formats: Sequence[str]) -> None:
    """Raises `InputError` with the command that installs what a format needs, if any of it is missing."""
    for name in formats:
        missing = [each for each in FORMATS[name].packages if importlib.util.find_spec(each) is None]
        if missing:
            kind = "packages" if len(missing) > 1 else "package"
            raise InputError(
                f"--export {name} needs the {kind} {', '.join(missing)}; install by: pip install {' '.join(missing)}"
            )


def export_model(
    network: TrainedNetwork,
    images: Tensor,
    folder: Path,
    formats: Sequence[str],
    write: Callable[[Path, bytes], None] = write_durably,
) -> list[Exported]:
    """Writes a network to a folder in each format, after comparing each with the network on a sample of the images.

    `images` are uint8 (N, C, H, W) on the CPU. Raises `RunFault` for a file that does not reproduce the network, which
    is then not written, and `SaveError` if writing fails.
    """
    places = torch.linspace(0, len(images) - 1, min(CHECKED, len(images))).round().long()
    images = images[places].contiguous()
    expected = predict(network.model, images, "float32")
    batches = [images[:1], *(images[1:].split(256) if len(images) > 1 else ())]  # batches of any size must work
    exported = []
    for name in formats:
        path = folder / FORMATS[name].file
        try:
            content, forward = FORMATS[name].export(network, path)
        except Exception as error:  # the exporters of torch raise dozens of kinds
            reason = str(error).strip().partition("\n")[0]
            raise RunFault(f"{path} was not written: {type(error).__name__}: {reason}") from error
        with torch.no_grad():
            found = torch.cat([forward(batch) for batch in batches])
        difference = (found - expected).abs().max().item()
        if not difference <= TOLERANCE * max(1.0, expected.abs().max().item()):
            raise RunFault(f"{path} was not written: its logits differ from those of the network by {difference:.2g}")
        write(path, content)
        same = int((found.argmax(1) == expected.argmax(1)).sum())
        exported.append(Exported(name, path, difference, same, len(images)))
    return exported
