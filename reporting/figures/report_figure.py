"""A figure of the report, with the text that goes with it."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """A figure, the name of its file, a description for those who cannot see it, and the caption below it."""

    figure: Figure
    name: str
    description: str
    caption: str = ""
