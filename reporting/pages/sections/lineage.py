"""Lineage: the ancestors of the best network."""

from __future__ import annotations

from records.words import counted, percentage_points
from reporting.analysis.lineage import Ancestry, LineageStep, ancestry
from reporting.figures.registry import section_figures
from reporting.pages.sections.best_networks import changed_genes
from reporting.pages.sections.section import Section, Table
from reporting.run_view import RunView

COLUMNS = ("step", "what changed", "gain", "after", "made by", "bits")


def section(view: RunView) -> Section | None:
    if view.best is None:
        return None
    found = ancestry(view.individuals, view.best.name, view.table)
    line = tuple(row(step) for step in found.line)
    others = tuple(row(step) for step in found.steps if step not in found.line)
    tables = [Table(COLUMNS, line, "The main line: from each child to its closer parent.")] if line else []
    if others:
        tables.append(Table(COLUMNS, others, "All other steps between ancestors."))
    return Section("descent", "Lineage", lead(found), section_figures(view, "descent"), tables=tuple(tables))


def lead(found: Ancestry) -> str:
    """How many steps led to the best network, and which of them gained most."""
    best = found.individual
    if not found.line:
        return f"The best network, {best.name}, has no ancestors (origin: {best.origin})."
    text = f"{counted(len(found.line), 'step')} led from {found.line[0].parent.name} to the best network"
    gains = [(step.gain, step) for step in found.line if step.gain is not None]
    gain, step = max(gains, key=lambda each: each[0], default=(0.0, found.line[0]))
    if gain > 0:
        text += (
            f"; the largest gain, {percentage_points(gain)}, came with {step.child.name}: {changed_genes(step.changes)}"
        )
    return f"{text}."


def row(step: LineageStep) -> tuple[str, ...]:
    return (
        f"{step.parent.name} → {step.child.name}",
        changed_genes(step.changes),
        "–" if step.gain is None else percentage_points(step.gain),
        counted(step.epochs, "epoch") if step.epochs else "–",
        step.child.origin,
        ", ".join(map(str, step.loci)),
    )
