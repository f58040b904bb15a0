"""Several watchers are told as one is."""

from __future__ import annotations

import inspect
from typing import Any
from unittest.mock import create_autospec

import pytest

from reporting.watcher import Watcher, Watchers

EVENTS = [name for name, _ in inspect.getmembers(Watcher, inspect.isfunction) if not name.startswith("_")]


def arguments(event: str) -> dict[str, Any]:
    """Something for each parameter of an event."""
    names = list(inspect.signature(getattr(Watcher, event)).parameters)[1:]
    return {name: object() for name in names}


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_reaches_every_watcher_in_their_order(event: str) -> None:
    told: list[tuple[int, tuple[Any, ...]]] = []
    watchers = [create_autospec(Watcher, instance=True) for _ in range(2)]
    for place, each in enumerate(watchers):
        getattr(each, event).side_effect = lambda *values, place=place: told.append((place, values))
    given = arguments(event)
    getattr(Watchers(watchers), event)(**given)
    assert told == [(0, tuple(given.values())), (1, tuple(given.values()))]


@pytest.mark.parametrize("event", EVENTS)
def test_a_watcher_may_leave_any_event_alone(event: str) -> None:
    assert getattr(Watcher(), event)(**arguments(event)) is None
