"""Kinds of text: three that are easily taken for one another (to mypy they are types), and what a text may hold."""

from __future__ import annotations

import re
from typing import NewType

Chromosome = NewType("Chromosome", str)  # characters 0 and 1, one for each bit
NetworkText = NewType("NetworkText", str)  # the canonical JSON of an architecture
JobKey = NewType("JobKey", str)  # SHA-256 of a training job, in hex

JOB_KEY = re.compile(r"[0-9a-f]{64}")
WEIGHTS_PATH = re.compile(r"results(?:/[a-z0-9_]{1,64}){1,4}/best_model\.pt")  # below a run's folder
# A NUL ends a path early, and half of a surrogate pair is no character; U+DC80 to U+DCFF stand for the bytes of
# a file name that is not UTF-8 (PEP 383).
UNSOUND = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")


def is_job_key(text: object) -> bool:
    """Whether something is the key of a job: 64 hexadecimal digits, so that it cannot be a path to anywhere."""
    return isinstance(text, str) and JOB_KEY.fullmatch(text) is not None


def is_sound(text: str) -> bool:
    """Whether a text from outside can be a name, a path or a line: it has no NUL and no half of a character."""
    return UNSOUND.search(text) is None
