"""Ray clusters that are started for one run: two side by side, killed, badly started, and what dead ones left."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest

from records import RunFault
from tests.processes import alive_after, children_of, descendants_of, listening
from tests.ray_cluster import ROOT
from workers import ray_keeper
from workers.ray_keeper import MARKED, MARKER, sweep, temporary_folder
from workers.ray_local import LocalCluster

RUN = """
import os, signal, sys
import ray
from workers.ray_connection import connect

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored when the tests began
with connect("local", []):
    where = ray.remote(lambda: os.environ["TMPDIR"])
    for _ in sys.stdin:
        print(ray.get(where.remote()), flush=True)
"""
PRETENDED = """
class Context:
    gcs_address = "{address}"

def init(**options): pass

def get_runtime_context(): return Context
"""
METHODS = (  # of the servers in Ray: one that its head has, and ones that each node and each worker has
    "NodeInfoGcsService/GetClusterId",
    "NodeManagerService/GetNodeStats",
    "ObjectManagerService/Push",
    "CoreWorkerService/GetCoreWorkerStats",
)


class MainProcess:
    """A process with a cluster of its own."""

    def __init__(self, temporary: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            cwd=ROOT,
            env={**environment, "TMPDIR": str(temporary)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> MainProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.communicate(timeout=60)

    def folder(self) -> Path:
        """The folder of the cluster, which a task on it says."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("where?\n")
        self.process.stdin.flush()
        return Path(self.process.stdout.readline().strip())


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder whose name is short enough for the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="t"))
    yield folder
    shutil.rmtree(folder)


def answer_without_token(port: int) -> object:
    """What a server of Ray answers those who have no token."""
    answers = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in METHODS:
            try:
                channel.unary_unary(f"/ray.rpc.{method}")(b"", timeout=10)
            except grpc.RpcError as error:
                answers.add(error.code())
            else:
                answers.add(method)
    if answers == {grpc.StatusCode.UNAVAILABLE}:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("POST", "/get_runtime_envs_info")
            return connection.getresponse().status
    (answer,) = answers - {grpc.StatusCode.UNIMPLEMENTED}
    return answer


def token_of(process: int) -> bytes:
    (token,) = re.findall(rb"RAY_AUTH_TOKEN=(\w+)", Path(f"/proc/{process}/environ").read_bytes())
    assert isinstance(token, bytes)
    return token


@pytest.mark.slow
def test_nothing_of_a_cluster_outlives_its_run(short: Path, tmp_path: Path) -> None:
    """Of two clusters side by side, the run of one is killed; that of the other ends later."""
    long = tmp_path / ("n" * 100)
    long.mkdir()
    with MainProcess(short) as killed, MainProcess(long) as other:
        folder, others_folder = killed.folder(), other.folder()
        assert (folder.parent, others_folder.parent) == (short, Path("/tmp"))  # noqa: S108
        assert {each.stat().st_mode & 0o777 for each in (folder, others_folder)} == {0o700}
        below, others = descendants_of(killed.process.pid), descendants_of(other.process.pid)
        servers = listening([killed.process.pid, *below])
        assert len(servers) > 5
        assert all(address.is_loopback for address, _ in servers)
        assert {answer_without_token(port) for _, port in servers} == {grpc.StatusCode.UNAUTHENTICATED, 401}

        token = token_of(below[0])
        assert token != token_of(others[0])
        assert not any(token in Path(f"/proc/{process}/cmdline").read_bytes() for process in below)
        assert not any(token in path.read_bytes() for path in folder.rglob("*") if path.is_file())

        killed.process.kill()
        began = time.monotonic()
        assert alive_after(below, 10) == []
        while list(short.iterdir()):
            assert time.monotonic() - began < 10
        assert other.folder() == others_folder
    assert other.process.returncode == 0
    assert alive_after(others, 1) == []
    assert not others_folder.exists()


@pytest.mark.slow
def test_ctrl_c_while_a_cluster_starts_leaves_nothing_behind(short: Path) -> None:
    with MainProcess(short) as run:
        while not list(short.glob("*/r/session_*")):
            time.sleep(0.01)
        below = descendants_of(run.process.pid)
        run.process.send_signal(signal.SIGINT)
    assert run.process.returncode != 0
    assert alive_after(below, 1) == []
    assert list(short.iterdir()) == []


def test_a_cluster_that_does_not_start_says_why(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray.py").write_text("raise OSError('no space is left on the device')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(short))
    before = dict(os.environ)
    with pytest.raises(RunFault, match=r"^--cluster local: OSError: no space is left on the device$"):
        LocalCluster()
    assert list(short.iterdir()) == []
    assert dict(os.environ) == before


@pytest.fixture
def pretend(tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has processes that this one starts import a package `ray` that only says an address."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(short))

    def pretend(address: str) -> None:
        (tmp_path / "ray.py").write_text(PRETENDED.format(address=address))

    return pretend


def test_a_ray_that_listens_to_other_machines_is_refused(pretend: Callable[[str], None], short: Path) -> None:
    pretend("192.0.2.7:6379")
    with pytest.raises(RunFault, match=r"this version of Ray would listen on 192\.0\.2\.7:6379; install ray=="):
        LocalCluster()
    assert list(short.iterdir()) == []


def test_where_the_keeper_was_killed_the_run_removes_the_folder(pretend: Callable[[str], None], short: Path) -> None:
    pretend("127.0.0.1:6379")
    with LocalCluster() as cluster:
        mine = children_of(os.getpid())
        (keeper,) = (
            each for each in mine if "keep" in Path(f"/proc/{each}/cmdline").read_text(encoding="utf-8").split("\0")
        )
        below = descendants_of(keeper)
        os.kill(keeper, signal.SIGKILL)
        assert list(short.iterdir()) == [cluster.folder]
    assert len(below) == 1
    assert alive_after(below, 5) == []
    assert list(short.iterdir()) == []


def test_a_disk_that_takes_nothing_is_told_of(short: Path) -> None:
    limited = ["bash", "-c", 'ulimit -f 0; exec "$@"', "-", sys.executable, "-c"]
    said = subprocess.run(
        [*limited, "from workers.ray_local import LocalCluster; LocalCluster()"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(short)},
        capture_output=True,
        text=True,
    )
    assert "RunFault: --cluster local: [Errno 2] No usable temporary directory" in said.stderr.splitlines()[-1]
    assert list(short.iterdir()) == []


def test_only_folders_that_dead_processes_of_this_program_left_are_removed(tmp_path: Path) -> None:
    def left(name: str, content: bytes = MARKED, mode: int = 0o700) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / MARKER).write_bytes(content)
        folder.chmod(mode)
        return folder

    dead, unfinished, open_to_all = left("ray-a"), left("ray-b", b""), left("ray-c", mode=0o755)
    other, linked = left("other"), tmp_path / "ray-d"
    linked.symlink_to(left("target"))
    (tmp_path / "ray-e").mkdir()
    with open(left("ray-f") / MARKER, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        sweep(tmp_path)
    kept = {unfinished, open_to_all, other, linked, *(tmp_path / name for name in ("target", "ray-e", "ray-f"))}
    assert set(tmp_path.iterdir()) == kept
    assert not dead.exists()


def test_a_folder_in_use_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_keeper, "LONGEST_PLACE", 1000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as first, temporary_folder() as second:
        assert first.is_dir()
        assert set(tmp_path.iterdir()) == {first, second}
    assert list(tmp_path.iterdir()) == []
