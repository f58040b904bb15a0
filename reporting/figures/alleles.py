"""Allele frequencies and their entropy over generations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure

from records import Generation
from reporting.analysis.population import allele_frequencies, entropy
from reporting.figures.report_figure import ReportFigure
from reporting.figures.theme import DIVERGING, SEQUENTIAL, label, new_figure, theme
from reporting.run_view import RunView
from search_space.genes import GeneTable

MOST_NUMBERS = 10  # of generations below the axis


def figures(view: RunView) -> Iterator[ReportFigure]:
    yield ReportFigure(
        draw_alleles(view.state.generations, view.table),
        "alleles",
        "allele frequencies and their entropy",
        "A row of one colour is a bit that has converged. Bits that converge early may be hitchhikers of one good "
        "network.",
    )


def draw_alleles(generations: Sequence[Generation], table: GeneTable) -> Figure:
    """The frequency of ones at each locus in each generation, and the entropy of its allele."""
    import seaborn

    names = {locus: gene.name for gene in table.genes for locus in gene.loci}
    rows = [f"{label(names[locus].replace('_', ' '), 16)}  {locus}" for locus in table.coding_loci]
    shares = allele_frequencies(generations)[:, list(table.coding_loci)].T
    shown = range(0, len(generations), -(-len(generations) // MOST_NUMBERS))
    numbers = [generations[place].number for place in shown]
    with theme({"axes.grid": False}):
        figure = new_figure(8.4, max(2.6, 0.19 * len(rows) + 1.2))
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, values, colours, title in (
            (left, shares, DIVERGING, "share of ones"),
            (right, entropy(shares), SEQUENTIAL, "entropy (bits)"),
        ):
            seaborn.heatmap(
                values,
                ax=axes,
                cmap=colours,
                vmin=0,
                vmax=1,
                rasterized=True,
                xticklabels=False,
                yticklabels=rows,
                cbar_kws={"pad": 0.02},
            )
            axes.set_title(title)
            axes.set_xlabel("generation")
            axes.set_xticks([place + 0.5 for place in shown], numbers, rotation=0)
            axes.tick_params(axis="y", labelsize=8, length=0)
        left.set_ylabel("gene and its bit")
    return figure
