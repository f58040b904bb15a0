"""The mean accuracy of the networks with each value of each gene."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from reporting.analysis.gene_effects import GeneEffects
from reporting.figures.gene_rows import STYLE, draw_dot, draw_head, in_columns, limits_around, rows_figure
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import empty_figure, theme
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    yield ReportFigure(
        draw_gene_values(view.gene_effects, view.metric_name),
        "values",
        f"mean {view.metric_name} by gene value",
        "Plain means of the trained networks, with their counts. A search trains many neighbours of good networks, so "
        "these means mix the effect of a value with the effects of the genes that it occurred with.",
    )


def draw_gene_values(effects: GeneEffects, metric_name: str = "accuracy") -> Figure:
    """The mean accuracy of the networks with each value of each gene, its 95% interval, and their number.

    These are observed means: networks with one value may be better for other reasons than this value.
    """
    genes = (*effects.ranked, *effects.never_varied)
    with theme(STYLE):
        if not effects.networks:
            return empty_figure("no training has succeeded yet")
        columns = in_columns([(gene, [value for value in gene.values if gene.varied or value.count]) for gene in genes])
        figure, every_axes = rows_figure(columns)
        limits = limits_around([value.mean for gene in genes for value in gene.values if value.mean is not None])
        for axes, column in zip(every_axes, columns, strict=True):
            axes.set_xlim(*limits)
            axes.text(1.03, 1.0, "n", transform=axes.transAxes, va="bottom", fontstyle="italic")
            for rows in column:
                draw_head(axes, rows, "" if rows.gene.varied else "never varied")
                for place, value in rows.values:
                    axes.text(1.03, place, str(value.count), transform=axes.get_yaxis_transform(), va="center")
                    if value.mean is not None:
                        draw_dot(axes, place, value.mean, value.interval, filled=True)
        figure.supxlabel(f"mean validation {metric_name}, 95% interval; n networks")
    return figure
