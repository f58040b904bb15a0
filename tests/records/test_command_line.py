"""Flags as people type them, the messages for what they mistype, and the exit statuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


# The end of a command


def end_of(body: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose `main` is `body`, run as a process."""
    code = f"""
from records.command_line import run_command
from records.flags import Parser
from records import InputError, RunFault

def main(arguments):
    {body}

run_command(main)
"""
    line = [sys.executable, "-c", code, *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("return 0", 0, ""),
        ("return 7", 7, ""),
        ("raise InputError('no data set [x]')", 2, "error: no data set [x]\n"),
        ("Parser().parse(arguments)", 2, "error: unknown argument --nowhere; see --help\n"),
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
