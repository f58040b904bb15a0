"""Networks and images of random pixels, as several tests need them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model_generator import build_model
from records.texts import Chromosome
from search_space.architecture import Architecture
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED

SHAPES = [(1, 8, 8), (3, 32, 32), (3, 200, 120), (1, 9, 31), (1, 67, 133)]
SMALL = Chromosome(
    "0000100000001111111"
)  # 16 filters, kernels of 3, ReLU, early maximum pooling, one convolution a block
chromosomes = st.text("01", min_size=19, max_size=19).map(Chromosome)
shapes = st.sampled_from(SHAPES)
relaxed = settings(deadline=None, max_examples=25)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """These networks are small: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def architecture(
    chromosome: Chromosome = SMALL, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10
) -> Architecture:
    return decode(Encoding(shape, classes), chromosome)


def images(shape: tuple[int, int, int], count: int = 4, seed: int = 0) -> Tensor:
    """Random pixels: (count, C, H, W) uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)


def on_meta(network: Architecture) -> nn.Sequential:
    """The module without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return build_model(network)


def convolutions(model: nn.Sequential) -> list[nn.Conv2d]:
    return [module for module in model if isinstance(module, nn.Conv2d)]


def new_model(network: Architecture, seed: int = 0) -> nn.Sequential:
    """A network whose normalisation has seen images, as after a training, in evaluation mode."""
    torch.manual_seed(seed)
    channels = network.input_shape[0]
    model = build_model(network, [100.0] * channels, [50.0] * channels)
    with torch.no_grad():
        model.train()(images(network.input_shape, 8, seed))
    return model.eval()


EXTENDED_SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 224, 224), (3, 200, 120), (1, 9, 31)]


def extended(chromosome: Chromosome, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> Architecture:
    return decode(Encoding(shape, classes, EXTENDED), chromosome)


def with_tail(tail: str, chromosome: Chromosome = SMALL) -> Chromosome:
    """A chromosome of the extended table: bits 19 to 22 are residual, squeeze-and-excitation and dropout."""
    return Chromosome(chromosome + tail.ljust(14, "0"))


CHANNELS_LAST = torch.channels_last


def maps(
    count: int, channels: int, height: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, channels, height, width, generator=generator)
    return values.to(dtype).to(memory_format=CHANNELS_LAST)


def gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(9)).to(output.dtype)
    return torch.autograd.grad(output, inputs, weights.to(memory_format=CHANNELS_LAST) if output.ndim == 4 else weights)
