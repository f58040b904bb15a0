"""The appearance of figures and pages: one palette for light and dark; figures as files and as SVG elements."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from storage.files import write_durably

# Okabe & Ito's palette (2008), distinguishable with any colour vision; in dark mode the colours are lighter.
BLUE, SKY, ORANGE, GREEN, PURPLE, AMBER = "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
GREY, INK, PAPER = "#7F7F7F", "#1F2328", "#FFFFFF"
COLOURS = {  # by name: on paper, on a dark screen
    "blue": (BLUE, "#4DA9E8"),
    "sky": (SKY, "#86CBF2"),
    "orange": (ORANGE, "#F08A4B"),
    "green": (GREEN, "#2FC79A"),
    "purple": (PURPLE, "#DE9DC2"),
    "amber": (AMBER, "#F0B83F"),
    "grey": (GREY, "#8F959C"),
    "ink": (INK, "#E3E6E9"),
    "paper": (PAPER, "#15181C"),
}
SEQUENTIAL, DIVERGING = "cividis", "PuOr"  # colour maps of even lightness, readable with any colour vision
DOT: Any = {"linestyle": "", "marker": "o", "markersize": 4, "color": BLUE, "alpha": 0.55, "markeredgewidth": 0}
THEME: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.grid": True,
    "grid.alpha": 0.35,
    "grid.color": GREY,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "savefig.facecolor": PAPER,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "svg.hashsalt": "evolution",  # equal figures become equal files
    "svg.fonttype": "path",
}
LEAST_SCALE = 0.62  # to which a narrow screen may shrink a figure
LONG = 6.5  # inches; wider figures get a row of the page to themselves
RESOLUTION = 120  # dots per inch of a PNG; heat maps inside an SVG have twice as many
LONG_NUMBER = re.compile(r"(\.\d\d)\d{3,}")  # a coordinate; labels never have five decimals
TAG = re.compile(r"<[^>]*>")
UNSEEN = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)


@contextmanager
def theme(changes: Any = None) -> Iterator[None]:
    """The appearance of all figures, with changes for one; needed for drawing and for saving."""
    settings: Any = {**THEME, **(changes or {})}
    with rc_context(settings), warnings.catch_warnings():
        # Names in a script that the font lacks are drawn as boxes; a warning would not help anybody.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def new_figure(width: float = 5.6, height: float = 3.5) -> Figure:
    """An empty figure of a width and height in inches; call it, and draw in it, within `theme`."""
    return Figure(figsize=(width, height), layout="constrained")


def empty_figure(words: str) -> Figure:
    """A figure that says why it has nothing to show; call it within `theme`."""
    figure = new_figure(5.6, 1.2)
    axes = figure.subplots()
    axes.axis("off")
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes)
    return figure


def label(text: str, most: int = 24) -> str:
    """Text from data for a figure: shortened, on one line, with dollar signs escaped so that none begins a formula."""
    text = "".join(character if character.isprintable() else " " for character in text)
    return (text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")


def validation_label(metric_name: str) -> str:
    """The label of an axis of fitness, on lines that are short enough for a low figure."""
    return "\n".join(["validation", metric_name]) if " " in metric_name else f"validation {metric_name}"


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The content of a figure's file of this kind: svg, png or pdf. Equal figures give equal bytes."""
    metadata = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}[kind]
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    with theme():
        figure.savefig(content, format=kind, dpi=RESOLUTION, metadata=metadata)
    return content.getvalue()


def save_figure(
    figure: Figure, folder: Path, name: str, write: Callable[[Path, bytes], None] = write_durably
) -> list[Path]:
    """Writes a figure as `name`.svg and `name`.png; returns both paths."""
    paths = [folder / f"{name}.{kind}" for kind in ("svg", "png")]
    for path in paths:
        write(path, figure_bytes(figure, path.suffix[1:]))
    return paths


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as an SVG element for a page, whose colours follow the page's light or dark mode.

    `name` must be unique on the page: the ids in the figure begin with it.
    """
    content = io.StringIO()
    FigureCanvasAgg(figure)
    with theme({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(content, format="svg", dpi=2 * RESOLUTION, metadata={"Date": None}, transparent=True)
    svg = UNSEEN.sub("", content.getvalue())
    used = set(re.findall(r"#([\w-]+)[\")]", svg))
    svg = TAG.sub(lambda tag: _tag_of_page(tag[0], name, used), svg)
    width, height = figure.get_size_inches()
    # On a narrow screen, a figure shrinks as long as its text is readable; beyond that, it is scrolled.
    widths = f"width:{96 * width:.0f}px;min-width:{96 * LEAST_SCALE * width:.0f}px"
    name_of_class = "figure long" if width > LONG else "figure"
    opening = f'<svg class="{name_of_class}" role="img" style="{widths}" viewBox="0 0 {72 * width:g} {72 * height:g}">'
    svg = re.sub(r"<svg [^>]*>", opening, svg, count=1)
    return re.sub(r">\s*\n\s*<", "><", svg).strip()


def _tag_of_page(tag: str, name: str, used: set[str]) -> str:
    """One tag of an SVG, with its ids and colours adapted to the page; text between tags is left as it is."""
    tag = re.sub(r' id="([^"]*)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", tag)
    tag = re.sub(r"(href=\"#|url\(#)", rf"\g<1>{name}-", tag).replace("xlink:href", "href")
    tag = LONG_NUMBER.sub(r"\1", tag)
    tag = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 var(--figure-font)", tag)
    for colour, (on_paper, _) in COLOURS.items():
        tag = re.sub(on_paper, f"var(--{colour})", tag, flags=re.IGNORECASE)
    return tag
