"""Self-contained HTML pages: one file with its style, figures and script, which loads nothing from elsewhere."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from records.canonical import VERSION
from records.words import printable
from reporting.figures.theme import COLOURS, inline_svg

TEMPLATES = Path(__file__).resolve().parent / "templates"


def render_page(template: str, **values: Any) -> bytes:
    """A page from a template in `templates/` and its values. All text is escaped, except `markupsafe.Markup`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_readable,
    )
    environment.globals["figure_markup"] = figure_markup
    page = environment.get_template(template).render(colours=COLOURS, version=VERSION, **values)
    return page.encode(errors="replace")


def _readable(value: Any) -> Any:
    """A value of a page, without characters that turn the direction of what follows, or that no page may hold."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(printable, value.split("\n")))


def figure_markup(figure: Figure, name: str, description: str) -> Markup:
    """A figure for a page, with a description for those who cannot see it. `name` must be unique on the page."""
    svg = inline_svg(figure, name).replace('role="img"', Markup('role="img" aria-label="{}"').format(description), 1)
    return Markup('<div class="wide">{}</div>').format(Markup(svg))  # noqa: S704 our own drawing


def png_uri(content: bytes) -> str:
    """A PNG as a data URI for an image on the page."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def shortened(name: str, most: int = 40) -> str:
    """A name from data, short enough for a sentence."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
