"""What a text file may be that is read: its size, its depth, its numbers. All JSON and TOML of others is read here.

Each function raises ValueError with a reason in words for what is out of these bounds, or not what it should be.
A text within them is parsed in memory of at most `MEMORY_FACTOR` times the bytes that its kind may have.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

MOST_BYTES = 16 << 20  # of a file that is read as a whole
MOST_STATE_BYTES = 128 << 20  # of a state, which holds all results: of some 100,000 trainings
MOST_CONFIG_BYTES = 64 << 10
MEMORY_FACTOR = 32  # nothing in JSON takes more: an empty list is 3 bytes there, and 64 in memory
MOST_DEPTH = 64  # of lists and tables in one another
MOST_DIGITS = 40  # in a row: more than any number of the program has
MOST_DOTS = 8  # in a key of TOML, each of which is a table in a table

STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
TOML_STRING = re.compile(r""""[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|'[^'\n]*+'""")
NOT_BRACKETS = re.compile(r"[^][{}]+")
STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
LONG_NUMBER = re.compile(rf"\d{{{MOST_DIGITS + 1}}}")
LONG_NUMBER_WORDS = f"a number in it has more than {MOST_DIGITS} digits"
NO_NUMBER = re.compile("NaN|Infinity")
LONG_KEY = re.compile(rf"(?:[\w-]+[ \t]*\.[ \t]*){{{MOST_DOTS + 1}}}")


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a file that may have this many bytes: UTF-8, whatever the locale, with or without a byte-order mark.

    A pipe to which nobody writes is empty. Raises OSError for a file that cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.set_blocking(descriptor, True)
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most >> 10:,} kB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"it is not UTF-8 text (line {line})") from error


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises json.JSONDecodeError, which is a ValueError, where it is none."""
    skeleton = STRING.sub('""', text)
    for fault, words in ((LONG_NUMBER, LONG_NUMBER_WORDS), (NO_NUMBER, "no number in JSON")):
        if found := fault.search(skeleton):
            raise json.JSONDecodeError(words, skeleton, found.start())
    depth = itertools.accumulate(map(STEPS.__getitem__, NOT_BRACKETS.sub("", skeleton)))
    if max(depth, default=0) > MOST_DEPTH:
        raise ValueError(f"it nests more than {MOST_DEPTH} levels deep")
    return json.loads(text)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises tomllib.TOMLDecodeError, which is a ValueError, where it is none."""
    skeleton = TOML_STRING.sub("_", text)
    if LONG_NUMBER.search(skeleton.replace("_", "")):
        raise ValueError(LONG_NUMBER_WORDS)
    if LONG_KEY.search(skeleton):
        raise ValueError(f"a key in it has more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
