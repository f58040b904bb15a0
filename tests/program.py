"""The program's own files: what the tests of its structure walk."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_THE_PROGRAM = ("tests", "benchmarks", "docs", "examples")


def program_files() -> list[Path]:
    """Every module of the program: those at the root, and those of its packages."""
    packages = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name not in NOT_THE_PROGRAM]
    return sorted([*ROOT.glob("*.py"), *(path for package in packages for path in package.rglob("*.py"))])
