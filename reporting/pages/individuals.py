"""The table of all individuals, and the details of each."""

from __future__ import annotations

from typing import Any

from records import Individual
from reporting.analysis.accuracies import accuracies_by_epochs
from reporting.pages.sections.section import drawing
from reporting.run_view import RunView
from search_space.genes import value_in_words

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
    """The rows of all individuals, the drawing of each network, and the details that an opened row shows."""
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
        "columns": [view.metric_name if name == "accuracy" else name for name in COLUMNS],
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
    """The validation accuracy over epochs in each training of an individual, the shortest first."""
    results = [view.state.results[key] for key in individual.jobs]
    found = [[epoch.score for epoch in result.epochs if epoch.score is not None] for result in results]
    return [[round(value, 4) for value in curve] for curve in found if curve]
