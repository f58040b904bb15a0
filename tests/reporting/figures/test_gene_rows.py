"""Effects of any genes can be drawn."""

from __future__ import annotations

import io
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from reporting.analysis.gene_effects import GeneEffects
from reporting.figures.gene_interactions import draw_interactions
from reporting.figures.gene_rows import words
from reporting.figures.gene_values import draw_gene_values
from reporting.figures.main_effects import draw_main_effects
from reporting.figures.theme import COLOURS, figure_bytes, inline_svg
from tests.reporting.figures.effects import RUNS, SOME

DRAWINGS: tuple[Callable[[GeneEffects], Figure], ...] = (draw_gene_values, draw_main_effects, draw_interactions)


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize("name", RUNS)
def test_any_run_can_be_drawn_equally_each_time_and_is_not_blank(
    draw: Callable[[GeneEffects], Figure], name: str
) -> None:
    content = figure_bytes(draw(RUNS[name]), "png")
    assert content == figure_bytes(draw(RUNS[name]), "png")
    with Image.open(io.BytesIO(content)) as picture:
        assert np.asarray(picture.convert("L")).min() < 128
        assert picture.width < 800
    ElementTree.fromstring(inline_svg(draw(RUNS[name]), "one"))  # noqa: S314 our own text


@pytest.mark.parametrize("draw", DRAWINGS)
def test_colours_of_text_follow_the_page(draw: Callable[[GeneEffects], Figure]) -> None:
    svg = inline_svg(draw(SOME), "one")
    assert "var(--ink)" in svg
    assert not any(shades[0].lower() in svg.lower() for shades in COLOURS.values())


def test_values_are_words() -> None:
    assert [words(each) for each in (True, False, 0.0005, 3, "pooling_place")] == [
        "yes",
        "no",
        "0.0005",
        "3",
        "pooling place",
    ]


def test_many_genes_are_set_in_two_columns() -> None:
    assert len(draw_gene_values(SOME).axes) == 1
    left, right = draw_main_effects(RUNS["many genes"]).axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
