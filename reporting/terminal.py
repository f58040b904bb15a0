"""Where lines of text go: the standard output, with rich or without it, and what is done to text before."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

# rich is imported where it is there: without it a run prints lines alone.
if TYPE_CHECKING:
    from rich.console import Console as Terminal


def wrapped(line: str, width: int) -> str:
    """A line broken between words, where it is wider than the terminal; under its text, if that has a title.

    A title ends with two spaces or more. Paths stay whole.
    """
    title = re.match(r"(\S.*?)? {2,}(?=\S)", line)
    indent = " " * (title.end() if title and title.end() <= width // 2 else 2)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


class PlainTerminal:
    """Standard output where rich is not installed: prints lines as they are, and draws nothing."""

    @property
    def is_terminal(self) -> bool:
        return sys.stdout.isatty()

    @property
    def width(self) -> int:
        return shutil.get_terminal_size().columns

    def print(self, text: str, markup: bool = False, emoji: bool = False) -> None:
        print(text, flush=True)


def standard_output() -> Terminal | PlainTerminal:
    """What a command prints to: rich's terminal, if rich is installed."""
    if importlib.util.find_spec("rich") is None:
        return PlainTerminal()
    from rich.console import Console as Terminal

    return Terminal(highlight=False, soft_wrap=True)
