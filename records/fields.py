"""Kinds of fields: settings, which are also command-line flags with help, choices and checks; and optional fields."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

from records.errors import InputError


def setting(default: Any, help: str, choices: tuple[str, ...] | None = None, resume: bool = False) -> Any:
    """A dataclass field that is also a command-line flag; `resume` marks what a resumed run may change."""
    return field(default=default, metadata={"help": help, "choices": choices, "resume": resume})


def optional(default: Any) -> Any:
    """A field of any record that JSON leaves out where it has its default."""
    return field(default=default, metadata={"optional": True})


def require_choices(record: Any) -> None:
    for item in fields(record):
        choices, value = item.metadata["choices"], getattr(record, item.name)
        for each in value if isinstance(value, tuple) else (value,):
            require(choices is None or each in choices, item.name, f"one of {', '.join(choices or ())}", repr(each))


def require(holds: bool, name: str, expected: str, found: object) -> None:
    if not holds:
        raise InputError(f"--{name} must be {expected}, but is {found}")
