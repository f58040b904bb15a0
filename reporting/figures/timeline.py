"""The trainings on each device over time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from matplotlib.figure import Figure

from records.words import duration
from reporting.analysis.devices import Timeline, timeline
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import BLUE, INK, ORANGE, SKY, empty_figure, new_figure, theme
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    found = timeline(view.results.values())
    if found.bars:
        seconds = [bar.end - bar.start for bar in found.bars]
        yield ReportFigure(
            draw_timeline(found),
            "timeline",
            "trainings by device over time",
            f"Each bar is a training (median {duration(statistics.median(seconds))}, longest "
            f"{duration(max(seconds))}); gaps are idle time, at the end of a generation and between trainings.",
        )


def draw_timeline(found: Timeline) -> Figure:
    """One lane for each device, one bar for each training; pauses of the run are cut out."""
    with theme({"axes.grid": False}):
        if not found.bars:
            return empty_figure("the times of no training of this run are known")
        lanes = {device: lane for lane, device in enumerate(found.devices)}
        figure = new_figure(10, min(14.0, 0.9 + 0.32 * max(2, len(lanes))))
        axes = figure.subplots()
        scale, unit = (3600, "hours") if found.seconds > 7200 else (60, "minutes") if found.seconds > 120 else (1, "s")
        shades = {(True, 0): BLUE, (True, 1): SKY, (False, 0): ORANGE, (False, 1): ORANGE}
        for (succeeded, parity), colour in shades.items():
            for device, lane in lanes.items():
                bars = [bar for bar in found.bars if bar.device == device]
                spans = [
                    (bar.start / scale, (bar.end - bar.start) / scale)
                    for place, bar in enumerate(bars)
                    if bar.succeeded == succeeded and place % 2 == parity  # shades alternate between neighbours
                ]
                axes.broken_barh(spans, (lane - 0.38, 0.76), facecolors=colour, linewidth=0)
        for place, _ in found.pauses:
            axes.axvline(place / scale, color=INK, linestyle=":", linewidth=1)
        axes.set_yticks(range(len(lanes)), list(lanes), fontsize=9 if len(lanes) <= 16 else 7)
        axes.set_ylim(len(lanes) - 0.5, -0.5)
        axes.set_xlim(0, found.seconds / scale)
        axes.set_xlabel(f"{unit} since the first training")
    return figure
