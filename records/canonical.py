"""The one JSON text of a value, its hash, and the way from JSON back to checked records."""

from __future__ import annotations

import functools
import hashlib
import json
import reprlib
import sys
import types
import typing
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeVar

from records.texts import JobKey, is_job_key, is_sound

VERSION = "0.1.0"
LARGEST = (1 << 64) - 1  # of whole numbers in a file: seeds of 64 bits
T = TypeVar("T")
SHORTENED = reprlib.Repr()
SHORTENED.maxstring = SHORTENED.maxother = SHORTENED.maxlong = 50


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. What is hashed is this text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def to_json(record: Any) -> dict[str, Any]:
    """A record, with all records in it, as JSON has it. The inverse is `from_json`.

    A field with `metadata={"json": NAME}` is called NAME there; one with `metadata={"optional": True}`
    is left out where it has its default.
    """
    parts = ((key, part, getattr(record, part.name)) for key, part in _parts(record.__class__).items())
    return {key: _plain(value) for key, part, value in parts if not part.is_optional or value != part.default}


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float) or value is None:
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else to_json(value)


def from_json(kind: type[T], value: object) -> T:
    """The record of type `kind` that `to_json` made `value` of, checked in every part.

    Raises ValueError that names the part that does not fit.
    """
    record: T = _parse(kind, value, kind.__name__)
    return record


def _parse(kind: Any, value: Any, where: str) -> Any:
    """`kind` is a record, a plain type, a tuple, a dict with text keys, or one of these or None."""
    if kind is JobKey and not is_job_key(value):
        raise ValueError(f"{where}: expected the key of a job (64 hexadecimal digits), found {shown(value)}")
    kind = getattr(kind, "__supertype__", kind)  # a NewType is what it was made of
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        options = [option for option in arguments if option is not type(None)]
        return None if value is None else _parse(options[0], value, where)
    if is_dataclass(kind) and isinstance(kind, type):
        parts = _parts(kind)
        needed = {key for key, part in parts.items() if not part.is_optional}
        if not isinstance(value, dict) or not needed <= set(value) <= set(parts):
            odd = sorted((needed - set(value)) | (set(value) - set(parts))) if isinstance(value, dict) else value
            raise ValueError(f"{where}: the parts of {kind.__name__} were expected, odd are {shown(odd)}")
        return kind(**{parts[key].name: _parse(parts[key].hint, value[key], f"{where}.{key}") for key in value})
    if origin is tuple and isinstance(value, list):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            pairs = zip(inner, value, strict=True)
            return tuple(_parse(part, item, f"{where}[{index}]") for index, (part, item) in enumerate(pairs))
    elif origin is dict and isinstance(value, dict):
        place = f"{where}[%s]"
        return {
            _parse(arguments[0], name, place % "key"): _parse(arguments[1], item, place % shown(name))
            for name, item in value.items()
        }
    elif _fits(kind, value):
        return float(value) if kind is float else value
    raise ValueError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {shown(value)}")


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is a plain one of this kind, within what the program can hold."""
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    if kind not in (int, str, bool) or type(value) is not kind:
        return False
    return is_sound(value) if kind is str else kind is bool or abs(value) <= LARGEST


def shown(value: object, most: int = 60) -> str:
    """A value in a message: shortened, however long or deep it is."""
    text = SHORTENED.repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


class _Part(NamedTuple):
    """A field of a record."""

    name: str
    hint: Any
    default: Any
    is_optional: bool


@functools.cache
def _parts(kind: Any) -> dict[str, _Part]:
    """The fields of a record by their names in JSON."""
    hints = typing.get_type_hints(kind)
    return {
        each.metadata.get("json", each.name): _Part(
            each.name, hints[each.name], each.default, each.metadata.get("optional", False)
        )
        for each in fields(kind)
    }
