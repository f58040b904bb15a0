"""The best so far against the cost of the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from records.words import counted
from reporting.analysis.accuracies import best_so_far, longest_epochs
from reporting.analysis.progress import Spent, spending
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import DOT, ORANGE, empty_figure, new_figure, theme, validation_label
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    yield ReportFigure(
        draw_spending(spending(view.state), view.metric_name),
        "spending",
        f"best {view.metric_name} against trainings and device hours",
        "The same against the cost: where the curve has been flat for long, the run could have ended earlier.",
    )


def draw_spending(spent: Sequence[Spent], metric_name: str = "accuracy") -> Figure:
    """The best so far, and every fully trained individual, against trainings spent and against device time."""
    individuals = [each.individual for each in spent]
    longest = longest_epochs(individuals)
    with theme():
        if longest == 0:
            return empty_figure("no training has succeeded yet")
        figure = new_figure(5.6, 4.6)
        hours = [each.device_hours for each in spent]
        scale, unit = (60, "minutes") if hours[-1] < 1 else (1, "hours")
        costs = (
            (f"trainings spent, each of {counted(longest, 'epoch')}", [each.trainings for each in spent]),
            (f"{unit} of one device", [scale * each for each in hours]),
        )
        best = list(best_so_far(individuals))
        for axes, (title, values) in zip(figure.subplots(2, 1), costs, strict=True):
            shown = [
                (x, each.fitness.value)
                for x, each in zip(values, individuals, strict=True)
                if each.fitness and each.fitness.epochs == longest
            ]
            axes.plot([x for x, _ in shown], [y for _, y in shown], **DOT)
            known = [(x, y) for x, y in zip(values, best, strict=True) if y is not None]
            axes.step([x for x, _ in known], [y for _, y in known], where="post", color=ORANGE, label="best so far")
            axes.set_xlabel(title)
            axes.set_ylabel(validation_label(metric_name))
            axes.set_xlim(left=0)
            axes.legend(loc="lower right")
    return figure
