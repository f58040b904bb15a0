"""From an architecture to a PyTorch module, and from a weights file to a trained one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from chromosome import Architecture
from layers import Convolution, GlobalAveragePool, Normalize
from records import InputError

# In place where the gradient can be had from the result: a map less to write and to keep.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": lambda: nn.ReLU(inplace=True),
    "LeakyReLU": lambda: nn.LeakyReLU(inplace=True),
    "ELU": lambda: nn.ELU(inplace=True),
    "GELU": nn.GELU,
}
POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


def build_model(
    architecture: Architecture, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> nn.Sequential:
    """The network of an architecture, for uint8 images (N, C, H, W); returns logits (N, classes).

    `mean` and `std` are the statistics of the training images in pixel values (0 to 255), one per
    channel. They may be left out where a `state_dict` that carries them is loaded afterwards.
    Weights are drawn from torch's global generator (Kaiming normal, He et al. 2015, eq. 14).
    """
    channels = architecture.input_shape[0]
    layers: list[nn.Module] = [Normalize(mean or [0.0] * channels, std or [1.0] * channels)]
    for layer, in_channels, _, _ in architecture.feature_maps():
        convolution = Convolution(in_channels, layer.filters, layer.kernel, layer.stride)
        if convolution.weight.device.type != "meta":
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers.append(convolution)
        if layer.pool:
            layers.append(POOLINGS[architecture.pooling](2))
        layers += [nn.BatchNorm2d(layer.filters), ACTIVATIONS[architecture.activation]()]
    features = architecture.layers[-1].filters
    layers += [GlobalAveragePool(), nn.Linear(features, architecture.classes)]
    return nn.Sequential(*layers)


def load_model(path: Path, architecture: Architecture) -> nn.Sequential:
    """The network of an architecture with the weights of a file, in evaluation mode, on the CPU.

    Only tensors are read from the file (`weights_only=True`). Raises `InputError` for a file that
    is missing, holds no weights, or holds those of another network.
    """
    model = build_model(architecture)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    try:
        with warnings.catch_warnings(action="ignore"):  # what torch says of a strange file is said below
            state = torch.load(path, map_location="cpu", weights_only=True)
            found = {str(name): tuple(value.shape) for name, value in state.items()}
            if found == expected:
                model.load_state_dict(state)
    except FileNotFoundError as error:
        raise InputError(f"no weights file {path}") from error
    except Exception as error:  # torch raises a dozen kinds for files that are something else
        raise InputError(f"{path} is not a weights file; expected a state_dict, as torch.save writes it") from error
    if found != expected:
        odd = min(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise InputError(
            f"{path} does not fit the chromosome: weight {odd} has the shape {found.get(odd, 'none')}, "
            f"expected {expected.get(odd, 'none')}"
        )
    return model.eval()
