"""Settings records as command-line flags."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import DataConfig, EvolutionConfig, InputError, TrainingConfig
from records.canonical import VERSION
from records.flags import Parser, add_settings
from records.flags import given as given_settings

RECORDS = (EvolutionConfig, TrainingConfig, DataConfig)
FIELDS = [(record, item) for record in RECORDS for item in dataclasses.fields(record)]
NAMES = [item.name for _, item in FIELDS]


def parser(**defaults: Any) -> Parser:
    """A command with a flag for every setting."""
    made = Parser(prog="test.py")
    for record in RECORDS:
        add_settings(made, record.__name__, record, **defaults)
    return made


def typed(*arguments: str, record: type = TrainingConfig) -> dict[str, Any]:
    """The settings of one record that a line of arguments gives."""
    return given_settings(parser().parse(arguments), record)


def refusal(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        parser().parse(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def another_value(item: dataclasses.Field[Any]) -> Any:
    """A value of a field that is not its default."""
    if item.name == "objectives":
        return ("accuracy", "latency")
    if item.name == "algorithm":
        return "optuna:TPESampler"
    if item.name == "image_size":
        return "48x64"
    if item.metadata["choices"]:
        return next(choice for choice in reversed(item.metadata["choices"]) if choice != item.default)
    kind = str(item.type)
    return True if "bool" in kind else 9 if "int" in kind else 0.25 if "float" in kind else "some-where/else"


@pytest.mark.parametrize(("record", "item"), FIELDS, ids=NAMES)
@pytest.mark.parametrize("joined", [False, True])
def test_every_setting_has_a_flag(record: Any, item: dataclasses.Field[Any], joined: bool) -> None:
    value = another_value(item)
    words = [f"--{item.name}"] if value is True else [f"--{item.name}", str(value)]
    if isinstance(value, tuple):
        if joined:
            return  # several values are words of their own
        words = [f"--{item.name}", *value]
    found = typed("=".join(words) if joined else words[0], *([] if joined else words[1:]), record=record)
    assert found == {item.name: value}
    assert type(found[item.name]) is type(value)
    beside = {"early_stopping": "none"} if item.name == "scheme" else {}
    assert getattr(record(**beside, **found), item.name) == value


@pytest.mark.parametrize(("record", "item"), FIELDS, ids=NAMES)
def test_help_explains_every_setting_and_says_its_default(record: type, item: dataclasses.Field[Any]) -> None:
    text = "".join(parser().format_help().split())
    said = item.metadata["help"]
    if item.default is None:
        assert "(default: " in said
    else:
        words = " ".join(item.default) if isinstance(item.default, tuple) else item.default
        said += f" (default: {'off' if item.default is False else words})"
    assert f"--{item.name}" in text
    assert "".join(said.split()) in text


def test_a_command_may_have_a_default_of_its_own() -> None:
    text = " ".join(parser(epochs=77).format_help().split())
    assert "epochs of each training (default: 77)" in text


def test_what_is_not_typed_is_not_given() -> None:
    for record in RECORDS:
        assert (
            typed("--epochs", "3", "--population", "5", record=record)
            == {
                EvolutionConfig: {"population": 5},
                TrainingConfig: {"epochs": 3},
                DataConfig: {},
            }[record]
        )


@pytest.mark.parametrize(
    "words",
    [
        ["--batch-size", "32"],
        ["--batch-size=32"],
        ["--batch_size", "32"],
        ["--batch_size=32"],
    ],
)
def test_hyphens_are_accepted_for_underscores(words: list[str]) -> None:
    assert typed(*words) == {"batch_size": 32}


def test_hyphens_in_values_stay() -> None:
    found = typed("--dataset", "my-data/set-1", "--data-dir=other-data", record=DataConfig)
    assert found == {"dataset": "my-data/set-1", "data_dir": "other-data"}


@given(name=st.sampled_from(NAMES), data=st.data())
@settings(deadline=None)
def test_one_wrong_letter_is_answered_with_the_flag_that_was_meant(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(name) - 1))
    mistyped = f"{name[:place]}{data.draw(st.sampled_from('qzj'))}{name[place + 1 :]}"
    if mistyped in NAMES or len(name) < 5:
        return
    assert refusal(f"--{mistyped}=1") == f"unknown argument --{mistyped}=1; did you mean --{name}?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--epoch", "3"], "--epochs"),
        (["--batchsize", "3"], "--batch_size"),
        (["--learning-rat=1"], "--learning_rate"),
        (["--popul", "3"], "--population"),
        (["--versoin"], "--version"),
        (["-epochs", "3"], "--epochs"),
    ],
)
def test_an_unknown_flag_is_answered_with_the_closest(typed: list[str], meant: str) -> None:
    assert refusal(*typed).endswith(f"did you mean {meant}?")


@pytest.mark.parametrize("word", ["--zzzzzz", "stray", "-q"])
def test_an_argument_like_no_other_is_answered_with_the_help(word: str) -> None:
    assert refusal(word) == f"unknown argument {word}; see --help"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "many"], ["--epochs", "'many'"]),
        (["--epochs", "1.5"], ["--epochs", "'1.5'"]),
        (["--learning_rate", "fast"], ["--learning_rate", "'fast'"]),
        (["--precision", "half"], ["--precision", "'half'", "bfloat16"]),
        (["--crossover", "sideways"], ["--crossover", "one_point"]),
        (["--epochs"], ["--epochs", "expected one argument"]),
        (["--epochs", "--threads", "2"], ["--epochs", "expected one argument"]),
        (["--deterministic=yes"], ["--deterministic"]),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(arguments: list[str], words: list[str]) -> None:
    message = refusal(*arguments)
    assert all(word in message for word in words)


@pytest.mark.parametrize(
    ("record", "arguments", "said"),
    [
        (TrainingConfig, ["--epochs", "0"], "--epochs must be at least 1, but is 0"),
        (TrainingConfig, ["--learning_rate", "-1"], "--learning_rate must be a finite number, 0 or more, but is -1.0"),
        (TrainingConfig, ["--learning_rate", "nan"], "--learning_rate must be a finite number, 0 or more, but is nan"),
        (TrainingConfig, ["--micro_batch", "129"], "--micro_batch must be between 2 and the batch (128), but is 129"),
        (DataConfig, ["--val_fraction", "1"], "--val_fraction must be over 0 and under 1, but is 1.0"),
        (EvolutionConfig, ["--population", "1"], "--population must be at least 2, but is 1"),
    ],
)
def test_a_value_without_meaning_is_refused_by_name(record: type, arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        record(**typed(*arguments, record=record))
    assert str(caught.value) == said


def test_abbreviations_are_not_guessed() -> None:
    assert "unknown argument --train" in refusal("--train", "3")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{VERSION}\n"
