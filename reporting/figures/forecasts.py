"""Forecasts of the predictor against outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure

from reporting.analysis.forecasts import Outcome, outcomes
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import DOT, GREY, ORANGE, empty_figure, new_figure, theme
from reporting.run_view import RunView

RING: Any = {"linestyle": "", "marker": "o", "markersize": 3.5, "color": GREY, "alpha": 0.6, "fillstyle": "none"}


def figures(view: RunView) -> Iterator[ReportFigure]:
    if found := outcomes(view.individuals):
        in_full = [each for each in found if each.in_full]
        yield ReportFigure(
            draw_forecasts(found, view.metric_name),
            "forecasts",
            "forecast against outcome",
            f"The accuracies of {sum(each.within for each in in_full)} of {len(in_full)} fully trained networks lie "
            "within the 95% intervals of their forecasts. Networks are chosen for high forecasts, so expect some "
            "disappointments.",
        )


def draw_forecasts(found: Sequence[Outcome], metric_name: str = "accuracy") -> Figure:
    """The accuracy that the predictor expected of each network against the accuracy that it reached."""
    with theme():
        if not found:
            return empty_figure("no network was chosen by a forecast")
        figure = new_figure(4.6, 4.2)
        axes = figure.subplots()
        for in_full, style, words in ((False, RING, "trained for fewer epochs"), (True, DOT, "trained in full")):
            some = [each for each in found if each.in_full == in_full]
            if some:
                x, y = [each.forecast.mean for each in some], [each.accuracy for each in some]
                widths = [1.96 * each.forecast.deviation for each in some]
                axes.errorbar(x, y, xerr=widths, fmt="none", ecolor=GREY, alpha=0.3, linewidth=0.7)
                axes.plot(x, y, label=words, **style)
        values = [value for each in found for value in (each.accuracy, each.forecast.mean)]
        low, high = min(values) - 0.005, max(values) + 0.005
        axes.plot([low, high], [low, high], color=ORANGE, linewidth=1, label="outcome = forecast")
        axes.set_xlim(low, high)  # one scale for both axes; long intervals are cut off
        axes.set_ylim(low, high)
        axes.set_xlabel("forecast, with its 95% interval")
        axes.set_ylabel(f"outcome (validation {metric_name})")
        axes.legend(loc="upper left")
    return figure
