"""Imports run in one direction: a package may import those above it, and no circle exists inside of any."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.program import ROOT, program_files

ORDER = (
    "stopping",
    "records",
    "search_space",
    "search",
    "genetic_algorithm",
    "image_data",
    "training",
    "storage",
    "model_generator",
    "job_queue",
    "worker_manager",
    "train_model",
    "workers",
    "reporting",
    "run",
    "evolution",
    "evaluate",
    "report",
    "plots",
)
COMMANDS = ("evolution", "evaluate", "report", "plots")
AT_THE_ROOT = {*COMMANDS, "train_model", "genetic_algorithm", "model_generator", "worker_manager", "job_queue"}
WITHOUT_TORCH = (
    "stopping",
    "records",
    "search_space",
    "search",
    "genetic_algorithm",
    "storage",
    "job_queue",
    "worker_manager",
)
DECIDES = (
    "search_space",
    "search",
    "genetic_algorithm",
    "job_queue",
    "reporting.analysis",
    "records.canonical",
    "records.errors",
    "records.individuals",
    "records.runs",
    "records.trainings",
    "records.words",
)
ACTS = {"time", "datetime", "random", "secrets", "os", "shutil", "tempfile", "subprocess", "socket"}
SHOWS = ("run.session", "run.opened", "run.interface")  # they put watchers together, and hand out figures
READS_A_FILE = ("search_space.tables",)  # a person's gene table


def module_of(path: Path) -> str:
    """The name under which a file of the program is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(source: str, package: str = "") -> Iterator[tuple[int, str]]:
    """Line and full name of all that a program text imports, wherever it does so.

    `from a import b` gives `a.b`, whether b is a module or a name in one. `package` is that of the text.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module]))
            yield from ((node.lineno, f"{base}.{alias.name}".removeprefix(".")) for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


def forbidden(module: str, source: str) -> list[str]:
    """The imports of a module's text that run against the order of the packages."""
    place = ORDER.index(top(module))
    package = module.rpartition(".")[0]
    return [
        f"{module}, line {line}: imports {name}"
        for line, name in imports(source, package)
        if (top(name) in ORDER[place:] and (top(name) != top(module) or name == module)) or top(name) in COMMANDS
    ]


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """For each module, those of the same package that it imports; a package's `__init__` goes by its name."""
    edges: dict[str, set[str]] = {module: set() for module in sources}
    for module, source in sources.items():
        for _, name in imports(source, module.rpartition(".")[0]):
            found = name if name in sources else name.rpartition(".")[0]
            if found in sources and found != module and top(found) == top(module):
                edges[module].add(found)
    return edges


SOURCES = {module_of(path): path.read_text() for path in program_files()}


def inside(parts: Sequence[str]) -> list[str]:
    """The modules that these are, or that lie in these packages."""
    return [module for module in SOURCES if any(module == part or module.startswith(f"{part}.") for part in parts)]


def test_every_package_and_module_at_the_root_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == sorted({top(module) for module in SOURCES})


def test_the_root_holds_the_modules_with_a_name_of_their_own_and_no_others() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == AT_THE_ROOT


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_no_package_below_its_own_and_no_command(module: str) -> None:
    assert forbidden(module, SOURCES[module]) == []


@pytest.mark.parametrize("package", sorted({top(module) for module in SOURCES}))
def test_no_circle_exists_inside_a_package(package: str) -> None:
    graphlib.TopologicalSorter(graph({name: SOURCES[name] for name in inside([package])})).prepare()


@pytest.mark.parametrize("module", [module for module in inside(["run"]) if module not in SHOWS])
def test_a_run_at_work_knows_watchers_only_and_nothing_of_what_they_show(module: str) -> None:
    """The console, figures, TensorBoard and Optuna are watchers like any other."""
    shown = {name for _, name in imports(SOURCES[module]) if top(name) == "reporting"}
    assert shown <= {"reporting.watcher.Watcher", "reporting.watcher.Watchers"}


@pytest.mark.parametrize("module", inside(WITHOUT_TORCH))
def test_what_answers_before_torch_is_loaded_does_not_import_it(module: str) -> None:
    assert not {name for _, name in imports(SOURCES[module]) if top(name) in ("torch", "torchvision")}


@pytest.mark.parametrize("module", inside(DECIDES))
def test_what_decides_touches_no_files_clock_or_global_randomness(module: str) -> None:
    allowed = {"pathlib"} if module in READS_A_FILE else set()
    found = {top(name) for _, name in imports(SOURCES[module])}
    assert found.isdisjoint({*ACTS, "pathlib"} - allowed)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_names_the_programs_folder_before_it_imports_from_it(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [node.lineno for node in tree.body if "sys.path.insert" in ast.unparse(node)]
    assert named
    assert all(line > named[0] for line, name in imports(path.read_text(encoding="utf-8")) if top(name) in ORDER)


@pytest.mark.parametrize(
    "line",
    [
        "import search.base",
        "import run.loop as r",
        "from run.loop import Search",
        "from reporting import console",
        "import json, evolution",
        "from evolution import main",
        "import job_queue",  # itself
        "def late():\n    from workers.local import LocalWorkers",
        "if TYPE_CHECKING:\n    import worker_manager",
        "try:\n    import numpy\nexcept ImportError:\n    import run.planning",
    ],
)
def test_an_import_that_runs_the_other_way_is_found(line: str) -> None:
    module = "search.base" if line == "import search.base" else "job_queue"
    assert len(forbidden(module, line)) == 1


@pytest.mark.parametrize("line", ["import json", "import records", "from search_space import genes", "import torch.nn"])
def test_an_import_of_a_package_above_or_of_a_library_is_allowed(line: str) -> None:
    assert forbidden("job_queue", line) == []


def test_a_circle_is_found() -> None:
    sources = {"p.a": "from p.b import f", "p.b": "def f():\n    from p import c", "p.c": "import p.a"}
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(graph(sources)).prepare()
