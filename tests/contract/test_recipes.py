"""The recipes of docs/architecture.md: each diff is applied to a copy of the program, and what it adds is used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.small_run import birth
from tests.program import ROOT
from tests.small_runs import evolve
from workers.ray_connection import copy_program

RECIPES = dict(
    re.findall(
        r"^### (?:An?) ([a-z ]+)\n.*?^```diff\n(.*?)^```$",
        (ROOT / "docs" / "architecture.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
USES = {
    "gene": """
import torch
from model_generator import build_model
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED, STANDARD
from search_space.tables import parse_gene_table

values = {gene.name: gene.values[0] for gene in EXTENDED.genes}
encoding = Encoding((3, 32, 32), 10, EXTENDED)
plain = EXTENDED.chromosome_of(list(values.values()))
reflected = EXTENDED.chromosome_of(list({**values, "padding_mode": "reflect"}.values()))
model = build_model(decode(encoding, reflected))
assert {each.padding_mode for each in model if isinstance(each, torch.nn.Conv2d)} == {"reflect"}
assert model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 10)
assert "padding_mode" in encoding.network(reflected) and "padding_mode" not in encoding.network(plain)
assert "reflect padding" in encoding.describe(reflected)
""",
    "objective": """
from dataclasses import replace
from records import EvolutionConfig, TrainingResult
from records.costs import Cost, Energy
from records.objectives import quantity
from records.trainings import Epoch

assert EvolutionConfig(objectives=("accuracy", "energy")).objectives == ("accuracy", "energy")
cost = Cost(energy=Energy(gpu="GPU-1", before=10.0, after=15.0))
epoch = Epoch(train_loss=1.0, score=0.5, loss=1.0)
result = TrainingResult(key="k", status="done", epochs=(epoch,), cost=cost)
assert result.fitness.objective("energy") == 5.0
assert quantity("energy", 5.0) == "5 J"
try:
    replace(result, cost=Cost()).fitness.objective("energy")
except ValueError as error:
    assert "no counter of a GPU could be read" in str(error)
else:
    raise AssertionError("an energy that was not measured has a value")
""",
    "algorithm": """
import evolution
from records import EvolutionConfig
from run.algorithms import new_search
from search.base import BitStrings

engine = new_search(EvolutionConfig(algorithm="mutation_only", population=20), BitStrings(20))
while engine.best is None or engine.best.fitness.value < 20:
    engine.tell([each.evaluated(each.chromosome.count("1")) for each in engine.ask()])
assert len(engine.generations) < 40
assert "mutation_only" in evolution.build_parser().format_help()
""",
    "data set": """
import evolution, plots
from image_data.catalogue import may_flip
from records import DataConfig

assert "qmnist" in evolution.build_parser().format_help()
assert not may_flip(DataConfig(dataset="qmnist"))
assert plots.main(["--chromosome", "0110010110110011010", "--dataset", "qmnist", "--explain"]) == 0
""",
    "figure": """
import sys, report

assert report.main(["--resume", sys.argv[1], "--figures"]) == 0
""",
}


def test_every_recipe_is_used_here() -> None:
    assert RECIPES.keys() == USES.keys()


@pytest.mark.parametrize("recipe", USES)
def test_a_recipe_is_the_whole_change(recipe: str, tmp_path: Path) -> None:
    program, folder = tmp_path / "program", tmp_path / "run"
    program.mkdir()
    copy_program(program)
    (tmp_path / "recipe.diff").write_text(RECIPES[recipe])
    apply = ["git", "apply", "--whitespace=error", str(tmp_path / "recipe.diff")]
    applied = subprocess.run(apply, cwd=program, capture_output=True, text=True, timeout=60, check=False)
    assert applied.returncode == 0, f"docs/architecture.md no longer fits the program: {applied.stderr}"
    if recipe == "figure":
        evolve(folder, birth(0, "plain", generations=1))
    use = [sys.executable, "-c", USES[recipe], str(folder)]
    used = subprocess.run(use, cwd=program, capture_output=True, text=True, timeout=120, check=False)
    assert used.returncode == 0, used.stderr
    if recipe == "figure":
        assert (folder / "results/figures/parameters.svg").is_file()
        assert "parameters" in (folder / "results/report.html").read_text()
