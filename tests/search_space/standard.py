"""The standard table spelled out: chromosomes gene by gene, and what they must build."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from records.texts import Chromosome
from search_space.architecture import Layer
from search_space.encoding import (
    Encoding,
)
from search_space.genes import EXTENDED, STANDARD
from tests.builders import chromosomes

CIFAR = Encoding((3, 32, 32), 10)
DIGITS = Encoding((1, 8, 8), 10)
WIDTHS = {"00": [16, 32, 64, 128], "01": [32, 64, 128, 256], "10": [48, 96, 192, 384], "11": [64, 128, 256, 512]}
KERNELS = {"00": 1, "01": 3, "10": 5, "11": 7}
ACTIVATIONS = {"00": "ReLU", "01": "LeakyReLU", "10": "ELU", "11": "GELU"}
POOLINGS = {
    "00": ("max", [1, 3, 5]),
    "01": ("max", [2, 4, 6]),
    "10": ("average", [1, 3, 5]),
    "11": ("average", [2, 4, 6]),
}
standard_chromosomes = chromosomes(STANDARD)
any_sides = st.integers(8, 400)
channels = st.sampled_from([1, 3])


def bits(
    multiplier: str = "00", kernel: str = "01", activation: str = "00", pooling: str = "00", blocks: str = "1111111"
) -> Chromosome:
    """A chromosome of the standard table, spelled gene by gene."""
    return Chromosome(f"{multiplier}0{kernel}0{activation}0{pooling}0{blocks}")


def expected(chromosome: Chromosome, height: int, width: int) -> tuple[str, str, list[Layer]]:
    """Activation, pooling and layers as the table says, for images of at most 64 pixels."""
    pooling, places = POOLINGS[chromosome[9:11]]
    widths = WIDTHS[chromosome[0:2]].copy()
    layers = []
    for block in range(1, 8):
        kernel = KERNELS[chromosome[3:5]]
        while kernel > 2 * max(height, width) - 1:
            kernel -= 2
        plain, pooled = Layer(widths[0], kernel), Layer(widths[0], kernel, pool=block in places)
        layers += [pooled] if chromosome[11 + block] == "1" else [plain, pooled]
        if block in places:
            height, width = height // 2, width // 2
            widths.pop(0)
    return ACTIVATIONS[chromosome[6:8]], pooling, layers


extended_chromosomes = chromosomes(EXTENDED)
EXTENDED_VALUES: dict[str, tuple[int, dict[str, Any]]] = {
    "residual": (19, {"0": False, "1": True}),
    "squeeze_excitation": (20, {"0": False, "1": True}),
    "dropout": (21, {"00": 0.0, "01": 0.1, "11": 0.2, "10": 0.4}),
    "learning_rate": (
        23,
        {"000": 0.03, "001": 0.05, "011": 0.08, "010": 0.12, "110": 0.2, "111": 0.3, "101": 0.5, "100": 0.8},
    ),
    "weight_decay": (26, {"00": 0.0, "01": 1e-4, "11": 5e-4, "10": 2e-3}),
    "optimizer": (28, {"0": "sgd", "1": "adamw"}),
    "label_smoothing": (29, {"00": 0.0, "01": 0.05, "11": 0.1, "10": 0.2}),
    "augmentation": (31, {"00": "none", "01": "basic", "11": "cutout", "10": "strong"}),
}
