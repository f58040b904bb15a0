"""Imports run in one direction: each module may import those above it, and never one below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = (
    "records",
    "calibration",
    "hardware",
    "energy",
    "command_line",
    "config_file",
    "chromosome",
    "gene_tables",
    "network_shapes",
    "model_cost",
    "training_time",
    "network_space",
    "objectives",
    "early_stopping",
    "foresight",
    "genetic_algorithm",
    "surrogate",
    "optuna_search",
    "steady_state",
    "search_algorithms",
    "run_analysis",
    "gene_interactions",
    "gene_effects",
    "file_systems",
    "run_directory",
    "run_state",
    "audit",
    "own_data",
    "data_sources",
    "image_data",
    "layers",
    "model_generator",
    "latency",
    "training_loop",
    "train_model",
    "export",
    "job_queue",
    "worker_manager",
    "devices",
    "local_workers",
    "ray_connection",
    "ray_tasks",
    "ray_workers",
    "console",
    "theme",
    "network_drawing",
    "pages",
    "run_plots",
    "plots",
    "evaluation_plots",
    "evaluation_page",
    "effect_plots",
    "tensorboard_log",
    "optuna_bridge",
    "search",
    "steady_search",
    "plan",
    "model_card",
    "best_model",
    "ablation",
    "findings",
    "report_sections",
    "report",
    "evolution",
    "evaluate",
)
MODULES = sorted(path.stem for path in ROOT.glob("*.py"))
DECIDES = (
    "records",
    "calibration",
    "chromosome",
    "network_shapes",
    "model_cost",
    "training_time",
    "network_space",
    "objectives",
    "early_stopping",
    "foresight",
    "genetic_algorithm",
    "surrogate",
    "optuna_search",
    "steady_state",
    "search_algorithms",
    "run_analysis",
    "gene_interactions",
    "gene_effects",
    "job_queue",
)
ACTS = {"torch", "time", "datetime", "random", "secrets", "os", "pathlib", "shutil", "tempfile", "subprocess"}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and first name of every module that a program text imports, wherever it does so."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield from ((node.lineno, alias.name) for alias in node.names)
            yield node.lineno, (node.module or "").partition(".")[0]


def forbidden(module: str, source: str) -> list[str]:
    """The imports of a module's text that run against the order, or name a module outside it."""
    above = ORDER[: ORDER.index(module)]
    return [
        f"{module}.py:{line} imports {name}"
        for line, name in imports(source)
        if name in {*ORDER, *MODULES} and name not in above
    ]


def test_every_module_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_modules_above_it(module: str) -> None:
    assert forbidden(module, (ROOT / f"{module}.py").read_text()) == []


@pytest.mark.parametrize("module", DECIDES)
def test_what_decides_touches_no_files_clock_torch_or_global_randomness(module: str) -> None:
    found = {name for _, name in imports((ROOT / f"{module}.py").read_text())}
    assert found.isdisjoint(ACTS)


@pytest.mark.parametrize(
    "line",
    [
        "import search",
        "import search as s",
        "from search import Search",
        "from . import search",
        "from .search import Search",
        "import json, evolution",
        "import job_queue",  # itself
        "def late():\n    from search import Search",
        "if TYPE_CHECKING:\n    import worker_manager",
        "try:\n    import numpy\nexcept ImportError:\n    import console",
    ],
)
def test_an_import_that_runs_the_other_way_is_found(line: str) -> None:
    assert len(forbidden("job_queue", line)) == 1


@pytest.mark.parametrize("line", ["import json", "import records", "from chromosome import decode", "import torch.nn"])
def test_an_import_of_a_module_above_or_of_a_library_is_allowed(line: str) -> None:
    assert forbidden("job_queue", line) == []
