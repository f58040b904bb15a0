"""The report of a run: one HTML file, made from the files of the run alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from records import DataConfig
from records.flags import settings_arguments
from reporting.drawings.network_svg import legend_svg
from reporting.pages.individuals import individuals_table
from reporting.pages.pages import render_page, shortened
from reporting.pages.report_cards import cards
from reporting.pages.sections.registry import sections
from reporting.pages.sections.section import Section, drawing
from reporting.run_view import RunView
from search_space.encoding import explain


def write_sections(view: RunView) -> list[Section]:
    """Writes the report of a run, and returns the sections that it shows. Raises `SaveError`."""
    shown = sections(view)
    view.run.write(view.run.report, render_page("report.html", **page_values(view, shown)))
    return shown


def page_values(view: RunView, shown: Sequence[Section]) -> dict[str, Any]:
    """The values of the template."""
    state, best = view.state, view.best
    return {
        "dataset": Path(state.data.dataset).name,
        "folder": str(view.run.root.resolve()),
        "again": shlex.join(["python", "report.py", "--resume", str(source(view))]),
        "facts": state.facts,
        "class_names": names_in_words(state.facts.class_names),
        "notes": view.notes,
        "best": best,
        "words": "" if best is None else view.space.encoding.describe(best.chromosome),
        "best_drawing": None if best is None else drawing(view, best),
        "cards": cards(view),
        "bits": [] if best is None else explain(view.space.encoding, best.chromosome),
        "legend": Markup(legend_svg()),  # noqa: S704 our own markup
        "commands": commands(view),
        "sections": shown,
        **individuals_table(view),
        "state": state,
        "evaluation": view.run.evaluation.exists(),
    }


def names_in_words(names: Sequence[str], most: int = 20) -> str:
    """The names of classes, long ones shortened, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shortened(name) for name in names[:most]) + more


def source(view: RunView) -> Path:
    """What the page was made from: the folder of the run, or a state that is not its newest."""
    run, number = view.run, view.state.generation
    is_newest = all(other <= number for other, _ in run.states())
    return run.root if is_newest else run.state(number)


def commands(view: RunView) -> list[tuple[str, str]]:
    """Commands to continue with, each with its purpose."""
    state, run = view.state, view.run
    again = [*settings_arguments(state.search, state.training, state.data), "--output_dir", "again"]
    found = [("To repeat this run:", shlex.join(["python", "evolution.py", *again]))]
    if view.info is not None:
        evaluate = ["python", "evaluate.py", "--model_path", str(run.best_model), "--info_path", str(run.best_info)]
        if state.data.data_dir != DataConfig().data_dir:
            evaluate += ["--data_dir", state.data.data_dir]
        found.append(("To evaluate the best network on the test images in detail:", shlex.join(evaluate)))
    else:
        found.append(("To continue:", shlex.join(["python", "evolution.py", "--resume", str(run.root)])))
    return found
