"""The figures of a run, each drawn from what its records say; `measure` is what its fitness is, in words."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from records import Generation, Individual, TrainingResult
from records.individuals import all_individuals, best_measured
from records.runs import Ablation
from records.texts import JobKey
from reporting.analysis.ablation import Difference, by_effect
from reporting.analysis.accuracies import accuracies_by_epochs, best_so_far, common_epochs, longest_epochs
from reporting.analysis.devices import Timeline
from reporting.analysis.forecasts import Outcome
from reporting.analysis.lineage import Descent
from reporting.analysis.population import Diversity, allele_frequencies, entropy
from reporting.analysis.progress import Level, Spent, levels
from reporting.figures.theme import (
    BLUE,
    DIVERGING,
    GREEN,
    GREY,
    INK,
    ORANGE,
    SEQUENTIAL,
    SKY,
    empty_figure,
    label,
    new_figure,
    theme,
)
from search_space.genes import GeneTable

DOT: Any = {"linestyle": "", "marker": "o", "markersize": 4, "color": BLUE, "alpha": 0.55, "markeredgewidth": 0}
RING: Any = {"linestyle": "", "marker": "o", "markersize": 3.5, "color": GREY, "alpha": 0.6, "fillstyle": "none"}
FRONT: Any = {"linestyle": "--", "linewidth": 1, "marker": "D", "markersize": 6, "color": ORANGE}
UNITS = {"parameters": (1, "parameters"), "flops": (1e-6, "MFLOPs an image"), "latency": (1e3, "ms an image")}


def _axis_label(measure: str) -> str:
    """What an axis of fitness is called, in lines that are short enough for a low figure."""
    return "\n".join(["validation", measure]) if " " in measure else f"validation {measure}"


def draw_progress(generations: Sequence[Generation], measure: str = "accuracy") -> Figure:
    """Accuracy over generations: every individual as a dot, the best so far, the level of each generation.

    Where trainings ended early, the level is shown apart, after as many epochs as all have trained
    for: means over trainings of different lengths would say nothing.
    """
    individuals = all_individuals(generations)
    common, longest = common_epochs(individuals), longest_epochs(individuals)
    with theme():
        if longest == 0:
            return empty_figure("no training has succeeded yet")
        figure = new_figure(5.6, 3.5 if common == longest else 5.6)
        axes = figure.subplots(1 if common == longest else 2, 1, sharex=True, squeeze=False)[:, 0]
        _dots(axes[0], individuals, longest, label=f"after {epochs_in_words(longest)}")
        best = dict(zip([each.generation for each in individuals], best_so_far(individuals), strict=True))
        known = {number: value for number, value in best.items() if value is not None}
        axes[0].plot(list(known), list(known.values()), color=ORANGE, marker="^", markersize=5, label="best so far")
        if common != longest:
            axes[1].set_title(f"all, after {epochs_in_words(common)}")
            _dots(axes[1], individuals, common)
        _level(axes[-1], levels(generations, common))
        for each in axes:
            each.set_ylabel(_axis_label(measure))
            each.legend(loc="lower right")
        axes[-1].set_xlabel("generation")
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[-1].set_xlim(0.5, generations[-1].number + 0.5)
    return figure


def _dots(axes: Axes, individuals: Sequence[Individual], epochs: int, label: str = "") -> None:
    """The accuracy of every individual after so many epochs, where it trained for them."""
    values = [(each.generation, accuracies_by_epochs(each).get(epochs)) for each in individuals]
    shown = [(number, value) for number, value in values if value is not None]
    axes.plot([number for number, _ in shown], [value for _, value in shown], label=label, **DOT)


def epochs_in_words(epochs: int) -> str:
    return "1 epoch" if epochs == 1 else f"{epochs} epochs"


def _level(axes: Axes, found: Sequence[Level]) -> None:
    """Median, quartiles and mean of each generation."""
    numbers = [level.generation for level in found]
    low, middle, high = zip(*(level.quartiles for level in found), strict=True)
    axes.fill_between(numbers, low, high, color=BLUE, alpha=0.18, linewidth=0, label="quartiles")
    axes.plot(numbers, middle, color=BLUE, marker="s", markersize=4, label="median")
    axes.plot(numbers, [level.mean for level in found], color=GREEN, linestyle="--", label="mean")


def draw_spending(spent: Sequence[Spent], measure: str = "accuracy") -> Figure:
    """The best so far, and every fully trained individual, against trainings spent and against device hours."""
    individuals = [each.individual for each in spent]
    longest = longest_epochs(individuals)
    with theme():
        if longest == 0:
            return empty_figure("no training has succeeded yet")
        figure = new_figure(5.6, 4.6)
        hours = [each.device_hours for each in spent]
        scale, unit = (60, "minutes") if hours[-1] < 1 else (1, "hours")
        costs = (
            (f"trainings spent, each of {epochs_in_words(longest)}", [each.trainings for each in spent]),
            (f"{unit} of one device", [scale * each for each in hours]),
        )
        best = list(best_so_far(individuals))
        for axes, (title, values) in zip(figure.subplots(2, 1), costs, strict=True):
            shown = [
                (x, each.fitness.value)
                for x, each in zip(values, individuals, strict=True)
                if each.fitness and each.fitness.epochs == longest
            ]
            axes.plot([x for x, _ in shown], [y for _, y in shown], **DOT)
            known = [(x, y) for x, y in zip(values, best, strict=True) if y is not None]
            axes.step([x for x, _ in known], [y for _, y in known], where="post", color=ORANGE, label="best so far")
            axes.set_xlabel(title)
            axes.set_ylabel(_axis_label(measure))
            axes.set_xlim(left=0)
            axes.legend(loc="lower right")
    return figure


def draw_learning_curves(
    generations: Sequence[Generation], results: Mapping[JobKey, TrainingResult], measure: str = "accuracy"
) -> Figure:
    """The accuracy over epochs of each individual's longest training, generations side by side."""
    curves = {
        generation.number: [
            (each, [epoch.score for epoch in results[each.jobs[-1]].epochs if epoch.score is not None])
            for each in generation.individuals
            if each.fitness is not None
        ]
        for generation in generations
    }
    longest = max((len(curve) for found in curves.values() for _, curve in found), default=0)
    with theme({"axes.grid": False}):
        if longest == 0:
            return empty_figure("no training has succeeded yet")
        figure = new_figure(min(16.0, max(5.6, 0.75 * len(curves))), 3.2)
        axes = figure.subplots()
        for number, found in curves.items():
            best = best_measured(each for each, _ in found)
            for each, curve in found:
                # A generation's column is one wide; its curves run from the first epoch to the longest.
                x = number - 0.4 + 0.8 * np.arange(len(curve)) / max(1, longest - 1) if longest > 1 else [number]
                is_best = each is best
                style: Any = {"color": ORANGE if is_best else BLUE, "alpha": 1.0 if is_best else 0.35, "markersize": 3}
                axes.plot(x, curve, linewidth=1.6 if is_best else 0.9, marker="o" if len(curve) == 1 else "", **style)
        axes.plot([], [], color=ORANGE, label="best of the generation")
        axes.plot([], [], color=BLUE, alpha=0.5, label="others")
        axes.legend(loc="lower right", ncols=2)
        for number in list(curves)[1:]:
            axes.axvline(number - 0.5, color=GREY, linewidth=0.5, alpha=0.5)
        axes.set_xlim(min(curves) - 0.5, max(curves) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(f"generation, and in it epochs 1 to {longest}")
        axes.set_ylabel(_axis_label(measure))
    return figure


def draw_alleles(generations: Sequence[Generation], table: GeneTable) -> Figure:
    """How often each locus is 1 in each generation, and how uncertain its allele is."""
    frequencies = allele_frequencies(generations)
    names = {locus: gene.name for gene in table.genes for locus in gene.loci}
    rows = [f"{label(names[locus].replace('_', ' '), 16)}  {locus}" for locus in table.coding_loci]
    shown = frequencies[:, list(table.coding_loci)].T
    with theme({"axes.grid": False}):
        figure = new_figure(8.4, max(2.6, 0.19 * len(rows) + 1.2))
        left, right = figure.subplots(1, 2, sharey=True)
        extent = (0.5, len(generations) + 0.5, len(rows) - 0.5, -0.5)
        for axes, values, colours, title in (
            (left, shown, DIVERGING, "share of ones"),
            (right, entropy(shown), SEQUENTIAL, "entropy (bits)"),
        ):
            image = axes.imshow(
                values, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent
            )
            axes.set_title(title)
            axes.set_xlabel("generation")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            figure.colorbar(image, ax=axes, pad=0.02).outline.set_visible(False)
        left.set_yticks(range(len(rows)), rows, fontsize=8)
        left.set_ylabel("gene and its bit")
    return figure


def draw_diversity(found: Sequence[Diversity]) -> Figure:
    """How much the members of each generation differ."""
    with theme():
        figure = new_figure(5.6, 3)
        axes = figure.subplots()
        numbers = [each.generation for each in found]
        axes.plot(
            numbers, [each.entropy for each in found], color=BLUE, marker="s", markersize=4, label="mean entropy (bits)"
        )
        axes.plot(
            numbers,
            [each.distance for each in found],
            color=ORANGE,
            marker="^",
            markersize=5,
            label="share of coding bits in which two differ",
        )
        axes.set_ylim(bottom=0)
        axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("generation")
        axes.set_ylabel("diversity")
        axes.legend(loc="best")
    return figure


def draw_lineage(
    steps: Sequence[Descent], line: Sequence[Descent], values: Mapping[str, float], measure: str = "accuracy"
) -> Figure:
    """The ancestors of the best by generation and accuracy; its main line bold, with the bits changed on each edge.

    `values` are accuracies on one scale, by name; ancestors that failed are left out.
    """
    trunk = {(step.parent.name, step.child.name) for step in line}
    with theme():
        if not steps:
            return empty_figure("the best network is of the first generation: it has no ancestors")
        figure = new_figure(8.4, 3.8)
        axes = figure.subplots()
        drawn = [step for step in steps if step.parent.name in values and step.child.name in values]
        for step in drawn:
            x = [step.parent.generation, step.child.generation]
            y = [values[step.parent.name], values[step.child.name]]
            if (step.parent.name, step.child.name) in trunk:
                axes.plot(x, y, color=ORANGE, linewidth=2, zorder=3)
                words = "1 bit" if len(step.loci) == 1 else f"{len(step.loci)} bits"
                place: Any = {"textcoords": "offset points", "xytext": (0, -12), "ha": "center", "fontsize": 8}
                axes.annotate(words, (sum(x) / 2, sum(y) / 2), **place)
            else:
                axes.plot(x, y, color=GREY, linewidth=0.7, alpha=0.7, zorder=1)
        members = {each.name: each for step in drawn for each in (step.parent, step.child)}
        main = {name for pair in trunk for name in pair}
        for name, each in members.items():
            style: Any = {"color": ORANGE, "markersize": 7} if name in main else {"color": BLUE, "markersize": 4}
            axes.plot(each.generation, values[name], "o", zorder=4, **style)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.15)
        axes.set_xlabel("generation")
        axes.set_ylabel(f"validation {measure},\nas if trained in full")
    return figure


def draw_forecasts(found: Sequence[Outcome], measure: str = "accuracy") -> Figure:
    """What the predictor expected against what came out."""
    with theme():
        if not found:
            return empty_figure("no network was chosen by a forecast")
        figure = new_figure(4.6, 4.2)
        axes = figure.subplots()
        for in_full, style, words in ((False, RING, "trained shorter"), (True, DOT, "trained in full")):
            some = [each for each in found if each.in_full == in_full]
            if some:
                x, y = [each.forecast.mean for each in some], [each.accuracy for each in some]
                widths = [1.96 * each.forecast.deviation for each in some]
                axes.errorbar(x, y, xerr=widths, fmt="none", ecolor=GREY, alpha=0.3, linewidth=0.7)
                axes.plot(x, y, label=words, **style)
        values = [value for each in found for value in (each.accuracy, each.forecast.mean)]
        low, high = min(values) - 0.005, max(values) + 0.005
        axes.plot([low, high], [low, high], color=ORANGE, linewidth=1, label="as forecast")
        axes.set_xlim(low, high)  # one scale for both; long intervals are cut off
        axes.set_ylim(low, high)
        axes.set_xlabel("forecast, with its 95% interval")
        axes.set_ylabel(f"outcome (validation {measure})")
        axes.legend(loc="upper left")
    return figure


def draw_ablation(ablation: Ablation, measure: str = "accuracy") -> Figure:
    """What changing one bit of the best does to its accuracy, with 95% intervals, the largest loss first."""
    found = by_effect(ablation)
    with theme():
        if not found:
            return empty_figure("no neighbour of the best was trained")
        figure = new_figure(5.6, 1.0 + 0.26 * len(found))
        axes = figure.subplots()
        names = [f"{label(each.gene.replace('_', ' '))} {each.best_value} → {each.value}" for each, _ in found]
        reaches = [abs(apart.mean) + (apart.half or 0.0) for _, apart in found]
        limit = min(max(reaches), 3 * float(np.median(reaches))) or 0.01  # a bit that breaks all hides no other
        for row, (_, apart) in enumerate(found):
            _draw_difference(axes, row, apart, limit)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_xlim(-110 * limit, 110 * limit)
        axes.set_yticks(range(len(found)), names, fontsize=9)
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel(f"change of validation {measure} (percentage points)")
    return figure


def _draw_difference(axes: Axes, row: int, apart: Difference, limit: float) -> None:
    """One difference in percentage points; at the edge and with its number, where it lies beyond the limit."""
    half = apart.half or 0.0
    style: Any = {"color": ORANGE, "fillstyle": "full"} if apart.is_clear else {"color": BLUE, "fillstyle": "none"}
    if abs(apart.mean) <= limit:
        axes.errorbar(100 * apart.mean, row, xerr=100 * half, marker="o", markersize=5, capsize=2, **style)
        return
    edge, inward = 100 * math.copysign(limit, apart.mean), math.copysign(8, -apart.mean)
    axes.plot(edge, row, marker="<" if apart.mean < 0 else ">", **style)
    place: Any = {"textcoords": "offset points", "xytext": (inward, 0), "ha": "left" if inward > 0 else "right"}
    axes.annotate(f"{100 * apart.mean:+.1f}".replace("-", "−"), (edge, row), va="center", fontsize=9, **place)


def draw_timeline(found: Timeline) -> Figure:
    """One lane for each device, each training a bar; pauses of the run are cut out."""
    with theme({"axes.grid": False}):
        if not found.bars:
            return empty_figure("no training of this run has a clock")
        lanes = {device: lane for lane, device in enumerate(found.devices)}
        figure = new_figure(10, min(14.0, 0.9 + 0.32 * max(2, len(lanes))))
        axes = figure.subplots()
        scale, unit = (3600, "hours") if found.seconds > 7200 else (60, "minutes") if found.seconds > 120 else (1, "s")
        shades = {(True, 0): BLUE, (True, 1): SKY, (False, 0): ORANGE, (False, 1): ORANGE}
        for (succeeded, parity), colour in shades.items():
            for device, lane in lanes.items():
                bars = [bar for bar in found.bars if bar.device == device]
                spans = [
                    (bar.start / scale, (bar.end - bar.start) / scale)
                    for place, bar in enumerate(bars)
                    if bar.succeeded == succeeded and place % 2 == parity  # neighbours are told apart
                ]
                axes.broken_barh(spans, (lane - 0.38, 0.76), facecolors=colour, linewidth=0)
        for place, _ in found.pauses:
            axes.axvline(place / scale, color=INK, linestyle=":", linewidth=1)
        axes.set_yticks(range(len(lanes)), list(lanes), fontsize=9 if len(lanes) <= 16 else 7)
        axes.set_ylim(len(lanes) - 0.5, -0.5)
        axes.set_xlim(0, found.seconds / scale)
        axes.set_xlabel(f"{unit} since the first training")
    return figure


def draw_front(
    individuals: Sequence[Individual], front: Sequence[Individual], objective: str, measure: str = "accuracy"
) -> Figure:
    """Accuracy against another objective: all fully trained networks, and the front, lettered."""
    scale, unit = {
        "parameters": (1, "parameters"),
        "flops": (1e-6, "MFLOPs an image"),
        "latency": (1e3, "ms an image"),
    }[objective]
    longest = longest_epochs(individuals)
    with theme():
        figure = new_figure(5.6, 3.8)
        axes = figure.subplots()
        for some, style in (([each for each in individuals if each not in front], DOT), (front, FRONT)):
            points = [
                (scale * each.fitness.objective(objective), each.fitness.value)
                for each in some
                if each.fitness and each.fitness.epochs == longest
            ]
            axes.plot([x for x, _ in points], [y for _, y in points], **style)
            if some is front:
                marks = letters(len(points))
                for point in dict.fromkeys(points):
                    words = ", ".join(mark for mark, other in zip(marks, points, strict=True) if other == point)
                    axes.annotate(words, point, textcoords="offset points", xytext=(6, -10), fontweight="bold")
        axes.set_xscale("log")
        axes.set_xlabel(unit)
        axes.set_ylabel(_axis_label(measure))
    return figure


def letters(count: int) -> list[str]:
    """A, B, … Z, A1, B1, …"""
    return [f"{string.ascii_uppercase[n % 26]}{n // 26 or ''}" for n in range(count)]
