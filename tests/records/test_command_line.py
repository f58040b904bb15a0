"""Flags as people type them, the messages for what they mistype, and the exit statuses."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


# The end of a command


PROGRAM = """
import os, sys
from records.command_line import run_command
from records.flags import Parser
from records import InputError, RunFault

def main(arguments):
    BODY

run_command(main)
"""


def end_of(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose `main` is `body`, run as a process."""
    line = [sys.executable, "-c", PROGRAM.replace("BODY", body), *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("return 0", 0, ""),
        ("return 7", 7, ""),
        ("raise InputError('no data set [x]')", 2, "error: no data set [x]\n"),
        ("Parser().parse(arguments)", 2, "error: unknown argument --nowhere; see --help\n"),
        (r"raise InputError('a\x1b[2J\u202eb\nc')", 2, "error: a\ufffd[2J\ufffdb\ufffdc\n"),
        ("raise RunFault('the disk is full')", 4, "error: the disk is full\n"),
        ("raise KeyboardInterrupt", 3, "interrupted\n"),
        ("raise BrokenPipeError", 1, ""),
    ],
)
def test_a_command_ends_with_a_status_and_at_most_one_line(body: str, status: int, said: str) -> None:
    ended = end_of(body, "--nowhere")
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", said)


def test_an_error_of_the_program_itself_keeps_its_traceback() -> None:
    ended = end_of("raise ZeroDivisionError")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


@pytest.mark.parametrize(
    "failure",
    [
        "raise MemoryError",
        "raise OSError(12, 'Cannot allocate memory')",
        "raise ImportError('libtorch_cpu.so: failed to map segment from shared object')",
        "raise ValueError('x') from MemoryError()",
    ],
)
@pytest.mark.parametrize("limit", [None, 4 * 10**9])
def test_where_memory_has_run_out_one_line_says_what_to_do(failure: str, limit: int | None) -> None:
    limited = "" if limit is None else f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit})); "
    ended = end_of(limited + failure)
    assert ended.returncode == 4
    assert ended.stderr.startswith("error: there is not enough memory (")
    assert ended.stderr.count("\n") == 1
    assert ("limited to 4.0 GB here; raise the limit (ulimit -v unlimited" in ended.stderr) == (limit is not None)


@pytest.mark.parametrize("failure", ["raise ImportError('no module named torch')", "raise OSError(5, 'I/O error')"])
def test_other_errors_of_imports_and_of_the_system_keep_their_traceback(failure: str) -> None:
    ended = end_of(failure)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


COMMANDS = {
    "evolution.py": "--dataset digits --generations 1 --population 2 --epochs 1 --tournament_size 1 --elitism 0",
    "evaluate.py": "--model_path nowhere.pt --chromosome 0110010110110011010",
    "train_model.py": "--dataset digits --chromosome 0110010110110011010 --epochs 1",
    "report.py": "--resume nowhere",
    "plots.py": "--chromosome 0110010110110011010 --explain",
}


@pytest.mark.parametrize("gigabytes", [1, 2, 3])
@pytest.mark.parametrize("script", COMMANDS)
def test_a_command_in_a_small_address_space_does_its_work_or_ends_in_one_line(
    tmp_path: Path, script: str, gigabytes: int
) -> None:
    line = shlex.join([sys.executable, str(ROOT / script), *shlex.split(COMMANDS[script])])
    limited = f"ulimit -v {gigabytes * 10**6}; exec {line}"
    shell = ["/bin/sh", "-c", limited]
    ended = subprocess.run(shell, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert "Traceback" not in ended.stderr
    assert ended.returncode in (0, 2, 4)
    last = (ended.stderr.splitlines() or [""])[-1]
    assert (ended.returncode == 4) == last.startswith("error: there is not enough memory (")


SPEAKS = "print('3 → 4 ✓ \\udcff'); print('naïve → \\udcff', file=sys.stderr); raise InputError('λ')"


@pytest.mark.parametrize(
    ("encoding", "shown", "said"),
    [("utf-8", "3 → 4 ✓ ?", "λ"), ("latin-1", "3 ? 4 ? ?", "?"), ("ascii", "3 ? 4 ? ?", "?")],
)
def test_characters_that_an_output_lacks_are_replaced(encoding: str, shown: str, said: str) -> None:
    ended = command(SPEAKS, PYTHONIOENCODING=encoding)
    assert ended.returncode == 2
    assert ended.stdout.decode(encoding) == f"{shown}\n"
    assert ended.stderr.decode(encoding).endswith(f"error: {said}\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_whose_streams_are_closed_ends_as_usual(closed: str) -> None:
    """And no file of the program takes the number of a stream that is closed."""
    body = "print('x'); print('y', file=sys.stderr); assert os.open('/', os.O_RDONLY) > 2; sys.stdin.read(); return 0"
    assert command(body, closed).returncode == 0


def command(body: str, streams: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A command that ended, in a shell that redirects its streams."""
    code = PROGRAM.replace("BODY", body)
    line = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} {streams}"
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=ROOT, capture_output=True, check=False, env={**os.environ, **variables}
    )
