"""Figures on a page: their colours follow it, their parts clash with no other figure's, and they are small."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from reporting.figures.theme import BLUE, COLOURS, INK, figure_bytes, inline_svg, label, new_figure, save_figure, theme


def some_figure(title: str = "title") -> Figure:
    with theme():
        figure = new_figure()
        axes = figure.subplots()
        axes.plot([0, 1, 2], [0.123456789, 1, 2], "o-", color=BLUE)
        axes.set_title(label(title))
    return figure


def test_an_inline_figure_takes_its_colours_from_the_page() -> None:
    svg = inline_svg(some_figure(), "one")
    ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert "var(--blue)" in svg
    assert "var(--ink)" in svg
    assert BLUE.lower() not in svg.lower()
    assert INK.lower() not in svg.lower()


def test_every_name_inside_an_inline_figure_begins_with_its_own() -> None:
    svg = inline_svg(some_figure(), "one")
    names = re.findall(r' id="([^"]*)"', svg)
    used = re.findall(r'(?:href="#|url\(#)([\w-]+)', svg)
    assert set(used) <= set(names)
    assert all(name.startswith("one-") for name in names)


def test_an_inline_figure_is_smaller_than_the_file_and_asks_the_network_for_nothing() -> None:
    svg = inline_svg(some_figure(), "one")
    assert len(svg) < len(figure_bytes(some_figure(), "svg"))
    assert "http" not in svg


def test_text_of_data_is_escaped_in_an_inline_figure() -> None:
    svg = inline_svg(some_figure("<script>&$x_1$"), "one")
    ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert "<script" not in svg
    assert "&lt;script&gt;&amp;$x_1$" in svg


@pytest.mark.parametrize("title", ["#0072B2", "0.123456789", 'href="#a"', ' id="b"', "xlink:href"])
def test_text_that_looks_like_a_drawing_s_own_stays_as_it_is(title: str) -> None:
    assert f">{title}</text>" in inline_svg(some_figure(title), "one")


def test_text_of_data_is_one_line_without_characters_that_no_drawing_may_hold() -> None:
    assert label("a\nb\x00c\x1b[1m") == "a b c [1m"


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_equal_figures_are_equal_files(kind: str) -> None:
    assert figure_bytes(some_figure(), kind) == figure_bytes(some_figure(), kind)


def test_a_figure_is_saved_as_drawing_and_as_picture(tmp_path: Path) -> None:
    assert save_figure(some_figure(), tmp_path, "name") == [tmp_path / "name.svg", tmp_path / "name.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"name.svg", "name.png"}


def luminance(colour: str) -> float:
    """Relative luminance of #RRGGBB (WCAG 2.2)."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("shade", [0, 1])
def test_text_and_lines_stand_out_on_paper_and_in_the_dark(shade: int) -> None:
    paper = luminance(COLOURS["paper"][shade])
    for name, shades in COLOURS.items():
        lighter, darker = sorted([paper, luminance(shades[shade])], reverse=True)
        contrast = (lighter + 0.05) / (darker + 0.05)
        assert name == "paper" or contrast >= (10 if name == "ink" else 2)  # 3 is asked of what carries meaning alone
