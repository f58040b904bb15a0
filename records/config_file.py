"""Settings in a TOML file: read for `--config`, and written by every run."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from records.errors import InputError
from records.flags import Parser, with_underscores
from records.search_settings import EvolutionConfig
from records.settings import DataConfig
from records.training_settings import TrainingConfig

TABLES = ("search", "training", "data", "devices", "limits", "folder")  # for readability only
EXCLUSIVE = ("gpus", "cpu_workers")  # either on the command line replaces both in a file
HEAD = """# The settings of a run, with what "auto" stood for. To make it again: python evolution.py --config FILE \
--output_dir FOLDER
# Flags on the command line win over this file.
"""


def with_config(parser: Parser, arguments: Sequence[str]) -> list[str]:
    """The arguments with those of the file that `--config` names before them, so that flags win.

    Raises `InputError` that names file and line for what is no TOML, or no setting.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    found, _ = finder.parse_known_args([with_underscores(each) for each in arguments])
    if found.config is None:
        return list(arguments)
    given = {with_underscores(each).partition("=")[0][2:] for each in arguments if each.startswith("--")}
    settings = read_config(Path(found.config), parser)
    if given & set(EXCLUSIVE):
        settings = {name: value for name, value in settings.items() if name not in EXCLUSIVE}
    words = [word for name, value in settings.items() if name not in given for word in as_arguments(name, value)]
    return [*words, *arguments]


def read_config(path: Path, parser: Parser) -> dict[str, Any]:
    """The settings of a file by the names of their flags. Raises `InputError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read --config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is not TOML: {error}") from error
    known = {flag[2:]: action for action in parser._actions for flag in action.option_strings}
    for name in ("config", "help", "version"):
        del known[name]
    found: dict[str, Any] = {}
    for name, value in _flat(path, text, content):
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {close[0]}?" if close else "see --help for all there are"
            raise InputError(f"{_place(path, text, name)}: there is no setting {name}; {advice}")
        if name in found:
            raise InputError(f"{path}: {name} is set in two tables; remove one")
        is_switch, is_list = known[name].nargs == 0, known[name].nargs == "+"
        expected = "true or false" if is_switch else "a list" if is_list else "a number or a text"
        kinds = bool if is_switch else list if is_list else int | float | str
        if not isinstance(value, kinds) or isinstance(value, bool) != is_switch:
            raise InputError(
                f"{_place(path, text, name)}: {name} must be {expected}, but is {json.dumps(value, default=str)}"
            )
        found[name] = value
    return found


def _flat(path: Path, text: str, content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys and values of the file and of its tables, with underscores for hyphens."""
    for name, value in content.items():
        if isinstance(value, dict) and name in TABLES:
            yield from ((key.replace("-", "_"), item) for key, item in value.items())
        elif isinstance(value, dict):
            raise InputError(f"{_place(path, text, name)}: there is no table {name}; known are {', '.join(TABLES)}")
        else:
            yield name.replace("-", "_"), value


def _place(path: Path, text: str, name: str) -> str:
    """The file, and the line on which a key or table stands."""
    key = re.escape(name).replace("_", "[-_]")
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"\s*\[?\s*[\"']?{key}[\"']?\s*[\]=.]", line):
            return f"{path}, line {number}"
    return str(path)


def as_arguments(name: str, value: Any) -> list[str]:
    """A setting as its flag; what is false is left out, as flags have no other way to say it."""
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]


def config_text(search: EvolutionConfig, training: TrainingConfig, data: DataConfig) -> str:
    """A file that asks for a run with these settings; what is None is left out."""
    lines = [HEAD]
    for table, record in (("search", search), ("training", training), ("data", data)):
        lines.append(f"[{table}]")
        for item in fields(record):
            value = getattr(record, item.name)
            if value is not None:
                # JSON's texts, numbers, truths and lists are TOML's.
                shown = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
                shown = shown.replace("\x7f", "\\u007f")  # which TOML does not take as it is
                lines.append(f"{item.name} = {shown}")
        lines.append("")
    return "\n".join(lines)
