"""The page about Python does what it says: its blocks run in their order, in a fresh folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CHECKS = """
assert len(run.individuals) == 8
assert len(history) == 8
assert tuple(probabilities.shape) == (5, 10)
assert open("progress.png", "rb").read(4) == b"\\x89PNG"
assert len(watcher.values) == 1 and watcher.values[0] > 0.1
from records import InputError
try:
    run.figure("nothing")
except InputError as refusal:
    assert "progress" in str(refusal)
else:
    raise AssertionError("an unknown figure was drawn")
try:
    Request.of(datset="digits")
except InputError as refusal:
    assert "did you mean dataset?" in str(refusal)
else:
    raise AssertionError("an unknown setting was taken")
"""


@pytest.mark.slow
def test_every_block_of_the_page_runs(tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text("\n".join([*BLOCKS, CHECKS]))
    line = [sys.executable, "-W", "error::FutureWarning", "page.py"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "MPLBACKEND": "agg", "HOME": str(tmp_path)}
    ended = subprocess.run(
        line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "runs/digits/results/report.html").is_file()


def test_imports_print_nothing_and_do_not_load_torch() -> None:
    code = "import sys, run, reporting.watcher; print('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "False\n"


@pytest.mark.parametrize("module", ["evolution", "evaluate", "train_model", "report", "plots"])
def test_a_command_can_be_imported_whatever_the_arguments_of_the_process_are(module: str) -> None:
    code = f"import sys; sys.argv = ['x', '--nonsense']; import {module}"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == ended.stderr == ""
