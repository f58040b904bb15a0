"""Files beside the program that say something about it: each agrees with what it speaks of."""

from __future__ import annotations

import re
from pathlib import Path

from records.canonical import VERSION
from tests.conftest import GROUPS, LONG

ROOT = Path(__file__).parents[2]


def test_the_citation_names_the_version_of_the_program() -> None:
    assert re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [VERSION]


def test_every_file_of_a_group_of_tests_is_there_and_in_one_group() -> None:
    named = [*LONG, *(file for files in GROUPS.values() for file in files)]
    assert len(named) == len(set(named))
    assert set(named) <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def test_make_help_names_every_target_a_person_may_call() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (targets,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    # The same pattern as in the recipe of help.
    assert set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)) == set(targets.split())
