"""A network as a figure: files that are sound, equal for equal networks, with text that does not overlap."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from reporting.drawings.network_figure import draw_network
from reporting.figures.theme import figure_bytes, inline_svg
from tests.reporting.drawings.networks import NETWORKS, PLAIN


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_a_network_is_a_file_of_any_kind_and_equal_networks_are_equal_files(name: str, kind: str) -> None:
    one, two = (figure_bytes(draw_network(NETWORKS[name], "title"), kind) for _ in "ab")
    assert one == two
    if kind == "png":
        with Image.open(io.BytesIO(one)) as picture:
            assert np.asarray(picture.convert("L")).min() < 128


@pytest.mark.parametrize("name", NETWORKS)
def test_texts_of_a_figure_do_not_touch_as_they_are_drawn(name: str) -> None:
    figure = draw_network(NETWORKS[name], f"{PLAIN}\nlearning rate 0.1")
    FigureCanvasAgg(figure)
    lines: dict[float, list[tuple[float, float]]] = {}
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        lines.setdefault(text.get_position()[1], []).append((box.x0, box.x1))
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
    for spans in lines.values():
        assert all(one[1] < other[0] for one, other in pairwise(sorted(spans)))


def test_a_long_title_is_broken_and_no_part_of_it_is_a_formula() -> None:
    figure = draw_network(NETWORKS["digits"], "$x_1$ " * 40)
    figure_bytes(figure, "png")
    found = " ".join(text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("$x_1$"))
    assert found.split() == ["$x_1$"] * 40


def test_a_figure_on_a_page_takes_the_colours_of_the_page() -> None:
    svg = inline_svg(draw_network(NETWORKS["all genes"]), "network")
    ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert {"blue", "orange", "purple", "amber", "green", "grey", "ink"} <= set(re.findall(r"var\(--(\w+)\)", svg))
    assert not re.search(r"#[0-9a-f]{6}\b(?<!#000000)", svg)
