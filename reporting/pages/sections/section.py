"""A section of the report: a sentence on what to see in its figures, drawings and tables."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from records import Individual
from reporting.drawings.network_svg import network_svg
from reporting.figures.report_figure import ReportFigure
from reporting.run_view import RunView
from search_space.encoding import decode


@dataclass(frozen=True, slots=True)
class NetworkDrawing:
    """The drawing of a network, with a title above it and a caption below."""

    title: str
    markup: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; the first column holds names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A section; `command` is what to type to fill it."""

    id: str
    title: str
    lead: str
    figures: tuple[ReportFigure, ...] = ()
    drawings: tuple[NetworkDrawing, ...] = ()
    tables: tuple[Table, ...] = ()
    command: str = ""


def drawing(view: RunView, individual: Individual) -> Markup:
    """The drawing of an individual's network."""
    return Markup(network_svg(decode(view.space.encoding, individual.chromosome)))  # noqa: S704 our own markup
