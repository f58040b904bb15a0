"""Runs that earlier versions wrote go on with this one; see tests/contract/runs/README.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from storage.checkpoint import load_state
from tests.test_evolution import finish, start

RUNS = Path(__file__).parent / "runs"


@pytest.mark.slow
@pytest.mark.parametrize("version", sorted(path.name for path in RUNS.iterdir() if path.is_dir()))
def test_a_run_of_an_earlier_version_goes_on_to_its_end(version: str, tmp_path: Path) -> None:
    folder = tmp_path / version
    shutil.copytree(RUNS / version, folder)
    _, before = load_state(folder)
    assert before.generation < before.search.generations
    text = finish(start("--resume", str(folder), "--cpu_workers", "1", "--min_free_disk", "0"))
    _, after = load_state(folder)
    assert after.generation == after.search.generations
    assert after.generations[: before.generation] == before.generations
    assert tuple(each.chromosome for each in after.generations[before.generation].individuals) == tuple(
        each.chromosome for each in before.population
    )
    # The weights did not come along: of what was trained before, only the best network is trained again.
    best = next(line.split()[3].strip("(),") for line in text.splitlines() if line.startswith("best network"))
    trained = re.findall(r"^(gen\d+/ind\d+)(?:/epochs_\d+)?: accuracy", text, re.MULTILINE)
    known = {each.name for generation in before.generations for each in generation.individuals}
    assert known.intersection(trained) <= {best}
    assert (folder / "best_model/best_model.pt").is_file()


def test_the_stored_runs_hold_no_weights_and_stay_small() -> None:
    for version in (path for path in RUNS.iterdir() if path.is_dir()):
        files = [path for path in version.rglob("*") if path.is_file()]
        assert not [path for path in files if path.suffix in (".pt", ".damaged", ".tmp")]
        assert sum(path.stat().st_size for path in files) < 200_000
