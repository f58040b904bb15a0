from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.contract.cifar import publish
from tests.contract.environment import Environment, make_environment


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Downloads are not worth a line."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Torchvision looks at an address first, and closes the connection before the file has come."""


@pytest.fixture(scope="session")
def six(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """The six packages of the first README, and CIFAR archives that torchvision downloads from this machine."""
    folder = tmp_path_factory.mktemp("six")
    environment = make_environment(folder / "environment")
    with _Server(("127.0.0.1", 0), partial(_Silent, directory=str(folder / "published"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        known = publish(folder / "published", address, {"CIFAR10": 10, "CIFAR100": 12}, images_per_class=2)
        (environment.packages / "published.json").write_text(json.dumps(known))
        (environment.packages / "published.pth").write_text("import published\n")
        shutil.copy(Path(__file__).with_name("published.py"), environment.packages)
        yield environment
        server.shutdown()
