"""A run on disk, as Python code asks for it: its best network, individuals, history and figures."""

from __future__ import annotations

import csv
import functools
import importlib.util
from typing import TYPE_CHECKING, Any

from records import Individual, InputError, RunState
from records.runs import Ablation, ModelInfo
from storage.directory import RunDirectory

# Imported where they are needed: opening a run does not need the libraries that analyse, draw or train.
if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    from reporting.run_view import RunView

NUMBERS = {
    "generation": int,
    "individual": int,
    "validation_accuracy": float,
    "validation_loss": float,
    "parameters": int,
    "flops": int,
    "epochs": int,
    "seconds": float,
    "images_per_second": float,
    "peak_memory_bytes": int,
    "latency_ms": float,
    "attempts": int,
}


class OpenedRun:
    """A run as its files say it is; they are read when they are first asked for."""

    def __init__(self, directory: RunDirectory, state: RunState) -> None:
        self.directory, self.state = directory, state

    def __repr__(self) -> str:
        return f"<run in {self.directory.root}, {self.state.generation} generations>"

    @functools.cached_property
    def view(self) -> RunView:
        """All that the run's files say, as the report shows it."""
        from reporting.run_view import read_run_view

        return read_run_view(self.directory, self.state)

    @property
    def individuals(self) -> tuple[Individual, ...]:
        """All evaluated individuals, in order of generation and index."""
        return self.view.individuals

    @property
    def best(self) -> Individual | None:
        """The individual whose network was handed over; before that the best so far, as measured."""
        return self.view.best

    @property
    def info(self) -> ModelInfo | None:
        """What is known of the model that was handed over, its accuracy on the test images included."""
        return self.view.info

    @property
    def ablation(self) -> Ablation | None:
        return self.view.ablation

    def history(self) -> Any:
        """The table of all individuals, one row each: a pandas DataFrame where pandas is installed, or a list of dicts.

        The columns are those of `results/history.csv`; a number that is missing is None (NaN in a frame).
        """
        with open(self.directory.history, encoding="utf-8", newline="") as file:
            rows = [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]
        if importlib.util.find_spec("pandas") is None:
            return rows
        import pandas as pd

        return pd.DataFrame(rows)

    def model(self) -> nn.Module:
        """The network that was handed over, with its weights, in evaluation mode on the CPU.

        It takes images as uint8 (N, C, H, W) and returns logits (N, classes); normalisation is inside.
        Raises `InputError` if no network was handed over yet.
        """
        info = self.info
        if info is None or not self.directory.best_model.is_file():
            raise InputError(f"{self.directory.root} has no best model yet; resume the run to its end")
        from model_generator import load_model
        from search_space.architecture import architecture_of

        return load_model(self.directory.best_model, architecture_of(info.phenotype))

    def figure(self, name: str) -> Figure:
        """A figure of the report by its name, such as "progress". Raises `InputError` that lists those there are."""
        from reporting.figures.registry import all_figures

        there = []
        for each in all_figures(self.view):
            if each.name == name:
                return each.figure
            there.append(each.name)
        raise InputError(f"there is no figure {name!r} of this run; there are {', '.join(there)}")


def _value(column: str, text: str) -> object:
    """A cell of `history.csv`."""
    kind = NUMBERS.get(column)
    if kind is None:
        return text
    return kind(text) if text else None
