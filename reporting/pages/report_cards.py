"""The key numbers at the top of the report."""

from __future__ import annotations

from records.objectives import quantity
from records.runs import ModelInfo
from records.words import counted, duration, mean_with_error
from reporting.analysis.devices import timeline
from reporting.analysis.savings import savings
from reporting.run_view import RunView
from training.statistics import wilson_interval

Card = tuple[str, str]  # a figure, and what it is


def cards(view: RunView) -> list[Card]:
    """The figures at the top of the page."""
    best, info, found = view.best, view.info, list[Card]()
    if best is not None and best.fitness is not None:
        images = view.state.facts.val_images
        found.append((f"{best.fitness.value:.4f}", f"validation {view.metric_name} ({images:,} images)"))
        found += tested_cards(info) if info is not None else []
        found.append((f"{best.fitness.parameters:,}", "parameters"))
        found.append((f"{best.fitness.flops / 1e6:,.1f}", "MFLOPs an image"))
        if best.fitness.latency is not None:
            found.append((quantity("latency", best.fitness.latency), "for one image"))
    if view.individuals:
        saved, worked = savings(view.state), timeline(view.results.values())
        found.append((f"{saved.networks:,}", f"networks trained for {saved.individuals:,} individuals"))
        found.append((duration(worked.busy), f"of device time for all trainings, within {duration(worked.seconds)}"))
    return found


def tested_cards(info: ModelInfo) -> list[Card]:
    """The accuracy of the best network after the search: with fresh seeds, and on the test images."""
    found: list[Card] = []
    if info.finalists:
        finalist = info.finalists[0]
        seeds = counted(len(finalist.accuracies), "fresh seed")
        words = "mean" if finalist.standard_error is None else "mean, standard error"
        found.append((mean_with_error(finalist.mean, finalist.standard_error), f"with {seeds} ({words})"))
    if info.test is not None and info.test.balanced_accuracy is not None:
        found.append((f"{info.test.balanced_accuracy:.4f}", f"test balanced accuracy ({info.test.images:,} images)"))
    if info.test is not None:
        low, high = wilson_interval(round(info.test.accuracy * info.test.images), info.test.images)
        found.append(
            (f"{info.test.accuracy:.4f}", f"test accuracy ({info.test.images:,} images; 95%: {low:.4f} to {high:.4f})")
        )
    return found
