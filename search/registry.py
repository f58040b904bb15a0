"""The search algorithms by name. Each registers itself where it is defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from search.base import SearchAlgorithm

Kind = TypeVar("Kind", bound=type[SearchAlgorithm])


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm:
    """A search algorithm: what `--algorithm` calls it, what it does in words, its class."""

    name: str
    words: str
    kind: type[SearchAlgorithm]
    uses_model: bool  # of the results so far, to choose among offspring


ALGORITHMS: dict[str, Algorithm] = {}


def algorithm(name: str, words: str, uses_model: bool = False) -> Callable[[Kind], Kind]:
    """Registers the class that it decorates."""

    def register(kind: Kind) -> Kind:
        ALGORITHMS[name] = Algorithm(name=name, words=words, kind=kind, uses_model=uses_model)
        return kind

    return register
