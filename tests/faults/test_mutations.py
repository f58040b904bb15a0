"""The fault tests work: if one safeguard is removed in a copy of the program, a test of its promise fails."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from workers.ray_connection import copy_program

ROOT = Path(__file__).parent.parent.parent

# Safeguard: module, its lines, what they become, the promise that notices, cases, seconds until it counts as hanging.
MUTATIONS = {
    "the fsync": (
        "storage/files.py",
        "                    os.fsync(file.fileno())\n",
        "                    pass\n",
        3,
        25,
        120,
    ),
    "the seal check": (
        "storage/files.py",
        "digest != seal",
        "False",
        4,
        25,
        120,
    ),
    "the sentinel": ("worker_manager.py", "        if events is None:\n", "        if events == 0:\n", 6, 1, 20),
    "the lock": ("storage/lock.py", "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass", 12, 1, 60),
    "the retry limit": (
        "job_queue.py",
        "attempt.number <= self.max_retries",
        "attempt.number <= self.max_retries + 1",
        10,
        2,
        60,
    ),
    "the clock of waiting": ("job_queue.py", "seconds if asked is None else min(seconds, asked)", "seconds", 21, 2, 60),
    "the ignored signals": ("stopping/signals.py", "not in (signal.SIG_IGN, None)", "is not None", 20, 1, 120),
}


@pytest.mark.slow
@pytest.mark.parametrize("safeguard", MUTATIONS)
def test_removing_a_safeguard_turns_a_fault_test_red(safeguard: str, tmp_path: Path) -> None:
    module, lines, replacement, promise, count, seconds = MUTATIONS[safeguard]
    copy_program(tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    text = (tmp_path / module).read_text()
    assert text.count(lines) == 1, f"{safeguard} is not where this test expects it, in {module}"
    (tmp_path / module).write_text(text.replace(lines, replacement))
    command = [sys.executable, "-m", "tests.faults", "--promise", str(promise), "--count", str(count), "--seed", "0"]
    command += ["--variant", "plain"]
    # A session of its own, so that nothing of a program without a safeguard is left over.
    tests = subprocess.Popen(
        [*command, "--results", "results.json"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = tests.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return  # it hangs: that is what the safeguard is for
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(tests.pid, signal.SIGKILL)
        tests.wait()
    assert status == 1, f"no test of promise {promise} noticed that {safeguard} was removed"
