"""The one JSON text of a value, its hash, and the way from JSON back to checked records."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import types
import typing
from dataclasses import is_dataclass
from typing import Any, TypeVar

VERSION = "0.1.0"
T = TypeVar("T")


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. What is hashed is this text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def from_json(kind: type[T], value: object) -> T:
    """The record of type `kind` that `dataclasses.asdict` and JSON made `value` of, checked in every part.

    Raises ValueError that names the part that does not fit.
    """
    record: T = _parse(kind, value, kind.__name__)
    return record


def _parse(kind: Any, value: Any, where: str) -> Any:
    """`kind` is a record, a plain type, a tuple, a dict with text keys, or one of these or None."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        options = [option for option in arguments if option is not type(None)]
        return None if value is None else _parse(options[0], value, where)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            odd = sorted(set(hints) ^ set(value)) if isinstance(value, dict) else value
            raise ValueError(f"{where}: the parts of {kind.__name__} were expected, odd are {odd!r}")
        return kind(**{name: _parse(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})
    if origin is tuple and isinstance(value, list):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            parts = zip(inner, value, strict=True)
            return tuple(_parse(part, item, f"{where}[{index}]") for index, (part, item) in enumerate(parts))
    elif origin is dict and isinstance(value, dict):
        return {name: _parse(arguments[1], item, f"{where}[{name!r}]") for name, item in value.items()}
    elif kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    elif kind in (int, str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {value!r}")


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
