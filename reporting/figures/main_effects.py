"""The effect of each value of each gene, all else equal."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reporting.analysis.gene_effects import GeneEffect, GeneEffects
from reporting.figures.gene_rows import (
    STYLE,
    GeneRows,
    draw_dot,
    draw_head,
    in_columns,
    limits_around,
    never_varied,
    rows_figure,
)
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import GREY, empty_figure, theme
from reporting.run_view import RunView


def figures(view: RunView) -> Iterator[ReportFigure]:
    lengths = {each.fitness.epochs for each in view.individuals if each.fitness}
    estimated = " Accuracies of networks that were stopped early are estimates." if len(lengths) > 1 else ""
    yield ReportFigure(
        draw_main_effects(view.gene_effects),
        "effects",
        "main effects of genes",
        "The effect of each value relative to the mean of all values of its gene, with all other genes held constant "
        f"(ridge regression on all results, 95% intervals).{estimated}",
    )


def draw_main_effects(effects: GeneEffects) -> Figure:
    """The effect of each value of each gene that varied, all else equal, the most important gene first.

    The band behind a gene extends by its importance to both sides; the number beside its name is that importance
    with its 95% interval. A dot is filled where the interval excludes zero.
    """
    with theme(STYLE):
        if not effects.ranked:
            return empty_figure("no gene varied among trained networks")
        columns = in_columns([(gene, gene.values) for gene in effects.ranked])
        figure, every_axes = rows_figure(columns)
        found = [value.effect for gene in effects.ranked for value in gene.values if value.effect is not None]
        low, high = limits_around([*found, 0.0], within=(-1.0, 1.0))
        for axes, column in zip(every_axes, columns, strict=True):
            axes.set_xlim(100 * low, 100 * high)
            axes.axvline(0, color=GREY, linewidth=1)
            for rows in column:
                draw_head(axes, rows, _importance(rows.gene, is_short=len(columns) > 1))
                _draw_effects(axes, rows)
        unit = "effect (percentage points), 95% interval"
        note = [unit, "beside each name, and as a band: importance", *never_varied(effects)]
        figure.supxlabel("\n".join(note))
    return figure


def _draw_effects(axes: Axes, rows: GeneRows) -> None:
    """Draws the effects of a gene's values in percentage points, and the band of its importance."""
    band = 100 * (rows.gene.importance or 0.0)
    last = rows.values[-1][0]
    axes.fill_betweenx([rows.head + 0.5, last + 0.5], -band, band, color=GREY, alpha=0.25, linewidth=0)
    for place, value in rows.values:
        if value.effect is None or value.effect_interval is None:
            axes.text(0, place, " not tried", va="center", color=GREY, fontsize=9)
            continue
        start, end = (100 * end for end in value.effect_interval)
        draw_dot(axes, place, 100 * value.effect, (start, end), filled=start > 0 or end < 0)


def _importance(gene: GeneEffect, is_short: bool) -> str:
    if gene.importance is None or gene.importance_interval is None:
        return ""
    low, high = gene.importance_interval
    text = f"{100 * gene.importance:.1f} ({100 * low:.1f}–{100 * high:.1f})"
    return text if is_short else f"importance {text} points"
