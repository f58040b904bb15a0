"""From an architecture to an `nn.Module`: its layers, their first weights, and weights files.

Layers that replace slow ones of torch compute the same up to rounding. Images are (N, C, H, W) in
channels_last memory, that is, stored as (N, H, W, C).
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from records import InputError
from search_space.architecture import Architecture, FeatureMap, Layer, squeezed
from search_space.cost import model_cost
from training.small_maps import Convolution

SMALL_NETWORK = 64 << 20  # bytes, for which no file need answer


class Normalize(nn.Module):
    """uint8 pixels (N, C, H, W) → floats of zero mean and unit variance per channel.

    The statistics are buffers, so a weights file carries them and evaluates alike everywhere.
    """

    mean: Tensor  # (C, 1, 1), in pixel values 0 to 255
    scale: Tensor  # (C, 1, 1), one over the standard deviation

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(std).clamp(min=1).reshape(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 2, 3, 1).float()  # (N, H, W, C)
        count, height, width, _ = pixels.shape
        # One row per image: operations along C alone (one or three values) would not be vectorised.
        rows = pixels.reshape(count, -1)
        rows = (rows - self.mean.flatten().repeat(height * width)).mul_(self.scale.flatten().repeat(height * width))
        return rows.view(pixels.shape).permute(0, 3, 1, 2)


class GlobalAveragePool(nn.Module):
    """The mean of each feature map: (N, C, H, W) → (N, C).

    The gradient of `nn.AdaptiveAvgPool2d` is not channels_last, which slows the last layers' backward pass.
    """

    def forward(self, maps: Tensor) -> Tensor:
        return maps.permute(0, 2, 3, 1).flatten(1, 2).mean(1)


class SqueezeExcitation(nn.Module):
    """Scales each feature map by a weight that follows from the means of all maps (Hu et al. 2018, eq. 2 to 4)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            GlobalAveragePool(),
            nn.Linear(channels, squeezed),
            nn.ReLU(inplace=True),
            nn.Linear(squeezed, channels),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        weights: Tensor = self.weigh(maps)  # (N, C)
        return maps * weights[:, :, None, None]


class ResidualBlock(nn.Module):
    """Adds the input of a block to its output; the activation follows (He et al. 2016, fig. 2)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut, activation

    def forward(self, maps: Tensor) -> Tensor:
        total: Tensor = self.activation(self.body(maps) + self.shortcut(maps))
        return total


# In place where the gradient follows from the output, which saves writing and keeping a map.
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
    Weights are drawn from torch's global generator (Kaiming normal, He et al. 2015, eq. 14). The
    modules form one sequence; with residual connections, each block is one module of it.
    """
    channels = architecture.input_shape[0]
    layers: list[nn.Module] = [Normalize(mean or [0.0] * channels, std or [1.0] * channels)]
    stem, blocks = architecture.stem_and_blocks()
    for layer, in_channels, _, _ in stem:
        layers += [*_convolve(architecture, layer, in_channels), ACTIVATIONS[architecture.activation]()]
    for block in blocks:
        layers += _block(architecture, block)
    features = architecture.layers[-1].filters
    layers += [GlobalAveragePool(), *([nn.Dropout(architecture.dropout)] if architecture.dropout else [])]
    return nn.Sequential(*layers, nn.Linear(features, architecture.classes))


def _convolve(architecture: Architecture, layer: Layer, in_channels: int) -> list[nn.Module]:
    """The modules of a layer, without its activation."""
    pooling = [POOLINGS[architecture.pooling](2)] if layer.pool else []
    convolution = _convolution(in_channels, layer.filters, layer.kernel, layer.stride)
    return [convolution, *pooling, nn.BatchNorm2d(layer.filters)]


def _convolution(channels: int, filters: int, kernel: int, stride: int = 1) -> Convolution:
    convolution = Convolution(channels, filters, kernel, stride)
    if convolution.weight.device.type != "meta":
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution


def _block(architecture: Architecture, block: Sequence[FeatureMap]) -> list[nn.Module]:
    """The modules of a block: one after the other, or wrapped in one where there is a shortcut."""
    channels, last = block[0][1], block[-1][0]
    modules: list[nn.Module] = []
    for layer, in_channels, _, _ in block:
        if modules:
            modules.append(ACTIVATIONS[architecture.activation]())
        modules += _convolve(architecture, layer, in_channels)
    if architecture.squeeze_excitation:
        modules.append(SqueezeExcitation(last.filters, squeezed(last.filters)))
    activation = ACTIVATIONS[architecture.activation]()
    if not architecture.residual:
        return [*modules, activation]
    shortcut: list[nn.Module] = [POOLINGS[architecture.pooling](2)] if last.pool else []
    if channels != last.filters:
        shortcut += [_convolution(channels, last.filters, kernel=1), nn.BatchNorm2d(last.filters)]
    return [ResidualBlock(nn.Sequential(*modules), nn.Sequential(*shortcut), activation)]


def load_model(path: Path, architecture: Architecture) -> nn.Sequential:
    """The network of an architecture with the weights of a file, in evaluation mode, on the CPU.

    Only tensors are read from the file (`weights_only=True`). Raises `InputError` for a file that
    is missing, holds no weights, or holds those of another network.
    """
    try:
        _refuse_what_is_larger_in_memory(path, architecture)
        model = build_model(architecture)
        expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        with warnings.catch_warnings(action="ignore"):  # files that cannot be used are explained below
            state = torch.load(path, map_location="cpu", weights_only=True)
            found = {str(name): tuple(value.shape) for name, value in state.items()}
            if found == expected:
                model.load_state_dict(state)
    except FileNotFoundError as error:
        raise InputError(f"no weights file {path}") from error
    except InputError:
        raise
    except Exception as error:  # torch raises a dozen kinds for files that are something else
        raise InputError(f"{path} is not a weights file; expected a state_dict, as torch.save writes it") from error
    if found != expected:
        odd = min(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise InputError(
            f"{path} does not fit the chromosome: weight {odd} has the shape {found.get(odd, 'none')}, "
            f"expected {expected.get(odd, 'none')}"
        )
    return model.eval()


def _refuse_what_is_larger_in_memory(path: Path, architecture: Architecture) -> None:
    """Raises for a file whose tensors, or whose network, would take far more memory than the file has bytes."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        if sum(each.file_size for each in archive.infolist()) > size:
            raise ValueError("torch.save compresses nothing")
    if 4 * (values := model_cost(architecture).parameters) > size + SMALL_NETWORK:
        raise InputError(f"{path} does not fit the network, which has {values:,} weights: the file is too small")


def weights_bytes(model: nn.Module) -> bytes:
    """The content of a weights file: the state_dict and nothing else. Equal weights give equal bytes."""
    buffer = io.BytesIO()
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    torch.save(state, buffer)
    return buffer.getvalue()
