"""Architectures, their text and their description."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.texts import Chromosome
from search_space.architecture import Architecture, Layer, architecture_of, network_text
from search_space.encoding import (
    Encoding,
    decode,
)
from search_space.genes import EXTENDED
from tests.search_space.standard import (
    CIFAR,
    DIGITS,
    any_sides,
    bits,
    channels,
    expected,
    extended_chromosomes,
    standard_chromosomes,
)


@given(standard_chromosomes, any_sides, any_sides, channels, st.integers(2, 1000))
@settings(deadline=None)
def test_a_phenotype_gives_back_its_architecture(
    chromosome: Chromosome, height: int, width: int, depth: int, classes: int
) -> None:
    architecture = decode(Encoding((depth, height, width), classes), chromosome)
    text = network_text(architecture)
    assert architecture_of(text) == replace(architecture, blocks=())
    assert network_text(architecture_of(text)) == text
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "network",
        "5",
        "[]",
        "{}",
        '"text"',
        "null",
        CIFAR.phenotype(bits()).replace('"pool"', '"swim"'),
        CIFAR.phenotype(bits()).replace('"classes":10,', ""),
        CIFAR.phenotype(bits()).replace("{", '{"odd":1,', 1),
    ],
)
def test_a_text_that_is_no_phenotype_is_refused(text: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        architecture_of(text)


@pytest.mark.parametrize(
    ("shape", "chromosome", "words"),
    [
        (
            (3, 32, 32),
            "0110010110110011010",
            "7 blocks, 11 convolutions 1×1, 32→256 filters, LeakyReLU, late max pooling",
        ),
        ((1, 8, 8), bits(), "7 blocks, 7 convolutions 3×3, 16→128 filters, ReLU, early max pooling"),
        (
            (3, 224, 224),
            bits("11", "11", "11", "10", "0000000"),
            "stem of 2, 7 blocks, 14 convolutions 7×7, 64→512 filters, GELU, early average pooling",
        ),
        (
            (3, 65, 65),
            bits("10", "10", "10", "11", "0111111"),
            "stem of 1, 7 blocks, 8 convolutions 5×5, 48→384 filters, ELU, late average pooling",
        ),
    ],
)
def test_a_network_is_described_in_words(shape: tuple[int, int, int], chromosome: Chromosome, words: str) -> None:
    assert decode(Encoding(shape, 10), chromosome).describe() == words


def test_an_architecture_can_be_written_down_by_hand() -> None:
    by_hand = Architecture((1, 8, 8), 10, "ReLU", "max", tuple(expected(bits(), 8, 8)[2]))
    assert network_text(by_hand) == DIGITS.phenotype(bits())


def test_the_texts_of_standard_networks_are_what_they_have_always_been() -> None:
    """Jobs are named by them: 526 networks in the text of version 0.1.0."""
    digest = hashlib.sha256()
    for number in range(0, 2**19, 997):
        digest.update(CIFAR.phenotype(Chromosome(f"{number:019b}")).encode())
    assert digest.hexdigest() == "8e529a017383b6dc9b1ebaba072f341bde98b7d07622948f0a2b0cf52cda1d02"


@given(extended_chromosomes, any_sides, any_sides, channels)
@settings(deadline=None)
def test_the_text_of_an_extended_network_gives_it_back(
    chromosome: Chromosome, height: int, width: int, depth: int
) -> None:
    encoding = Encoding((depth, height, width), 10, EXTENDED)
    architecture = decode(encoding, chromosome)
    text = encoding.network(chromosome)
    blocks = architecture.blocks if architecture.has_blocks else ()
    assert architecture_of(text) == replace(architecture, blocks=blocks)
    assert network_text(architecture_of(text)) == text


@pytest.mark.parametrize("blocks", [(), (3,), (1, 2)])
def test_layers_that_cannot_be_grouped_into_the_blocks_are_refused(blocks: tuple[int, ...]) -> None:
    layers = (Layer(8, 3), Layer(8, 3))
    with pytest.raises(ValueError, match="2 layers cannot be grouped"):
        Architecture((1, 8, 8), 10, "ReLU", "max", layers, blocks, residual=True)
