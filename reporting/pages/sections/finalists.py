"""Finalists: how the best network was chosen, by trainings with fresh seeds."""

from __future__ import annotations

from records.words import mean_with_error
from reporting.pages.sections.section import Section, Table
from reporting.run_view import RunView


def section(view: RunView) -> Section | None:
    info = view.info
    if info is None or not info.finalists:
        return None
    searched = {each.name: each.fitness.value for each in view.individuals if each.fitness}
    rows = []
    for each in info.finalists:
        value = searched.get(each.individual)
        accuracies = ", ".join(f"{accuracy:.4f}" for accuracy in each.accuracies)
        mean = mean_with_error(each.mean, each.standard_error)
        rows.append((each.individual, "–" if value is None else f"{value:.4f}", mean, accuracies))
    lead = f"The best {len(rows)} networks were trained again with fresh seeds; the one with the best mean was chosen"
    if len(rows) == 1:
        lead = "The best network was trained again with fresh seeds; the best of these trainings was kept"
    ahead = max(info.finalists, key=lambda each: searched.get(each.individual, 0.0))
    if ahead is not info.finalists[0]:
        value = searched.get(ahead.individual, 0.0)
        lead += f". {ahead.individual}, ahead in the search with {value:.4f}, reached {ahead.mean:.4f} on average"
    columns = ("network", "in the search", "mean with fresh seeds", "each training")
    table = Table(columns, tuple(rows), f"Validation {view.metric_name} of the finalists.")
    return Section("finalists", "Finalists", f"{lead}.", tables=(table,))
