"""Networks as SVG elements: sound, small, and in the colours of the page."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records.texts import Chromosome
from reporting.drawings.network_svg import legend_svg, network_svg
from search_space.architecture import Architecture
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED
from tests.builders import chromosomes
from tests.reporting.drawings.networks import COLOURED, NETWORKS


@given(
    chromosome=chromosomes(EXTENDED),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(8, 300), st.integers(8, 300)),
    classes=st.integers(2, 1000),
)
@settings(max_examples=100, deadline=None)
def test_a_small_svg_is_sound_small_and_takes_the_colours_of_the_page(
    chromosome: Chromosome, shape: tuple[int, int, int], classes: int
) -> None:
    architecture = decode(Encoding(shape, classes, EXTENDED), chromosome)
    svg = network_svg(architecture)
    root = ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert root.get("role") == "img"
    assert architecture.describe() in (root.get("aria-label") or "")
    assert len(svg.encode()) < (4500 if architecture.has_blocks else 3000)
    assert not re.search(r"#|http|\bid=", svg)
    assert "var(--blue)" in svg


def test_six_hundred_plain_networks_leave_half_a_page_for_the_rest() -> None:
    assert 600 * len(network_svg(NETWORKS["plain"]).encode()) < 1.5e6
    assert 600 * len(network_svg(NETWORKS["all genes"]).encode()) < 2.5e6
    assert len(network_svg(NETWORKS["112 layers"]).encode()) < 5000


def test_equal_networks_are_equal_small_svgs_and_others_are_not() -> None:
    again = decode(COLOURED, Chromosome("0100010110100011010"))  # differs in bits that code for nothing
    assert network_svg(again) == network_svg(NETWORKS["plain"])
    assert len({network_svg(architecture) for architecture in NETWORKS.values()}) == len(NETWORKS)


def test_text_is_escaped_in_a_small_svg() -> None:
    architecture = replace(NETWORKS["plain"], activation='<b> & "ReLU"')
    svg = network_svg(architecture)
    root = ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert "<b>" not in svg
    assert any('<b> & "ReLU"' in text for text in root.itertext())
    assert '<b> & "ReLU"' in (root.get("aria-label") or "")


def shapes_of(svg: str, colour: str) -> int:
    root = ElementTree.fromstring(svg)  # noqa: S314 our own text
    return sum((path.get("d") or "").count("M") for path in root if f"fill:var(--{colour})" == path.get("style"))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_small_svg_shows_every_layer(name: str) -> None:
    architecture: Architecture = NETWORKS[name]
    svg = network_svg(architecture)
    signs = 1 + any(layer.stride > 1 for layer in architecture.layers)  # of the legend
    projected = sum(block[0][1] != block[-1][0].filters for block in architecture.stem_and_blocks()[1])
    shortcuts = projected + 1 if architecture.residual else 0
    assert shapes_of(svg, "blue") == len(architecture.layers) + signs + shortcuts
    assert shapes_of(svg, "amber") == shapes_of(svg, "green") == 1


def test_the_common_legend_of_small_svgs_names_its_colours() -> None:
    root = ElementTree.fromstring(legend_svg())  # noqa: S314 our own text
    assert "amber: global average pooling; green: linear layer" in (root.get("aria-label") or "")
