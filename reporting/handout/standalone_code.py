"""A network as a stand-alone program that only needs torch."""

from __future__ import annotations

import inspect
import os
import pprint
import runpy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model_generator import GlobalAveragePool, Normalize, ResidualBlock, SqueezeExcitation, build_model
from reporting.handout.trained_network import Forward, TrainedNetwork
from training.small_maps import Convolution

CODE = '''"""A convolutional network for image classification, in plain PyTorch: `load` it, then `predict`.

It takes uint8 images (N, C, H, W) with pixel values from 0 to 255; normalisation is part of the network.

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
    """The network with random weights. The output shape of each layer is at the end of its line."""
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
    """uint8 pixels → floats of zero mean and unit variance per channel, by statistics from the weights file."""

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


def code_of(network: TrainedNetwork, weights: str) -> str:
    """A program that builds the network and only needs torch. `weights` is their path relative to its folder.

    Text is inserted as Python literals, so that the name of a class can never become code.
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
    """A value as a Python literal, on lines of readable length."""
    return pprint.pformat(value, width=110, compact=True)


def _shapes(model: nn.Module, input_shape: Sequence[int]) -> dict[nn.Module, str]:
    """The shape of each module's output: (N, C, H, W) or (N, features)."""
    shapes: dict[nn.Module, str] = {}

    def note(module: nn.Module, _: Any, result: Tensor) -> None:
        shapes[module] = f"({', '.join(['N', *map(str, result.shape[1:])])})"

    for module in model.modules():
        module.register_forward_hook(note)
    model(torch.zeros(1, *input_shape, dtype=torch.uint8, device="meta"))
    return shapes


def _constructor(module: nn.Module, shapes: Mapping[nn.Module, str], depth: int) -> list[str]:
    """The lines that construct a module, each argument that is a module on its own line."""
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


def export_code(network: TrainedNetwork, path: Path) -> tuple[bytes, Forward]:
    weights = Path(os.path.relpath(network.weights.resolve(), path.parent.resolve())).as_posix()
    content = code_of(network, weights).encode()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / path.name
        program.write_bytes(content)
        loaded: Forward = runpy.run_path(str(program))["load"](network.weights)
    return content, loaded
