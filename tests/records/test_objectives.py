"""The registry of objectives: every entry can be ranked by, limited, worded and replaced before training."""

from __future__ import annotations

import pytest

from records import EvolutionConfig, Fitness
from records.objectives import ACCURACY, OBJECTIVES, quantity

MEASURED = tuple((name, 3.0) for name, each in OBJECTIVES.items() if each.measured)
FITNESS = Fitness(value=0.75, parameters=12_345, flops=1_200_000, latency=0.00053, measured=MEASURED)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_a_choice_of_the_search_and_smaller_is_better_once_it_is_compared(name: str) -> None:
    assert OBJECTIVES[name].name == name
    objectives = (ACCURACY,) if name == ACCURACY else (ACCURACY, name)
    assert EvolutionConfig(objectives=objectives).objectives == objectives
    assert (FITNESS.objective(name) < 0) == OBJECTIVES[name].is_maximised


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_a_unit_in_its_words(name: str) -> None:
    assert quantity(name, 1.0).endswith(OBJECTIVES[name].unit)
    assert OBJECTIVES[name].axis


@pytest.mark.parametrize("name", [name for name, each in OBJECTIVES.items() if each.proxy])
def test_what_is_unknown_before_training_is_replaced_by_what_is_known(name: str) -> None:
    proxy = OBJECTIVES[str(OBJECTIVES[name].proxy)]
    assert proxy.proxy is None
    assert proxy.measured is None


@pytest.mark.parametrize("name", [name for name, each in OBJECTIVES.items() if each.limit])
def test_a_limit_is_read_from_the_setting_of_the_objective(name: str) -> None:
    each = OBJECTIVES[name]
    config = EvolutionConfig(**{str(each.limit): 5})  # type: ignore[arg-type]
    assert config.limits == {name: 5 / each.limit_scale}
    assert config.size_limits == ({} if each.proxy else config.limits)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("parameters", 12345, "12,345 parameters"),
        ("flops", 1_234_567, "1.23 MFLOPs"),
        ("flops", 1_234_567_890, "1,234.57 MFLOPs"),
        ("latency", 0.000534, "0.53 ms"),
    ],
)
def test_quantities_have_the_unit_of_their_objective(name: str, value: float, words: str) -> None:
    assert quantity(name, value) == words
