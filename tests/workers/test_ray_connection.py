"""Clusters that are not there, or are not ours to use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from records import InputError
from tests.processes import alive_after, descendants_of
from tests.ray_cluster import ROOT, ClusterProcess
from workers.ray_connection import explained, try_connection

OTHER_RAY = "import ray\nray.__version__ = '1.99.1'\n"


@pytest.mark.parametrize("cluster", ["127.0.0.1:1", "no-such-host.invalid:6379"])
def test_an_address_where_nothing_listens_is_told_of(cluster: str) -> None:
    with pytest.raises(InputError, match=r"nothing answers there .* start a cluster with: ray start --head"):
        try_connection(cluster)


def test_something_else_at_the_address_is_told_of_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises(InputError, match="it does not accept this machine"):
            try_connection(f"127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - began < 60  # promised are 10, on a machine that does nothing else


def test_a_trial_ends_with_the_process_that_makes_it() -> None:
    with socket.create_server(("", 0)) as server:
        server.settimeout(60)
        code = (
            f"from workers.ray_connection import try_connection; try_connection('127.0.0.1:{server.getsockname()[1]}')"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
        for _ in range(2):  # the first looks whether anything listens, the second is Ray's
            server.accept()[0].close()
        trial = descendants_of(process.pid)
        process.kill()
        process.wait()
    assert len(trial) == 1
    assert alive_after(trial, 10) == []


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("ray://127.0.0.1:10001", "Ray Client is not supported; run this command on a node"),
        ("hello", "expected auto, local, or the HOST:PORT"),
    ],
)
def test_other_kinds_of_addresses_are_refused(cluster: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        try_connection(cluster)


def test_a_machine_without_a_cluster_is_told_how_to_start_one() -> None:
    assert "start one with: ray start --head" in explained(
        "ConnectionError: Could not find any running Ray instance. …"
    )


def test_a_command_without_ray_names_the_line_that_installs_it(tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text("import sys\nsys.modules['ray'] = None\n")
    said = subprocess.run(
        [sys.executable, "evolution.py", "--cluster", "auto", "--output_dir", str(tmp_path / "run")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "error: --cluster needs the package ray; install it by: pip install ray\n"


@pytest.mark.slow
def test_another_ray_than_the_clusters_is_explained(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(OTHER_RAY)
    with ClusterProcess(nodes=0) as cluster:
        said = subprocess.run(
            [sys.executable, "evolution.py", "--cluster", cluster.address, "--output_dir", str(tmp_path / "run")],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert said.returncode == 2
    assert "this machine Ray 1.99.1 with Python 3." in said.stderr
    assert "all machines need exactly the same versions (pip install ray==" in said.stderr
    assert not (tmp_path / "run").exists()
