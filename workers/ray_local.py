"""A Ray cluster of this machine alone, which is started for one run and gone with it.

It listens on the loopback interface only, asks for a token that is nowhere but in the environment of
its processes, and keeps its files in a folder that only this user can enter. `RAY_…` variables of a
person's environment, which may speak of another cluster, do not count for it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from records import RunFault
from records.machine import cores
from stopping.signals import STOP_SIGNALS

KEEPER = Path(__file__).with_name("ray_keeper.py")
END_SECONDS = 15.0  # to wait for the keeper, which itself waits at most 5 s for the processes it kills
MANY_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0", on any system: Ray listens on the loopback interface alone
LOOPBACK = ("127.0.0.1:", "[::1]:")


class LocalCluster:
    """A cluster with the cores and GPUs of this machine. Use it as a context manager: on leaving, it ends.

    Meanwhile the environment of this process is what Ray needs to connect to it. Raises `RunFault`
    where it does not start.
    """

    def __init__(self) -> None:
        self.folder = Path()
        self._before = variables_of_ray()
        settings = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            MANY_MACHINES: "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        others = {name: value for name, value in os.environ.items() if name not in self._before}
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._keeper = subprocess.Popen(
                [sys.executable, "-P", str(KEEPER), "keep", *map(str, [cores(), *map(int, STOP_SIGNALS)])],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                # The process that starts the cluster runs no tasks: no workers are started in advance for it.
                env={**others, **settings, "RAY_prestart_worker_first_driver": "0"},
                start_new_session=True,  # a Ctrl-C at the terminal is for the main process alone
                umask=0o077,
            )
        try:
            self.address = self._answer()
            use_settings(settings)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> LocalCluster:
        return self

    def __exit__(self, *exception: object) -> None:
        use_settings(self._before)
        self._end()

    def _answer(self) -> str:
        """The address of the cluster, once it has started."""
        with self._channel.makefile() as lines:
            said = json.loads(lines.readline() or "{}")
        if "address" not in said:
            raise RunFault(f"--cluster local: {said.get('error', 'its process ended without a message')}")
        self.folder, address = Path(said["folder"]), str(said["address"])
        if not address.startswith(LOOPBACK):
            raise RunFault(f"--cluster local: this version of Ray would listen on {address}; install ray==2.60.0")
        return address

    def _end(self) -> None:
        """Has the keeper end the cluster and remove its folder; removes it itself if the keeper was killed."""
        self._channel.close()
        try:
            self._keeper.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
        if self.folder.is_absolute():
            shutil.rmtree(self.folder, ignore_errors=True)


def use_settings(settings: Mapping[str, str]) -> None:
    """Makes these the only `RAY_…` variables, and has Ray, which reads them on import, read them again."""
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    for name in variables_of_ray():
        del os.environ[name]
    os.environ.update(settings)
    default = "1" if sys.platform == "linux" else "0"
    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get(MANY_MACHINES, default) != "0"
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def variables_of_ray() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
