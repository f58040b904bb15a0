"""Kinds of fields: settings, which are also command-line flags with help, choices and checks; and optional fields."""

from __future__ import annotations

import functools
import math
import types
import typing
from dataclasses import field, fields
from typing import Any

from records.canonical import LARGEST, shown
from records.errors import InputError
from records.texts import is_sound

LONGEST_FOUND = 100  # characters of a value in a message
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", tuple: "several names"}


def setting(
    default: Any,
    help: str,
    choices: tuple[str, ...] | None = None,
    resume: bool = False,
    most: float | None = None,
) -> Any:
    """A dataclass field that is also a command-line flag; `resume` marks what a resumed run may change.

    `most` is the largest value of a number: far above what anybody needs, and small enough to be counted to.
    Whole numbers without one have at most 64 bits.
    """
    return field(default=default, metadata={"help": help, "choices": choices, "resume": resume, "most": most})


def optional(default: Any) -> Any:
    """A field of any record that JSON leaves out where it has its default."""
    return field(default=default, metadata={"optional": True})


def require_sound(record: Any) -> None:
    """Raises `InputError` for a setting of the wrong type, beyond what can be computed with, or not among its choices.

    Files, flags and Python all make their records so, and are checked here.
    """
    kinds = _kinds(record.__class__)
    for item in fields(record):
        choices, value = item.metadata["choices"], getattr(record, item.name)
        if value is None and None in kinds[item.name]:
            continue
        kind = kinds[item.name][0]
        require(_is(kind, value), item.name, WORDS[kind], shown(value))
        for each in value if isinstance(value, tuple) else (value,):
            most = item.metadata["most"] or (LARGEST if kind is int else math.inf)
            if kind in (int, float) and math.isfinite(each):
                require(abs(each) <= most, item.name, f"at most {most:,}", shown(each))
            require(not isinstance(each, str) or is_sound(each), item.name, "a text without NUL", shown(each))
            require(choices is None or each in choices, item.name, f"one of {', '.join(choices or ())}", shown(each))


def _is(kind: type, value: Any) -> bool:
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
    return type(value) in ((int, float) if kind is float else (kind,))


@functools.cache
def _kinds(record: type) -> dict[str, tuple[Any, ...]]:
    """The type of each field of a settings record, and None after it where that is allowed."""
    found = {}
    for name, hint in typing.get_type_hints(record).items():
        options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kind = typing.get_origin(options[0]) or options[0]
        found[name] = (kind, *([None] if type(None) in options else []))
    return found


def require(holds: bool, name: str, expected: str, found: object) -> None:
    if not holds:
        words = str(found)
        words = words if len(words) <= LONGEST_FOUND else f"{words[: LONGEST_FOUND - 1]}…"
        raise InputError(f"--{name} must be {expected}, but is {words}")
