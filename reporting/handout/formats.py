"""The formats of `--export`. A new format is a new module and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reporting.handout.onnx_model import export_onnx
from reporting.handout.safetensors_weights import export_safetensors
from reporting.handout.standalone_code import export_code
from reporting.handout.torch_program import export_program
from reporting.handout.trained_network import Forward, TrainedNetwork


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files; `export` gives the content of a file, and the network as it was loaded from that content."""

    file: str
    export: Callable[[TrainedNetwork, Path], tuple[bytes, Forward]]
    note: str = ""  # for --help
    packages: tuple[str, ...] = ()  # that it needs

    @property
    def words(self) -> str:
        """The name of its file, and what is special about it."""
        return f"{self.file}, {self.note}" if self.note else self.file


FORMATS = {
    "onnx": Format("model.onnx", export_onnx, packages=("onnx", "onnxruntime", "onnxscript")),
    "torch": Format("model.pt2", export_program, "by torch.export"),
    "code": Format("model.py", export_code, "a stand-alone program that only needs torch"),
    "safetensors": Format("model.safetensors", export_safetensors, packages=("safetensors",)),
}
