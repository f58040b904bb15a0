"""Figures of a run, drawn from finished files only. Also a command, which draws them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from command_line import DONE, Parser, run_command
from records import Generation
from run_directory import RunDirectory
from run_state import load_state
from theme import BLUE, GREY, ORANGE, save_figure, theme


def draw_fitness(generations: Sequence[Generation]) -> Figure:
    """Fitness over generations: the best so far, mean and standard deviation, every individual as a dot."""
    with theme():
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        numbers, means, spreads = [], [], []
        best: list[float] = []
        for generation in generations:
            values = [item.fitness.value for item in generation.individuals if item.fitness is not None]
            if not values:
                continue
            axes.plot([generation.number] * len(values), values, "o", color=GREY, alpha=0.4, markersize=4, zorder=2)
            numbers.append(generation.number)
            means.append(float(np.mean(values)))
            spreads.append(float(np.std(values)))
            best.append(max([*best[-1:], *values]))
        if numbers:
            mean, spread = np.array(means), np.array(spreads)
            low, high = np.clip(mean - spread, 0, 1), np.clip(mean + spread, 0, 1)
            axes.fill_between(numbers, low, high, color=BLUE, alpha=0.15, label="mean ± standard deviation")
            axes.plot(numbers, means, color=BLUE, marker="s", markersize=4, label="mean")
            axes.plot(numbers, best, color=ORANGE, marker="^", markersize=5, label="best so far")
            axes.legend(loc="best", frameon=False)
            axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)
        else:
            axes.text(0.5, 0.5, "no training has succeeded yet", ha="center", transform=axes.transAxes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("generation")
        axes.set_ylabel("validation accuracy")
    return figure


def draw_run(run: RunDirectory, generations: Sequence[Generation]) -> list[Path]:
    """Draws all figures of a run into its folder; returns their paths."""
    return save_figure(draw_fitness(generations), run.figures, "fitness")


def main(arguments: Sequence[str]) -> int:
    parser = Parser(prog="plots.py", description="Draws the figures of a run again, from its files.")
    parser.add_argument("--resume", required=True, metavar="PATH", help="a run's folder, or a state file of it")
    options = parser.parse(arguments)
    run, state = load_state(Path(options.resume))
    for path in draw_run(run, state.generations):
        print(path)
    return DONE


if __name__ == "__main__":
    run_command(main)
