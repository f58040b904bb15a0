"""A Ray cluster of several nodes on this machine, in a process of its own: `python -m tests.ray_cluster`.

It prints the address, then obeys: "add [GPUS]" (a node of one core), "kill ID" (its node manager, as
if the machine had lost its power), and ends when its standard input closes.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# Whoever reaches the port of a cluster runs code, so a token is asked for. Ray reads it when it is imported.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
os.environ.update({"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"})


class ClusterProcess:
    """A head without cores, and nodes of one core each."""

    def __init__(self, nodes: int = 2) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="t")  # a short name: Ray's sockets are in it
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.ray_cluster"],
            cwd=ROOT,
            env={**os.environ, "RAY_TMPDIR": self._folder.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._answer()
        self.nodes = [self.add() for _ in range(nodes)]

    def __enter__(self) -> ClusterProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    def add(self, gpus: int = 0) -> str:
        """Adds a node with this number of GPUs, and returns its id."""
        return self._ask(f"add {gpus}")

    def kill(self, node: str) -> None:
        assert self._ask(f"kill {node}") == "killed"

    def _ask(self, what: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes: dict[str, Any] = {}
    print(cluster.address, flush=True)
    for line in sys.stdin:
        word, argument = line.split()
        if word == "add":
            node = cluster.add_node(num_cpus=1, num_gpus=int(argument))
            nodes[node.node_id] = node
            print(node.node_id, flush=True)
        else:
            cluster.remove_node(nodes.pop(argument), allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
