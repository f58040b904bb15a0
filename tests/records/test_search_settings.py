"""Settings of the search that depend on one another."""

from __future__ import annotations

import re
from typing import Any

import pytest

from records import (
    EvolutionConfig,
    InputError,
)
from records.objectives import OBJECTIVES


@pytest.mark.parametrize(
    "setting", [{"early_stopping": "halving"}, {"early_stopping": "median"}, {"algorithm": "aging"}]
)
def test_what_waits_for_others_is_refused_in_a_steady_state(setting: dict[str, Any]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(InputError, match=rf"--{name} must be .* \(or use --scheme generations\), but is {value}"):
        EvolutionConfig(**{"scheme": "steady_state", "early_stopping": "none", **setting})


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (("accuracy", "speed"), f"--objectives must be one of {', '.join(OBJECTIVES)}, but is 'speed'"),
        (
            ("parameters",),
            f"--objectives must be accuracy and then any of {', '.join(list(OBJECTIVES)[1:])}, each once, ",
        ),
        ((), "but is "),
        (("parameters", "accuracy"), "but is parameters accuracy"),
        (("accuracy", "flops", "flops"), "each once, but is accuracy flops flops"),
    ],
)
def test_objectives_are_accuracy_and_then_others_each_once(objectives: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        EvolutionConfig(objectives=objectives)


@pytest.mark.parametrize(
    ("values", "trained"),
    [
        ({}, 0),
        ({"generations": 8, "population": 11}, 0),
        ({"generations": 9}, 3),
        ({"generations": 20}, 3),
        ({"generations": 9, "final_seeds": 4}, 0),
        ({"budget": 89}, 0),
        ({"budget": 90}, 3),
        ({"budget": 90, "finalists": 0}, 0),
        ({"generations": 1, "finalists": 5}, 5),
    ],
)
def test_finalists_are_trained_by_themselves_only_where_they_cost_at_most_a_tenth(
    values: dict[str, Any], trained: int
) -> None:
    assert EvolutionConfig(**{"generations": 1, **values}).finalists_trained == trained


def test_limits_are_those_that_are_set_and_latency_is_in_seconds() -> None:
    assert EvolutionConfig().limits == {}
    assert EvolutionConfig(max_parameters=5, max_latency=2.5).limits == {"parameters": 5, "latency": 0.0025}
    assert [EvolutionConfig(**values).needs_latency for values in LATENCIES] == [False, False, True, True]


LATENCIES: list[dict[str, Any]] = [
    {},
    {"max_flops": 1},
    {"max_latency": 1.0},
    {"objectives": ("accuracy", "latency")},
]
