"""The study of a run in optuna-dashboard itself, as a person opens it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from run.work import Work
from search_space.genes import STANDARD
from tests.faults.small_run import birth

pytest.importorskip("optuna", reason="needs optuna (pip install -r requirements-extras.txt)")
from tests.reporting.watchers.test_optuna_study import evolve, trained

DASHBOARD = Path(sys.executable).with_name("optuna-dashboard")
PATIENCE = 80  # seconds, for a loaded machine
pytestmark = pytest.mark.skipif(
    not DASHBOARD.exists(), reason="needs optuna-dashboard (pip install -r requirements-dev.txt)"
)
Fetch = Callable[[str], bytes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A run with rungs, elites and two objectives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return evolve(tmp_path_factory.mktemp("run"), birth(0, "rich", generations=2))


@pytest.fixture(scope="module")
def fetch(run: Work, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetch]:
    """What a dashboard that shows the study of the run answers to a path."""
    said = tmp_path_factory.mktemp("dashboard") / "said"
    for _ in range(3):  # another process may take the port before the dashboard does
        port = free_port()
        command = [str(DASHBOARD), str(run.run.root / "study.journal"), "--host", "127.0.0.1", "--port", str(port)]
        with said.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            if answers(process, port):
                yield lambda path, port=port: get(port, path)  # type: ignore[misc]
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError(f"optuna-dashboard did not start: {said.read_text()}")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def get(port: int, path: str) -> bytes:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        return bytes(answer.read())


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until the dashboard answers; False if it ends before that, or never does."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            get(port, "/api/studies")
        except urllib.error.URLError:
            time.sleep(0.05)
        else:
            return process.poll() is None
    return False


def detail(fetch: Fetch) -> dict[str, Any]:
    (study,) = json.loads(fetch("/api/studies"))["study_summaries"]
    found: dict[str, Any] = json.loads(fetch(f"/api/studies/{study['study_id']}?after=0"))
    return found


def test_the_run_is_the_one_study(fetch: Fetch) -> None:
    (study,) = json.loads(fetch("/api/studies"))["study_summaries"]
    assert (study["study_name"], study["directions"]) == ("evolution", ["maximize", "minimize"])


def test_every_trained_individual_is_a_trial_of_the_dashboard(run: Work, fetch: Fetch) -> None:
    trials, expected = detail(fetch)["trials"], trained(run)
    assert len(trials) == len(expected) > 8
    for trial, each in zip(trials, expected, strict=True):
        attributes = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
        assert attributes["individual"] == each.name
        assert each.fitness is not None
        assert trial["values"] == [each.fitness.value, each.fitness.parameters]
        assert trial["state"] == ("Complete" if each.fitness.epochs == 9 else "Pruned")
        assert [point["step"] for point in trial["intermediate_values"]] == list(range(1, each.fitness.epochs + 1))


def test_its_parameters_are_the_genes(run: Work, fetch: Fetch) -> None:
    found = detail(fetch)
    assert {item["name"] for item in found["intersection_search_space"]} == {gene.name for gene in STANDARD.genes}
    for trial, each in zip(found["trials"], trained(run), strict=True):
        shown = {item["name"]: item["param_external_value"] for item in trial["params"]}
        assert shown == {gene.name: str(gene.value(each.chromosome)) for gene in STANDARD.genes}


def test_objectives_have_their_names_and_the_front_is_the_best(run: Work, fetch: Fetch) -> None:
    found = detail(fetch)
    assert found["objective_names"] == ["accuracy", "parameters"]
    assert found["has_intermediate_values"] is True
    names = {
        attribute["value"]
        for trial in found["best_trials"]
        for attribute in trial["user_attrs"]
        if attribute["key"] == "individual"
    }
    assert names == {each.name for each in run.front()}


def test_its_page_opens(fetch: Fetch) -> None:
    page = fetch("/dashboard").decode()
    assert "<title>Optuna Dashboard</title>" in page
    script = page.partition('src="')[2].partition('"')[0]
    assert len(fetch(script)) > 100_000


def test_its_table_of_trials_is_that_of_the_run(run: Work, fetch: Fetch) -> None:
    (study,) = json.loads(fetch("/api/studies"))["study_summaries"]
    lines = fetch(f"/csv/{study['study_id']}").decode().splitlines()
    assert len(lines) == 1 + len(trained(run))
    assert all(f"Param {gene.name}" in lines[0] for gene in STANDARD.genes)
