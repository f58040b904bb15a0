"""Runs on a real Ray cluster of two nodes, which are processes of this machine."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ray_cluster import ROOT, ClusterProcess  # isort: skip (before Ray is imported)

from job_queue import JobQueue
from records import InputError, RunFault
from records.errors import StopRequested
from run.history import COLUMNS as HISTORY_COLUMNS
from run.stop_signals import StopSignals
from search_space.cost import MemoryNeed
from storage.directory import RunDirectory
from tests.test_worker_manager import Record, StopAfter, job
from worker_manager import WorkersBroken
from workers import ray_cluster as ray_workers
from workers.ray_cluster import Node, RayWorkers, Request, nodes_in_words, refuse_odd, refuse_small
from workers.ray_node import NodeFacts, gpu_index

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


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "evolution.py", "--output_dir", str(folder), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


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
    with open(RunDirectory(folder).history, newline="") as file:
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
def test_a_cluster_can_be_started_for_one_run(undisturbed: Found, tmp_path: Path) -> None:
    finish(start(tmp_path, *SEARCH, "--cluster", "local"))
    assert outcome(tmp_path) == undisturbed
    assert no_task_is_left()


@pytest.fixture
def workers(cluster: ClusterProcess, tmp_path: Path) -> Iterator[RayWorkers]:
    """Workers of the cluster whose trainings do what the test says."""
    run = RunDirectory(tmp_path)
    with RayWorkers(cluster.address, run, 1, trainer="trainers:start_on_cluster", modules=TRAINERS) as workers:
        yield workers


def perform(workers: RayWorkers, phenotypes: Sequence[str], retries: int = 2) -> Record:
    record, queue = Record(), JobQueue(retries)
    for number, phenotype in enumerate(phenotypes):
        queue.add(job(phenotype), name=f"gen1/ind{number}", work=float(len(phenotypes) - number))
    workers.run(queue, record)
    assert queue.is_finished
    return record


def test_every_job_ends_once_with_its_weights_where_they_belong(workers: RayWorkers, tmp_path: Path) -> None:
    record = perform(workers, [f"ok {number}" for number in range(12)])
    assert sorted(result.key for result in record.ended) == sorted(job(f"ok {number}").key for number in range(12))
    for number in range(12):
        result = next(each for each in record.ended if each.key == job(f"ok {number}").key)
        assert result.weights == f"results/gen1/ind{number}/best_model.pt"
        assert (tmp_path / result.weights).read_bytes() == b"cpu"
    assert len(record.progress) == 12
    assert {result.cost.device for result in record.ended} <= {slot.name for slot in workers.slots}


@pytest.mark.parametrize(
    ("word", "status", "said"),
    [
        ("raise", "error", "ValueError: this network cannot be trained"),
        ("diverge", "diverged", "the training loss of epoch 1 is nan"),
        ("exit", "crashed", "WorkerCrashedError"),
        ("kill", "crashed", "WorkerCrashedError"),
    ],
)
def test_a_bad_job_is_tried_again_then_failed_with_its_reason(
    workers: RayWorkers, word: str, status: str, said: str
) -> None:
    record = perform(workers, [word, "ok 1"], retries=1)
    assert [(again, reason[: len(said)]) for again, reason in record.retried] == [(status, said)]
    failed = next(result for result in record.ended if result.key == job(word).key)
    assert (failed.status, failed.cost.attempts) == (status, 2)
    assert sorted(result.status for result in record.ended) == sorted(["done", status])


def test_a_job_without_end_is_timed_out(cluster: ClusterProcess, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    options: dict[str, Any] = {"trainer": "trainers:start_on_cluster", "modules": TRAINERS}
    with RayWorkers(cluster.address, run, 1, job_timeout=5.0, **options) as workers:
        record = perform(workers, ["sleep", "ok 1", "ok 2"], retries=0)
        assert sorted(result.status for result in record.ended) == ["done", "done", "timed_out"]
    assert no_task_is_left()


def test_a_fault_of_the_machine_ends_the_run(workers: RayWorkers) -> None:
    with pytest.raises(RunFault, match="the disk is on fire"):
        perform(workers, ["fault"])


def test_a_signal_stops_the_run_and_what_ended_is_kept(workers: RayWorkers) -> None:
    observer, queue = StopAfter(4, signal.SIGTERM), JobQueue()
    for number in range(4):
        queue.add(job(f"ok {number}"), name=f"gen1/ind{number}", work=2.0)
    queue.add(job("sleep"), name="gen1/ind9", work=1.0)
    with StopSignals() as stop, pytest.raises(StopRequested, match="SIGTERM"):
        stop.run(workers, queue, observer)
    assert queue.results.keys() == {result.key for result in observer.ended}
    assert len(observer.ended) == 4


def test_a_run_whose_last_node_has_gone_ends_some_time_later(
    workers: RayWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RayWorkers, "_nodes", lambda self: [])
    monkeypatch.setattr(ray_workers, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(ray_workers, "GONE_SECONDS", 1.0)
    with pytest.raises(WorkersBroken, match="no node has been able to train"):
        perform(workers, ["sleep"])


def test_a_job_too_large_for_every_node_is_not_submitted(workers: RayWorkers) -> None:
    queue = JobQueue(room=max(slot.memory for slot in workers.slots))
    failed = queue.add(job("ok"), name="x", work=1.0, need=MemoryNeed(fixed=1 << 50))
    assert getattr(failed, "status", None) == "out_of_memory"


def test_trainings_share_gpus_by_their_numbers(
    cluster: ClusterProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told of GPUs that are not there, and the trainer only says which it was given."""
    node = cluster.add(gpus=2)
    facts = NodeFacts(torch="", hardware="GPU", bfloat16=True, gpu_memory=(10_000_000_000,))
    monkeypatch.setattr(ray_workers, "look", lambda nodes: {node.name: facts for node in nodes})
    monkeypatch.setattr(ray_workers, "refuse_odd", lambda *arguments: None)
    run = RunDirectory(tmp_path)
    options: dict[str, Any] = {"trainer": "trainers:start_on_cluster", "modules": TRAINERS}
    try:
        with RayWorkers(cluster.address, run, 1, workers_per_gpu=2, **options) as workers:
            assert workers.device == "cuda"
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
            RayWorkers(cluster.address, RunDirectory(tmp_path), 1)
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


NODES = [
    Node(id="1", name="a", cpus=7, gpus=0, memory=1e9),
    Node(id="2", name="b", cpus=2, gpus=2, memory=1e9),
    Node(id="3", name="c", cpus=0, gpus=0.5, memory=1e9),
]


@pytest.mark.parametrize(
    ("request_", "places"),
    [
        (Request(cpus=1), [7, 2, 0]),
        (Request(cpus=3), [2, 0, 0]),
        (Request(gpus=1), [0, 2, 0]),
        (Request(gpus=0.5), [0, 4, 1]),
        (Request(gpus=0.3333), [0, 6, 1]),
    ],
)
def test_places_are_whole_jobs(request_: Request, places: list[int]) -> None:
    assert [request_.places(node) for node in NODES] == places


@pytest.mark.parametrize(
    ("host", "name"),
    [("a", "a-3"), ("b.example.org", "b"), ("a.example.org", "a-3"), ("10.0.0.7", "10.0.0.7"), ("node12", "node12")],
)
def test_nodes_have_short_names_of_their_own(host: str, name: str) -> None:
    assert ray_workers._new_name(host, {"a", "a-2", "10.0.0.8"}) == name


def test_a_share_of_a_gpu_that_no_node_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"one job needs 1 GPU, and no node has as much .*c: 0 CPUs, 0.5 GPUs"):
        refuse_small("auto", NODES[2:], Request(gpus=1), 1)
    refuse_small("auto", NODES, Request(gpus=0.5), 2)


def test_another_torch_on_a_node_is_refused() -> None:
    import torch

    alike = NodeFacts(torch=torch.__version__, hardware="x", bfloat16=True, gpu_memory=())
    other = NodeFacts(torch="1.0", hardware="x", bfloat16=True, gpu_memory=())
    refuse_odd("auto", {"a": alike}, on_gpus=False)
    with pytest.raises(InputError, match=r"node b has torch 1.0, this machine"):
        refuse_odd("auto", {"a": alike, "b": other}, on_gpus=False)


def test_nodes_that_differ_are_named() -> None:
    facts = {
        name: NodeFacts(torch="", hardware=hardware, bfloat16=True, gpu_memory=())
        for name, hardware in (("a", "A100"), ("b", "H100"))
    }
    assert nodes_in_words("cuda", "auto", facts) == (
        "cuda of 2 nodes of cluster auto (A100, H100; they differ, so results depend on which node trains)"
    )


@pytest.mark.parametrize(
    ("ray_id", "visible", "index"), [(1, None, 1), ("3", None, 3), (5, "4,5", 1), ("4", "4,5", 0), ("u2", "u1,u2", 1)]
)
def test_torch_counts_the_visible_gpus(ray_id: int | str, visible: str | None, index: int) -> None:
    assert gpu_index(ray_id, visible) == index
