"""Figures of which gene matters: any run can be drawn, and what they say is what was found."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from reporting.analysis.gene_effects import GeneEffect, GeneEffects, Interaction, ValueEffect
from reporting.figures.effect_plots import draw_gene_values, draw_interactions, draw_main_effects, words
from reporting.figures.theme import COLOURS, figure_bytes, inline_svg

DRAWINGS: tuple[Callable[[GeneEffects], Figure], ...] = (draw_gene_values, draw_main_effects, draw_interactions)


def value(value: object, count: int = 5, mean: float = 0.9, effect: float = 0.01, reach: float = 0.004) -> ValueEffect:
    if not count:
        return ValueEffect(value=value, count=0)
    return ValueEffect(
        value=value,
        count=count,
        mean=mean,
        interval=(mean - reach, mean + reach) if count > 1 else None,
        effect=effect,
        effect_interval=(effect - reach, effect + reach),
    )


def gene(name: str, *values: ValueEffect, importance: float = 0.01) -> GeneEffect:
    return GeneEffect(name=name, values=values, importance=importance, importance_interval=(0.0, 2 * importance))


FIXED = GeneEffect(name="pooling_place", values=(ValueEffect(value="early", count=10, mean=0.9), value("late", 0)))
KERNEL = gene("kernel", value(1, 3, 0.85, -0.02), value(3, 6, 0.93, 0.02), value(5, 1, 0.9, 0.001), value(7, 0))
RESIDUAL = gene("residual", value(False, 4, 0.88, -0.03), value(True, 6, 0.91, 0.03), importance=0.03)
DROPOUT = gene("dropout", value(0.0, 5), value(0.1, 5, 0.89, -0.01), importance=0.0)
SOME = GeneEffects(
    genes=(KERNEL, FIXED, DROPOUT, RESIDUAL),
    interactions=(
        Interaction(first="kernel", second="dropout", strength=0.001, chance=0.9),
        Interaction(first="kernel", second="residual", strength=0.012, chance=0.002),
        Interaction(first="dropout", second="residual", strength=0.0, chance=1.0),
    ),
    networks=10,
    failures=1,
)
NONE = GeneEffects(genes=(FIXED,), interactions=(), networks=10, failures=0)
UNTRIED = GeneEffect(name="kernel", values=(value(1, 0), value(3, 0)))
RUNS = {
    "some": SOME,
    "no network": GeneEffects(genes=(UNTRIED,), interactions=(), networks=0, failures=3),
    "nothing varied": NONE,
    "one gene": GeneEffects(genes=(KERNEL, FIXED), interactions=(), networks=10, failures=0),
    "no gene": GeneEffects(genes=(), interactions=(), networks=0, failures=0),
    "all equal": GeneEffects(
        genes=tuple(
            gene(name, value(1, 5, 1.0, 0.0, 0.0), value(2, 5, 1.0, 0.0, 0.0), importance=0.0) for name in ("a", "b")
        ),
        interactions=(Interaction(first="a", second="b", strength=0.0, chance=1.0),),
        networks=10,
        failures=0,
    ),
    "wide intervals": GeneEffects(
        genes=(gene("kernel", value(1, 2, 0.1, -0.8, 9.0), value(3, 2, 0.9, 0.8, 9.0)),),
        interactions=(),
        networks=4,
        failures=0,
    ),
    "odd names": GeneEffects(
        genes=(gene("$x^$_" + "y" * 60, value("$a$b", 5), value("<&>", 5)),), interactions=(), networks=10, failures=0
    ),
    "many genes": GeneEffects(
        genes=tuple(replace(KERNEL, name=f"block_{number}") for number in range(24)),
        interactions=tuple(
            Interaction(first=f"block_{one}", second=f"block_{other}", strength=0.01, chance=0.01)
            for one in range(24)
            for other in range(one + 1, 24)
        ),
        networks=10,
        failures=0,
    ),
}


def texts(figure: Figure) -> list[str]:
    """All that is written in a figure, names of ticks too."""
    return [str(text.get_text()) for text in figure.findobj(Text) if text.get_visible() and text.get_text()]


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


def test_values_are_shown_with_their_networks_and_what_never_varied_is_named() -> None:
    found = texts(draw_gene_values(SOME))
    assert {"kernel", "residual", "dropout", "pooling place", "never varied", "yes", "no", "0.1", "early"} <= set(found)
    assert "late" not in found  # of a gene that never varied, only what was
    assert sorted(each for each in found if each in {"3", "6", "1", "0", "10"} and each)  # counts
    (axes,) = draw_gene_values(SOME).axes
    counts = [text.get_text() for text in axes.texts if text.get_text().isdigit()]
    assert counts == ["4", "6", "3", "6", "1", "0", "5", "5", "10"]  # residual, kernel, dropout, pooling place
    dots = [float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [0.88, 0.91, 0.85, 0.93, 0.9, 0.9, 0.89, 0.9]


def test_effects_are_ranked_and_filled_where_their_interval_leaves_out_zero() -> None:
    figure = draw_main_effects(SOME)
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert names == ["residual", "kernel", "dropout"]
    written = texts(figure)
    assert "importance 3.0 (0.0–6.0) points" in written
    assert any("accuracy points" in text and "never varied: pooling place" in text for text in written)
    assert any("not tried" in text for text in written)
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    filled = [line.get_markerfacecolor() != "none" for line in dots]
    assert [float(np.asarray(line.get_xdata())[0]) for line in dots] == pytest.approx([-3, 3, -2, 2, 0.1, 1, -1])
    assert filled == [True, True, True, True, False, True, True]


def test_an_interval_that_leaves_the_axes_ends_in_an_arrow() -> None:
    (axes,) = draw_gene_values(RUNS["wide intervals"]).axes
    assert [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">")] == ["<", ">", "<", ">"]
    (axes,) = draw_gene_values(SOME).axes
    assert not [line for line in axes.lines if line.get_marker() in ("<", ">")]


def test_clear_interactions_are_ringed_and_told_and_genes_that_never_varied_left_out() -> None:
    figure = draw_interactions(SOME)
    axes = figure.axes[0]
    (ring,) = axes.lines
    columns = [text.get_text() for text in axes.get_xticklabels()]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    (x,), (y,) = np.asarray(ring.get_xdata()), np.asarray(ring.get_ydata())
    assert (columns[int(x)], rows[int(y)]) == ("kernel", "residual")
    assert "pooling place" not in {*columns, *rows}
    (picture,) = axes.images
    strengths = np.asarray(picture.get_array(), float)
    assert strengths[int(y), int(x)] == pytest.approx(1.2)
    caption = next(text for text in texts(figure) if "clearer than chance" in text)
    assert "kernel × residual: 1.2 points" in caption
    assert "never varied: pooling place" in caption
    quiet = replace(SOME, interactions=tuple(replace(each, chance=1.0) for each in SOME.interactions))
    assert any("none is clearer than chance" in text for text in texts(draw_interactions(quiet)))


def test_a_ring_stands_out_from_its_cell() -> None:
    figure = draw_interactions(RUNS["many genes"])
    axes = figure.axes[0]
    (picture,) = axes.images
    cell = np.asarray(picture.cmap(picture.norm(1.0)))[:3]  # type: ignore[arg-type]
    for ring in axes.lines:
        assert np.abs(np.array(to_rgba(ring.get_color())[:3]) - cell).max() > 0.5
    assert len(axes.lines) == 24 * 23 // 2
    assert any("and 272 more" in text for text in texts(figure))


def test_many_genes_are_set_in_two_columns() -> None:
    assert len(draw_gene_values(SOME).axes) == 1
    left, right = draw_main_effects(RUNS["many genes"]).axes
    assert left.get_xlim() == right.get_xlim()
    assert left.get_ylim() == right.get_ylim()
