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
