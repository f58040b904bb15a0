"""Records as JSON and back, and the one text that is hashed."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import math
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import records
from records import (
    EvolutionConfig,
    Fitness,
    Generation,
    Individual,
    TrainingConfig,
    TrainingJob,
    TrainingResult,
)
from records.canonical import canonical_json, content_hash, from_json, to_json
from records.objectives import Objective
from records.runs import DataFacts, Preparation
from records.texts import Chromosome
from records.trainings import Epoch
from tests.records.strategies import FINITE, KINDS, STRATEGIES, relaxed, through_json


def containers(value: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any] | list[Any]]]:
    """Every object and list inside a JSON value, with the name under which it is found."""
    if isinstance(value, dict):
        yield name, value
        for key, item in value.items():
            yield from containers(item, "" if name == "results" else key)
    elif isinstance(value, list):
        yield name, value
        for item in value:
            yield from containers(item)


def test_every_record_of_the_program_is_tried_below() -> None:
    modules = [importlib.import_module(f"records.{each.name}") for each in pkgutil.iter_modules(records.__path__)]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    there = {kind for kind in kinds if dataclasses.is_dataclass(kind)}
    assert set(STRATEGIES) == there - {Objective}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_comes_back_from_json_as_it_was(kind: type) -> None:
    @given(STRATEGIES[kind])
    @relaxed
    def holds(record: Any) -> None:
        again: Any = from_json(kind, through_json(record))
        assert again == record
        assert canonical_json(to_json(again)) == canonical_json(to_json(record))

    holds()


@given(STRATEGIES[DataFacts], FINITE, FINITE)
@relaxed
def test_how_pictures_were_prepared_is_left_out_where_it_is_the_first_way(
    facts: DataFacts, low: float, high: float
) -> None:
    assert "preparation" not in through_json(facts)
    later = replace(facts, preparation=Preparation(version=2, pixel_range=(low, high)))
    assert from_json(DataFacts, through_json(later)) == later


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_with_a_missing_or_an_odd_part_is_refused(kind: type) -> None:
    @given(STRATEGIES[kind], st.integers(0), st.integers(0), st.booleans())
    @relaxed
    def holds(record: Any, pick: int, part: int, missing: bool) -> None:
        value = through_json(record)
        # "results" has a name for each result and no parts of its own.
        objects = [each for name, each in containers(value) if isinstance(each, dict) and name != "results"]
        target = objects[pick % len(objects)]
        name = sorted(target)[part % len(target)] if missing else "oddity"
        if missing:
            del target[name]
        else:
            target[name] = None
        with pytest.raises(ValueError, match=name):
            from_json(kind, value)

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_with_a_part_of_another_type_is_refused(kind: type) -> None:
    @given(STRATEGIES[kind], st.integers(0), st.integers(0))
    @relaxed
    def holds(record: Any, pick: int, part: int) -> None:
        value = through_json(record)
        filled = [each for _, each in containers(value) if each]
        target: Any = filled[pick % len(filled)]
        place = sorted(target)[part % len(target)] if isinstance(target, dict) else part % len(target)
        target[place] = [] if isinstance(target[place], dict) else {"odd": 1}
        with pytest.raises(ValueError, match="expected"):
            from_json(kind, value)

    holds()


@pytest.mark.parametrize(
    ("kind", "part", "value"),
    [
        (Fitness, "parameters", 3.0),
        (Fitness, "parameters", True),
        (Fitness, "parameters", "3"),
        (Fitness, "value", "0.5"),
        (Fitness, "value", True),
        (Fitness, "value", None),
        (Individual, "chromosome", 101),
        (Individual, "chromosome", None),
        (Individual, "parents", "gen1/ind1"),
        (Individual, "parents", ["gen1/ind1", 7]),
        (Individual, "fitness", 0.5),
        (TrainingConfig, "deterministic", 0),
        (TrainingConfig, "deterministic", "false"),
        (TrainingConfig, "micro_batch", 2.5),
        (DataFacts, "input_shape", [3, 32]),
        (DataFacts, "input_shape", [3, 32, 32, 1]),
        (DataFacts, "input_shape", [3, 32, 32.0]),
    ],
)
def test_a_value_is_not_bent_into_another_type(kind: type, part: str, value: object) -> None:
    examples: dict[type, Any] = {
        Fitness: Fitness(value=0.5),
        Individual: Individual(generation=1, index=1, chromosome=Chromosome("01"), origin="random"),
        TrainingConfig: TrainingConfig(),
        DataFacts: DataFacts(
            fingerprint="f",
            input_shape=(3, 32, 32),
            class_names=("cat",),
            train_images=3,
            val_images=2,
            test_images=1,
        ),
    }
    content = through_json(examples[kind])
    assert from_json(kind, content) == examples[kind]
    with pytest.raises(ValueError, match=rf"{kind.__name__}\.{part}"):
        from_json(kind, content | {part: value})


def test_a_whole_number_is_accepted_where_a_share_is_expected() -> None:
    fitness = from_json(Fitness, through_json(Fitness(value=0.5, parameters=5)) | {"value": 1, "loss": 0})
    assert fitness == Fitness(value=1.0, loss=0.0, parameters=5)
    assert type(fitness.value) is float


@pytest.mark.parametrize("value", [None, 3, "text", True, [], [{}], {}])
def test_what_is_no_record_at_all_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="TrainingResult"):
        from_json(TrainingResult, value)


def test_the_message_names_the_very_part_that_does_not_fit() -> None:
    individuals = tuple(
        Individual(generation=1, index=index, chromosome=Chromosome("0"), origin="random", fitness=Fitness(value=0.5))
        for index in (1, 2)
    )
    content = through_json(Generation(number=1, individuals=individuals))
    content["individuals"][1]["fitness"]["loss"] = "low"
    with pytest.raises(
        ValueError, match=re.escape("Generation.individuals[1].fitness.loss: expected float, found 'low'")
    ):
        from_json(Generation, content)


def test_a_value_that_a_record_refuses_is_refused_from_json_as_well() -> None:
    with pytest.raises(ValueError, match="--epochs must be at least 1"):
        from_json(TrainingConfig, through_json(TrainingConfig()) | {"epochs": 0})


def test_canonical_json_does_not_depend_on_the_order_of_names_and_knows_no_nan() -> None:
    assert canonical_json({"b": [1, 2.5], "a": None}) == canonical_json({"a": None, "b": [1, 2.5]})
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"\\u00e9","b":1}'
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json({"loss": math.nan})


def test_a_content_hash_is_the_sha256_of_the_canonical_text() -> None:
    assert content_hash({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_cannot_be_changed(kind: type) -> None:
    @given(STRATEGIES[kind])
    @settings(relaxed, max_examples=1)
    def holds(record: Any) -> None:
        name = dataclasses.fields(kind)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, getattr(record, name))

    holds()


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf")])
def test_numbers_that_no_float_can_hold_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"Epoch\.train_loss: expected float"):
        from_json(Epoch, {"train_loss": value, "accuracy": None, "loss": None})


def test_the_score_of_an_epoch_is_called_accuracy_in_json() -> None:
    assert to_json(Epoch(train_loss=1.0, score=0.5, loss=2.0)) == {"train_loss": 1.0, "accuracy": 0.5, "loss": 2.0}


def test_json_has_the_same_parts_as_the_record_in_the_same_order() -> None:
    @given(STRATEGIES[TrainingJob] | STRATEGIES[EvolutionConfig])
    @relaxed
    def holds(record: Any) -> None:
        assert json.dumps(to_json(record)) == json.dumps(dataclasses.asdict(record))

    holds()
