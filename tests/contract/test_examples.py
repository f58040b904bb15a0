"""The settings files in examples/ ask for runs that the program accepts, and the quick look really runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolution import build_parser, request_of
from records import RunState
from records.config_file import with_config
from run.opening import open_folder
from storage.directory import RunDirectory
from tests.test_evolution import ROOT, finish, start

EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))
QUICK_LOOK = ROOT / "examples/quick_look.toml"


def accepted(example: Path, *arguments: str) -> tuple[RunDirectory, RunState | None]:
    """The run that an example asks for, as far as that can be said without reading images."""
    parser = build_parser()
    options = parser.parse(with_config(parser, ["--config", str(example), *arguments]))
    return open_folder(request_of(options))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_asks_for_a_run_that_is_accepted(example: Path, tmp_path: Path) -> None:
    run, state = accepted(example, "--output_dir", str(tmp_path / "run"))
    assert (run.root, state) == (tmp_path / "run", None)


def test_each_example_says_how_to_run_it_and_the_readme_names_it() -> None:
    assert len(EXAMPLES) >= 4
    readme = (ROOT / "README.md").read_text()
    for path in EXAMPLES:
        assert f"python evolution.py --config examples/{path.name}" in path.read_text()
        assert f"](examples/{path.name})" in readme


@pytest.mark.slow
def test_the_quick_look_runs_to_its_report_and_is_resumed_by_the_same_file(tmp_path: Path) -> None:
    """In short: fewer and smaller generations than the file asks for, and fewer images."""
    short = ["--generations", "2", "--population", "4", "--final_seeds", "1", "--train_limit", "200"]
    short += ["--cpu_workers", "2", "--output_dir", str(tmp_path)]
    finish(start("--config", str(QUICK_LOOK), *short))
    for name in ("best_model/best_model.pt", "results/ablation.json", "results/report.html"):
        assert (tmp_path / name).is_file()
    run, state = accepted(QUICK_LOOK, *short, "--resume", str(tmp_path))
    assert run.root == tmp_path
    assert state is not None
    assert (state.generation, state.training.epochs, state.training.batch_size, state.data.dataset) == (
        2,
        9,
        32,
        "digits",
    )
