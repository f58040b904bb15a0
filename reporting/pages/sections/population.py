"""Population: how far it has converged, how good the forecasts were, and how many trainings were saved."""

from __future__ import annotations

import numpy as np

from reporting.analysis.population import allele_frequencies
from reporting.analysis.savings import Savings, savings
from reporting.figures.registry import section_figures
from reporting.pages.sections.section import Section, Table
from reporting.run_view import RunView

CONVERGED = 0.95  # share of individuals with the same allele from which on a bit counts as converged


def section(view: RunView) -> Section:
    loci = list(view.table.coding_loci)
    shares = allele_frequencies(view.state.generations[-1:])[0, loci]
    converged, saved = int((np.maximum(shares, 1 - shares) >= CONVERGED).sum()), savings(view.state)
    lead = (
        f"In the last generation, {converged} of {len(loci)} coding bits have converged (at least 95% of the "
        f"individuals agree). {saved.share:.0%} of the trainings of all individuals were saved."
    )
    figures, tables = section_figures(view, "search"), (savings_table(saved),)
    return Section("search", "Population and savings", lead, figures, tables=tables)


def savings_table(saved: Savings) -> Table:
    early = saved.networks - saved.full_trainings
    rows = (
        ("individuals", f"{saved.individuals:,}", ""),
        (
            "saved by memory",
            f"{saved.individuals - saved.networks:,}",
            "elites, and networks trained before",
        ),
        ("saved by early stopping", f"{early:,.1f}", f"of {saved.networks:,} (in units of full trainings)"),
        ("taken from earlier runs", f"{saved.reused:,}", "trainings (--reuse)"),
        (
            "chosen by the predictor",
            f"{saved.screened:,}",
            "networks, each the most promising of many offspring; what training the others would have cost is unknown",
        ),
        ("spent", f"{saved.full_trainings:,.1f}", "full trainings"),
    )
    return Table(("trainings", "", ""), rows, "Trainings saved and trainings spent.")
