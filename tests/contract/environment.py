"""An environment that holds the packages of the first README and what these require, and nothing else."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SIX = ("torch", "torchvision", "matplotlib", "numpy", "scikit-learn", "seaborn")


def closure(names: Iterable[str]) -> dict[str, metadata.Distribution]:
    """The installed distributions of these names and of all that they require here, without extras of these."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()  # a distribution, and one of its extras or none
    to_do = [(canonicalize_name(name), "") for name in names]
    while to_do:
        if (wanted := to_do.pop()) in seen:
            continue
        seen.add(wanted)
        name, extra = wanted
        found[name] = metadata.distribution(name)
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                to_do += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return found


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which commands run as a person types them."""

    folder: Path

    @property
    def packages(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def run(self, words: str, folder: Path, status: int = 0, **variables: str) -> str:
        """What a command line prints that runs in a folder of which it knows nothing but that the scripts are there."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-c", f"exec {words}"],
            cwd=folder,
            env={**inherited, "PATH": path, "VIRTUAL_ENV": str(self.folder), "no_proxy": "127.0.0.1", **variables},
            capture_output=True,
            text=True,
            timeout=1000,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


def make_environment(folder: Path) -> Environment:
    """Links the distributions' files and folders into a new virtual environment without pip."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    environment = Environment(folder)
    for distribution in closure(SIX).values():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            link = environment.packages / top
            if not link.exists() and not top.endswith(".pth"):
                link.symlink_to(Path(str(distribution.locate_file(top))).resolve())
    return environment


def checkout(folder: Path) -> Path:
    """A fresh folder with the repository's scripts in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for script in ROOT.glob("*.py"):
        (folder / script.name).symlink_to(script)
    return folder
