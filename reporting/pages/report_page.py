"""The report of a run: one page that stands alone, made from finished files only."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from records import DataConfig, Individual, RunState
from records.flags import settings_arguments
from records.runs import ModelInfo
from records.words import counted, quantity
from reporting.analysis.accuracies import accuracies_by_epochs
from reporting.analysis.devices import timeline
from reporting.analysis.savings import savings
from reporting.console import duration
from reporting.drawings.network_svg import legend_svg
from reporting.pages.pages import brief, render_page
from reporting.pages.report_sections import Section, drawing, sections
from reporting.run_view import RunView, read_run_view
from search_space.encoding import explain, value_in_words
from storage.directory import RunDirectory
from storage.files import write_durably
from training.statistics import wilson_interval

Card = tuple[str, str]  # a figure, and what it is


def write_report(run: RunDirectory, state: RunState) -> Path:
    """Makes the report of a run as of a state, from its files; returns its path. Raises `SaveError`."""
    _write(run, state)
    return run.report


def _write(run: RunDirectory, state: RunState) -> list[Section]:
    """Makes the report, and returns the sections that it shows."""
    values = page_values(read_run_view(run, state))
    write_durably(run.report, render_page("report.html", **values))
    shown: list[Section] = values["sections"]
    return shown


def page_values(view: RunView) -> dict[str, Any]:
    """What the template shows."""
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
        "legend": Markup(legend_svg()),  # noqa: S704 our own
        "commands": commands(view),
        "sections": sections(view),
        **individuals_table(view),
        "state": state,
        "evaluation": view.run.evaluation.exists(),
    }


def names_in_words(names: Sequence[str], most: int = 20) -> str:
    """The names of classes, long ones cut, with the number of those that are left out."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(brief(name) for name in names[:most]) + more


def source(view: RunView) -> Path:
    """What the page was made from: the folder, or a state that is not its newest."""
    run, number = view.run, view.state.generation
    is_newest = all(other <= number for other, _ in run.states())
    return run.root if is_newest else run.state(number)


def cards(view: RunView) -> list[Card]:
    """The figures at the top of the page."""
    best, info, found = view.best, view.info, list[Card]()
    if best is not None and best.fitness is not None:
        images = view.state.facts.val_images
        found.append((f"{best.fitness.value:.4f}", f"validation {view.measure} ({images:,} images)"))
        found += tested_cards(info) if info is not None else []
        found.append((f"{best.fitness.parameters:,}", "parameters"))
        found.append((f"{best.fitness.flops / 1e6:,.1f}", "MFLOPs an image"))
        if best.fitness.latency is not None:
            found.append((quantity("latency", best.fitness.latency), "for one image"))
    if view.individuals:
        spared, worked = savings(view.state), timeline(view.results.values())
        found.append((f"{spared.networks:,}", f"networks trained for {spared.individuals:,} individuals"))
        found.append((duration(worked.busy), f"of device time for all trainings, in {duration(worked.seconds)}"))
    return found


def tested_cards(info: ModelInfo) -> list[Card]:
    """What the best reached after the search: with fresh seeds, and on the test images."""
    found: list[Card] = []
    if info.finalists:
        finalist = info.finalists[0]
        error = finalist.standard_error
        spread = "" if error is None else f" ± {error:.4f}"
        seeds = counted(len(finalist.accuracies), "fresh seed")
        found.append((f"{finalist.mean:.4f}{spread}", f"with {seeds} (mean{', standard error' if spread else ''})"))
    if info.test is not None and info.test.balanced_accuracy is not None:
        found.append((f"{info.test.balanced_accuracy:.4f}", f"test balanced accuracy ({info.test.images:,} images)"))
    if info.test is not None:
        low, high = wilson_interval(round(info.test.accuracy * info.test.images), info.test.images)
        found.append(
            (f"{info.test.accuracy:.4f}", f"test accuracy ({info.test.images:,} images; 95%: {low:.4f} to {high:.4f})")
        )
    return found


def commands(view: RunView) -> list[tuple[str, str]]:
    """What a person may want to type next, and the command."""
    state, run = view.state, view.run
    again = [*settings_arguments(state.search, state.training, state.data), "--output_dir", "again"]
    found = [("the same run again", shlex.join(["python", "evolution.py", *again]))]
    if view.info is not None:
        evaluate = ["python", "evaluate.py", "--model_path", str(run.best_model), "--info_path", str(run.best_info)]
        if state.data.data_dir != DataConfig().data_dir:
            evaluate += ["--data_dir", state.data.data_dir]
        found.append(("the best network on the test images, in detail", shlex.join(evaluate)))
    else:
        found.append(("to go on", shlex.join(["python", "evolution.py", "--resume", str(run.root)])))
    return found


COLUMNS = (
    "individual",
    "accuracy",
    "loss",
    "epochs",
    "parameters",
    "MFLOPs",
    "seconds",
    "device",
    "made by",
    "status",
    "chromosome",
)


def individuals_table(view: RunView) -> dict[str, Any]:
    """The rows of all individuals, the drawing of each network once, and what a row shows when it is opened."""
    numbers: dict[str, int] = {}
    drawings: list[str] = []
    rows: list[tuple[str, ...]] = []
    details: dict[str, dict[str, Any]] = {}
    for each in view.individuals:
        network = view.space.network(each.chromosome)
        if network not in numbers:
            numbers[network] = len(drawings)
            drawings.append(drawing(view, each))
        rows.append(row(view, each))
        details[each.name] = {
            "chromosome": each.chromosome,
            "network": numbers[network],
            "words": view.space.encoding.describe(each.chromosome),
            "parents": each.parents,
            "origin": each.origin,
            "curves": curves(view, each),
            "accuracies": {str(epochs): value for epochs, value in accuracies_by_epochs(each).items()},
            "forecast": None
            if each.forecast is None
            else [round(each.forecast.mean, 4), round(1.96 * each.forecast.deviation, 4)],
            "failure": each.failure,
        }
    return {
        "columns": [view.measure if name == "accuracy" else name for name in COLUMNS],
        "rows": rows,
        "drawings": drawings,
        "details": details,
        "coding": view.table.coding_loci,
        "genes": [
            [gene.name.replace("_", " "), gene.loci, [value_in_words(v) for v in gene.values]]
            for gene in view.table.genes
        ],
    }


def row(view: RunView, individual: Individual) -> tuple[str, ...]:
    result, fitness = view.state.results[individual.jobs[-1]], individual.fitness
    return (
        individual.name,
        "–" if fitness is None else f"{fitness.value:.4f}",
        "–" if fitness is None else f"{fitness.loss:.4f}",
        str(len(result.epochs)),
        f"{result.parameters:,}",
        f"{result.flops / 1e6:,.2f}",
        f"{result.cost.seconds:,.1f}",
        result.cost.device,
        individual.origin,
        (individual.failure or "done").partition(":")[0],
        individual.chromosome,
    )


def curves(view: RunView, individual: Individual) -> list[list[float]]:
    """The validation accuracy over epochs of each of an individual's trainings, the shortest first."""
    results = [view.state.results[key] for key in individual.jobs]
    found = [[epoch.score for epoch in result.epochs if epoch.score is not None] for result in results]
    return [[round(value, 4) for value in curve] for curve in found if curve]
