"""Workers on a real Ray cluster of two nodes, which are processes of this machine."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from job_queue import JobTimeout
from records import InputError
from run.history import COLUMNS as HISTORY_COLUMNS
from storage.directory import RunDirectory
from tests.processes import alive_after, descendants_of, listening
from tests.ray_cluster import ROOT, ClusterProcess
from tests.workers.contract import Make, WorkersContract, job, perform
from worker_manager import WorkersBroken
from workers import ray_cluster as ray_workers
from workers import ray_inventory
from workers.ray_cluster import RayWorkers
from workers.ray_inventory import ClusterUse, Inventory
from workers.ray_node import NodeFacts

Found = tuple[list[dict[str, str]], bytes]
TRAINERS = ((Path(__file__).parent.parent / "trainers.py"),)
SEARCH = [
    *("--dataset", "digits", "--generations", "2", "--population", "4", "--batch_size", "32"),
    *("--early_stopping", "none", "--surrogate", "off", "--epochs", "3", "--finalists", "0"),
]
MEASURED = HISTORY_COLUMNS.index("seconds")  # from there on no two runs are alike


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    with ClusterProcess() as process:
        yield process


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "evolution.py", "--output_dir", str(folder), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    said, _ = process.communicate(timeout=200)
    assert process.returncode == status, said
    return said


def wait_for(process: subprocess.Popen[str], pattern: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if re.search(pattern, line):
            return
    pytest.fail(f"the run ended before it said {pattern!r}")


def history(folder: Path) -> list[dict[str, str]]:
    with open(RunDirectory(folder).history, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def outcome(folder: Path) -> Found:
    """What a run found: its history as far as it is not measured, and the best weights."""
    rows = [{name: row[name] for name in HISTORY_COLUMNS[:MEASURED]} for row in history(folder)]
    return rows, RunDirectory(folder).best_model.read_bytes()


def devices(folder: Path) -> set[str]:
    return {row["device"] for row in history(folder)}


def tasks_alive() -> list[str]:
    """The processes of this machine that train for a cluster, or wait for the next training."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            title = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if title.startswith(("ray::train", "ray::look", "ray::IDLE")):
            found.append(title)
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def no_task_is_left() -> bool:
    wait_until(lambda: not tasks_alive(), seconds=20)
    return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What the worker processes of this machine make of the search."""
    folder = tmp_path_factory.mktemp("local")
    finish(start(folder, *SEARCH, "--cpu_workers", "2"))
    return outcome(folder)


@pytest.mark.slow
def test_a_cluster_finds_what_this_machine_finds(cluster: ClusterProcess, undisturbed: Found, tmp_path: Path) -> None:
    said = finish(start(tmp_path, *SEARCH, "--cluster", cluster.address))
    assert f"2 workers on cpu of 2 nodes of cluster {cluster.address}" in said
    assert outcome(tmp_path) == undisturbed
    assert len(devices(tmp_path)) == 2  # both nodes had their share
    assert no_task_is_left()


@pytest.mark.slow
def test_a_node_that_dies_costs_tries_only(cluster: ClusterProcess, undisturbed: Found, tmp_path: Path) -> None:
    process = start(tmp_path, *SEARCH, "--cluster", cluster.address)
    wait_for(process, "generation 1/2")
    wait_until(lambda: sum(title.startswith("ray::train") for title in tasks_alive()) == 2)  # the longest, one on each
    cluster.kill(cluster.nodes.pop())
    said = finish(process)
    cluster.nodes.append(cluster.add())  # not before: on one machine a node that starts clears the files of all
    assert ": failed, " not in said
    assert re.search(r"crashed \(NodeDiedError: .*\); try 2 follows", said), said
    assert outcome(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_killed_run_goes_on_on_the_cluster_and_leaves_no_task(
    cluster: ClusterProcess, undisturbed: Found, tmp_path: Path
) -> None:
    process = start(tmp_path, *SEARCH, "--cluster", cluster.address)
    wait_for(process, r"gen1/ind\d: accuracy")
    process.kill()
    process.communicate()
    assert no_task_is_left()
    sealed = {path: path.read_bytes() for path in RunDirectory(tmp_path).jobs.glob("*.json")}
    assert sealed
    finish(start(tmp_path, "--resume", str(tmp_path), "--cluster", cluster.address))
    assert outcome(tmp_path) == undisturbed
    assert {path: path.read_bytes() for path in sealed} == sealed  # nothing that was finished was trained again


@pytest.mark.slow
def test_ctrl_c_leaves_no_task_behind(cluster: ClusterProcess, tmp_path: Path) -> None:
    process = start(tmp_path, *SEARCH, "--cluster", cluster.address)
    wait_for(process, r"gen1/ind\d: accuracy")
    assert tasks_alive()
    process.send_signal(signal.SIGINT)
    said = finish(process, status=3)
    assert "stopped by SIGINT; every finished training is kept" in said
    assert f"--cluster {cluster.address}" in said.splitlines()[-1]  # the command that goes on
    assert no_task_is_left()


@pytest.mark.slow
def test_a_cluster_can_be_started_for_one_run(cluster: ClusterProcess, undisturbed: Found, tmp_path: Path) -> None:
    """It has nothing to do with the other cluster of this machine, of which the environment speaks."""
    places = {name: str(tmp_path / name) for name in ("HOME", "RAY_TMPDIR")}
    process = start(tmp_path / "run", *SEARCH, "--cluster", "local", RAY_ADDRESS=cluster.address, **places)
    wait_for(process, "workers on cpu of 1 node of cluster local")
    below = descendants_of(process.pid)
    assert all(address.is_loopback for address, _ in listening([process.pid, *below]))
    finish(process)
    assert outcome(tmp_path / "run") == undisturbed
    assert alive_after(below, 1) == []
    assert not Path(places["RAY_TMPDIR"]).exists()
    assert not (Path(places["HOME"]) / ".ray").exists()


@pytest.fixture
def make(cluster: ClusterProcess, tmp_path: Path) -> Make:
    """Makes workers of the cluster whose trainings do what the test says."""
    options: dict[str, Any] = {"trainer": "trainers:start_on_cluster", "modules": TRAINERS}

    def make(use: ClusterUse | None = None, **more: Any) -> RayWorkers:
        use = use or ClusterUse(threads=1)
        return RayWorkers(cluster.address, RunDirectory(tmp_path), use, **options, **more)

    return make


class TestRayWorkers(WorkersContract):
    """The tasks of a cluster keep what every kind of workers promises."""

    crashes = {"exit": "WorkerCrashedError", "kill": "WorkerCrashedError"}

    def test_weights_are_written_where_they_belong(self, workers: RayWorkers, tmp_path: Path) -> None:
        record = perform(workers, [f"ok {number}" for number in range(1, 13)])
        for number in range(1, 13):
            result = next(each for each in record.ended if each.key == job(f"ok {number}").key)
            assert result.weights == f"results/gen1/ind{number}/best_model.pt"
            assert (tmp_path / result.weights).read_bytes() == b"cpu"

    def test_a_run_whose_last_node_has_gone_ends_some_time_later(
        self, workers: RayWorkers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Inventory, "alive", lambda self: [])
        monkeypatch.setattr(ray_workers, "REFRESH_SECONDS", 0.0)
        monkeypatch.setattr(ray_workers, "GONE_SECONDS", 1.0)
        with pytest.raises(WorkersBroken, match="no node has been able to train"):
            perform(workers, ["sleep"])

    def test_no_task_is_left_after_closing(self, make: Make) -> None:
        with make(job_timeout=JobTimeout(seconds=5.0)) as workers:
            perform(workers, ["sleep", "ok 1"], retries=0)
        assert no_task_is_left()


def test_trainings_share_gpus_by_their_numbers(
    make: Make, cluster: ClusterProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told of GPUs that are not there, and the trainer only says which it was given."""
    node = cluster.add(gpus=2)
    facts = NodeFacts(torch="", hardware="GPU", bfloat16=True, gpu_memory=(10_000_000_000,))
    monkeypatch.setattr(ray_inventory, "look", lambda nodes: {node.name: facts for node in nodes})
    monkeypatch.setattr(ray_inventory, "refuse_odd", lambda *arguments, **options: None)
    try:
        with make(ClusterUse(threads=1, workers_per_gpu=2)) as workers:
            assert [slot.name.partition(" ")[2] for slot in workers.slots] == [
                "gpu 0.1",
                "gpu 0.2",
                "gpu 1.1",
                "gpu 1.2",
            ]
            assert {slot.memory for slot in workers.slots} == {0.95 * 10e9 / 2 - 600e6}
            record = perform(workers, [f"nap {number}" for number in range(12)])
        slots = {result.cost.device: (tmp_path / (result.weights or "")).read_bytes() for result in record.ended}
        assert all(device.decode()[-1] == name.partition("gpu ")[2][0] for name, device in slots.items())
        assert set(slots.values()) == {b"cuda:0", b"cuda:1"}
    finally:
        cluster.kill(node)


def test_gpus_that_torch_does_not_see_are_refused(cluster: ClusterProcess, tmp_path: Path) -> None:
    node = cluster.add(gpus=1)
    try:
        with pytest.raises(InputError, match=r"Ray counts GPUs on node .*, but torch sees none there"):
            RayWorkers(cluster.address, RunDirectory(tmp_path), ClusterUse(threads=1))
    finally:
        cluster.kill(node)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threads", "64"], r"one job needs 64 CPUs \(--threads\), and no node has as much \(.*: 1 CPUs, 0 GPUs"),
        (["--workers_per_gpu", "2"], "--workers_per_gpu is for GPUs, but cluster .* has none"),
    ],
)
def test_a_job_that_no_node_can_take_is_refused(
    cluster: ClusterProcess, tmp_path: Path, arguments: list[str], said: str
) -> None:
    message = finish(start(tmp_path / "run", "--dataset", "digits", "--cluster", cluster.address, *arguments), status=2)
    assert re.search(said, message), message
    assert not (tmp_path / "run").exists()
