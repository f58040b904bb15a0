"""A trained network for use elsewhere: as ONNX, as a torch.export program, as code of its own, as safetensors.

Each takes what the network takes, uint8 images (N, C, H, W) of any number N, and gives logits
(N, classes) in float32; normalisation is inside. Nothing is written before it was loaded again
and gave what the network gives.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import json
import os
import pprint
import runpy
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model_generator import GlobalAveragePool, Normalize, ResidualBlock, SqueezeExcitation, build_model
from records import InputError, RunFault
from search_space.architecture import Architecture, network_text
from storage.files import write_durably
from training.metrics import predict
from training.small_maps import Convolution

FILES = {"onnx": "model.onnx", "torch": "model.pt2", "code": "model.py", "safetensors": "model.safetensors"}
PACKAGES = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "safetensors": ("safetensors",)}
CHECKED = 1000  # images on which an export is compared with the network
TOLERANCE = 1e-3  # of logits, as a share of the largest where that is over 1; rounding gives a hundredth of it

Forward = Callable[[Tensor], Tensor]  # uint8 images (N, C, H, W) → logits (N, classes)


@dataclass(frozen=True, eq=False)
class Network:
    """What is exported: a trained network in evaluation mode on the CPU, and what is said with it."""

    model: nn.Sequential
    architecture: Architecture
    description: str
    class_names: Sequence[str]
    weights: Path  # the file that the weights came from

    @property
    def facts(self) -> dict[str, str]:
        """What a file says of itself, in text."""
        return {
            "description": self.description,
            "network": network_text(self.architecture),
            "classes": json.dumps(list(self.class_names)),
        }


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, and how near it comes to the network in float32 on the CPU."""

    format: str
    path: Path
    max_difference: float  # of logits
    same_class: int  # images of which the most likely class is the same
    images: int


def require_packages(formats: Sequence[str]) -> None:
    """Raises `InputError` that names the command which installs what some format needs, where that is missing."""
    for name in formats:
        missing = [each for each in PACKAGES.get(name, ()) if importlib.util.find_spec(each) is None]
        if missing:
            kind = "packages" if len(missing) > 1 else "package"
            raise InputError(
                f"--export {name} needs the {kind} {', '.join(missing)}; install by: pip install {' '.join(missing)}"
            )


def export_model(network: Network, images: Tensor, folder: Path, formats: Sequence[str]) -> list[Exported]:
    """Writes a network in each format into a folder, and compares each with the network on (some of) the images.

    `images` are uint8 (N, C, H, W) on the CPU. Raises `RunFault` for a file that gives something
    else than the network, which is then not written, and `SaveError` where writing fails.
    """
    places = torch.linspace(0, len(images) - 1, min(CHECKED, len(images))).round().long()
    images = images[places].contiguous()
    expected = predict(network.model, images, "float32")
    batches = [images[:1], *(images[1:].split(256) if len(images) > 1 else ())]  # their number may be any
    exported = []
    for name in formats:
        path = folder / FILES[name]
        try:
            content, forward = EXPORTERS[name](network, path)
        except Exception as error:  # the exporters of torch raise dozens of kinds
            reason = str(error).strip().partition("\n")[0]
            raise RunFault(f"{path} was not written: {type(error).__name__}: {reason}") from error
        with torch.no_grad():
            found = torch.cat([forward(batch) for batch in batches])
        difference = (found - expected).abs().max().item()
        if not difference <= TOLERANCE * max(1.0, expected.abs().max().item()):
            raise RunFault(f"{path} was not written: its logits differ from those of the network by {difference:.2g}")
        write_durably(path, content)
        same = int((found.argmax(1) == expected.argmax(1)).sum())
        exported.append(Exported(name, path, difference, same, len(images)))
    return exported


# Code


CODE = '''"""A convolutional network for image classification, in plain PyTorch: `load` it, then `predict`.

It takes uint8 images (N, C, H, W) as they are, with pixel values from 0 to 255, and normalises them itself.

    import torch, model
    network = model.load()
    images = torch.zeros(1, *model.INPUT_SHAPE, dtype=torch.uint8)
    probabilities = model.predict(images, network)  # (N, classes)
    print(model.CLASSES[int(probabilities[0].argmax())])
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

DESCRIPTION = {description}
INPUT_SHAPE = {input_shape}  # channels, height, width
CLASSES = {classes}
WEIGHTS = Path(__file__).parent / {weights}


{layers}


def build() -> nn.Sequential:
    """The network with random weights. What each layer gives is said at the end of its line."""
    return {network}


def load(path: str | Path = WEIGHTS) -> nn.Sequential:
    """The trained network, in evaluation mode, on the CPU. It returns logits (N, classes)."""
    network = build()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


@torch.no_grad()
def predict(images: Tensor, network: nn.Module | None = None) -> Tensor:
    """The probability of each class (N, classes), for uint8 images (N, C, H, W); loads the network if none is given."""
    network = load() if network is None else network
    return network(images).softmax(1)
'''

NORMALIZE = '''class Normalize(nn.Module):
    """uint8 pixels → floats of zero mean and unit variance per channel, by statistics that the weights file holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(channels, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) * self.scale'''

GLOBAL_AVERAGE_POOL = '''class GlobalAveragePool(nn.Module):
    """The mean of each feature map: (N, C, H, W) → (N, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))'''


def code_of(network: Network, weights: str) -> str:
    """A program that builds the network with torch alone. `weights` is their path, seen from the program's folder.

    Texts stand in it as Python writes them (`repr`), so that no name of a class can be more than a name.
    """
    with torch.device("meta"):
        model = build_model(network.architecture).eval()
        shapes = _shapes(model, network.architecture.input_shape)
    layers = [NORMALIZE, GLOBAL_AVERAGE_POOL]
    layers += [
        inspect.getsource(kind).strip()
        for kind in (SqueezeExcitation, ResidualBlock)
        if any(isinstance(module, kind) for module in model.modules())
    ]
    return CODE.format(
        description=_text(network.description),
        input_shape=repr(tuple(network.architecture.input_shape)),
        classes=_text(tuple(network.class_names)),
        weights=_text(weights),
        layers="\n\n\n".join(layers),
        network="\n".join(_constructor(model, shapes, 1)).strip().removesuffix(","),
    )


def _text(value: object) -> str:
    """A value as Python writes it, in lines of bearable length."""
    return pprint.pformat(value, width=110, compact=True)


def _shapes(model: nn.Module, input_shape: Sequence[int]) -> dict[nn.Module, str]:
    """What each module gives: (N, C, H, W) or (N, features)."""
    shapes: dict[nn.Module, str] = {}

    def note(module: nn.Module, _: Any, result: Tensor) -> None:
        shapes[module] = f"({', '.join(['N', *map(str, result.shape[1:])])})"

    for module in model.modules():
        module.register_forward_hook(note)
    model(torch.zeros(1, *input_shape, dtype=torch.uint8, device="meta"))
    return shapes


def _constructor(module: nn.Module, shapes: Mapping[nn.Module, str], depth: int) -> list[str]:
    """The lines that make a module, each argument that is a module on a line of its own."""
    indent = "    " * depth
    if isinstance(module, nn.Sequential | ResidualBlock) and len(children := list(module.children())):
        name = "nn.Sequential" if isinstance(module, nn.Sequential) else "ResidualBlock"
        inside = [line for child in children for line in _constructor(child, shapes, depth + 1)]
        return [f"{indent}{name}(", *inside, f"{indent}),"]
    return [f"{indent}{_leaf(module)},  # {shapes[module]}"]


def _leaf(module: nn.Module) -> str:
    match module:
        case Normalize():
            return f"Normalize({module.mean.shape[0]})"
        case Convolution():
            stride = f"stride={module.stride[0]}, " if module.stride != (1, 1) else ""
            sizes = f"{module.in_channels}, {module.out_channels}, {module.kernel_size[0]}"
            padding = f"padding={module.padding[0]}, " if module.padding != (0, 0) else ""
            return f"nn.Conv2d({sizes}, {stride}{padding}bias=False)"
        case nn.BatchNorm2d():
            return f"nn.BatchNorm2d({module.num_features})"
        case nn.MaxPool2d() | nn.AvgPool2d():
            return f"nn.{type(module).__name__}({module.kernel_size})"
        case SqueezeExcitation():
            first = module.weigh[1]
            return f"SqueezeExcitation({first.in_features}, {first.out_features})"
        case GlobalAveragePool():
            return "GlobalAveragePool()"
        case nn.Dropout():
            return f"nn.Dropout({module.p!r})"
        case nn.Linear():
            return f"nn.Linear({module.in_features}, {module.out_features})"
        case nn.ReLU() | nn.LeakyReLU() | nn.ELU() | nn.GELU() | nn.Sequential():
            return f"nn.{type(module).__name__}()"
    raise TypeError(f"no code for the layer {type(module).__name__}")


def _as_code(network: Network, path: Path) -> tuple[bytes, Forward]:
    weights = Path(os.path.relpath(network.weights.resolve(), path.parent.resolve())).as_posix()
    content = code_of(network, weights).encode()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / path.name
        program.write_bytes(content)
        loaded: Forward = runpy.run_path(str(program))["load"](network.weights)
    return content, loaded


# Weights


def _as_safetensors(network: Network, path: Path) -> tuple[bytes, Forward]:
    from safetensors.torch import load, save

    state = {name: value.contiguous() for name, value in network.model.state_dict().items()}
    content = save(state, {"format": "pt", **network.facts})
    model = build_model(network.architecture)
    model.load_state_dict(load(content))
    return content, model.eval()


# Programs


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what the exporters of torch say of their own inner workings from the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield


def _dynamic(network: Network) -> tuple[tuple[Tensor], tuple[dict[int, Any]]]:
    """Example images, and that their number may be any."""
    images = torch.zeros(2, *network.architecture.input_shape, dtype=torch.uint8)
    return (images,), ({0: torch.export.Dim("N", min=1)},)


def _as_torch(network: Network, path: Path) -> tuple[bytes, Forward]:
    images, shapes = _dynamic(network)
    with _quiet():
        program = torch.export.export(network.model, images, dynamic_shapes=shapes)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=network.facts)
        buffer.seek(0)
        loaded: Forward = torch.export.load(buffer).module()
    return buffer.getvalue(), loaded


def _as_onnx(network: Network, path: Path) -> tuple[bytes, Forward]:
    import onnx
    import onnxruntime

    images, shapes = _dynamic(network)
    with _quiet():
        program = torch.onnx.export(
            network.model,
            images,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx gave no program")
    proto = program.model_proto
    for key, value in network.facts.items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return content, lambda batch: torch.from_numpy(session.run(["logits"], {"images": batch.numpy()})[0])


EXPORTERS: dict[str, Callable[[Network, Path], tuple[bytes, Forward]]] = {
    "onnx": _as_onnx,
    "torch": _as_torch,
    "code": _as_code,
    "safetensors": _as_safetensors,
}
