"""Settings records as command-line flags."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from records.canonical import VERSION
from records.errors import InputError

LONGEST_MESSAGE = 400  # characters


class Parser(argparse.ArgumentParser):
    """An argument parser that takes hyphens for underscores and answers a slip with the closest flag."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=110),
            allow_abbrev=False,
            **settings,
        )
        self.add_argument("--version", action="version", version=VERSION)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Raises `InputError` for flags or values that are not known."""
        namespace, unknown = self.parse_known_args([with_underscores(argument) for argument in arguments])
        if unknown:
            known = [flag for action in self._actions for flag in action.option_strings]
            close = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
            advice = f"did you mean {close[0]}?" if close else "see --help"
            raise InputError(f"unknown argument {_cut(unknown[0])}; {advice}")
        return argparse.Namespace(**{name: at_home(value) for name, value in vars(namespace).items()})

    def error(self, message: str) -> NoReturn:
        raise InputError(_cut(message))


def _cut(text: str) -> str:
    """A text from a command line or a file, short enough for a message."""
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"


def at_home(value: Any) -> Any:
    """A value of a flag, in which a text or path that begins with ~ leads to a home folder, as in a shell.

    A shell itself leaves it as it is within a word (--output_dir=~/runs), and so does a file of settings.
    """
    if isinstance(value, list | tuple):
        return type(value)(map(at_home, value))
    if isinstance(value, str):
        return os.path.expanduser(value)
    return value.expanduser() if isinstance(value, Path) else value


def with_underscores(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


class Several(argparse.Action):
    """Keeps the values of a flag that takes several as a tuple, as the records have them."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, tuple(values))


def add_settings(
    parser: argparse.ArgumentParser,
    title: str,
    record: type,
    help_texts: Mapping[str, str] = types.MappingProxyType({}),
    **defaults: Any,
) -> None:
    """One flag for each field of a settings record, in a group of its own.

    Flags that are not given are left out of the namespace, so that a resumed run can tell what
    was asked for; `settings` fills in the defaults. `help_texts` and `defaults`
    replace those of the record.
    """
    group = parser.add_argument_group(title)
    types_of = typing.get_type_hints(record)
    for item in dataclasses.fields(record):
        default = defaults.get(item.name, item.default)
        kind, text = _plain_type(types_of[item.name]), help_texts.get(item.name, item.metadata["help"])
        words = " ".join(default) if isinstance(default, tuple) else "off" if default is False else default
        shown = "" if default is None else f" (default: {words})"
        options: dict[str, Any] = {
            "dest": item.name,
            "default": argparse.SUPPRESS,
            "help": (text + shown).replace("%", "%%"),
        }
        if typing.get_origin(kind) is tuple:
            options |= {"nargs": "+", "action": Several, "metavar": "NAME"}
            kind = typing.get_args(kind)[0]
        if kind is bool:
            group.add_argument(f"--{item.name}", action="store_true", **options)
        else:
            choices = item.metadata["choices"]
            options.setdefault("metavar", None if choices else {int: "N", float: "X", str: "NAME"}[kind])
            group.add_argument(f"--{item.name}", type=kind, choices=choices, **options)


def _plain_type(hint: Any) -> type:
    """The type of a flag's value: that of the field, without None."""
    if isinstance(hint, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return typing.cast("type", hint)


def given(namespace: argparse.Namespace, record: type) -> dict[str, Any]:
    """The fields of a settings record that were named on the command line."""
    names = {item.name for item in dataclasses.fields(record)}
    return {name: value for name, value in vars(namespace).items() if name in names}


def settings_arguments(*records: Any) -> list[str]:
    """The flags that make settings records what they are, for all that differs from its default."""
    arguments: list[str] = []
    for record in records:
        for item in dataclasses.fields(record):
            value = getattr(record, item.name)
            if value in (item.default, None):
                continue
            arguments.append(f"--{item.name}")
            if value is not True:
                arguments += map(str, value) if isinstance(value, tuple) else [str(value)]
    return arguments
