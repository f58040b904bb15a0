"""Ablation: the effect of single bits of the best network."""

from __future__ import annotations

import shlex

from records.runs import Ablation
from records.words import counted
from reporting.analysis.ablation import by_effect
from reporting.figures.registry import section_figures
from reporting.pages.sections.section import Section
from reporting.run_view import RunView


def section(view: RunView) -> Section:
    if view.ablation is not None:
        return Section("ablation", "Ablation", lead(view.ablation), section_figures(view, "ablation"))
    command = shlex.join(["python", "evolution.py", "--resume", str(view.run.root), "--ablation"])
    status = "Requested, but not available yet" if view.state.search.ablation else "Not part of this run"
    text = (
        f"{status}: an ablation trains every network that differs from the best in one bit, with several seeds, and "
        "so measures the effect of each bit."
    )
    return Section("ablation", "Ablation", text, command=command)


def lead(found: Ablation) -> str:
    """How many bits matter, and in which direction."""
    pairs, seeds = by_effect(found), len(found.accuracies)
    text = (
        f"{counted(len(pairs), 'bit')} of the best, each flipped alone and trained with {counted(seeds, 'fresh seed')}"
    )
    if seeds == 1:
        return f"{text}; with one seed there are no intervals, so no difference is clear."
    clear = [apart.mean for _, apart in pairs if apart.is_clear]
    better = sum(mean > 0 for mean in clear)
    return f"{text}: {len(clear) - better} clearly worse and {better} clearly better (full dots: intervals exclude 0)."
