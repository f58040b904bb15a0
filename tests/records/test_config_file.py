"""Settings in a file do what flags do, flags win over them, and a slip is named with its line."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import evolution
from evolution import build_parser
from records import DataConfig, EvolutionConfig, InputError, TrainingConfig
from records.config_file import config_text, read_config, with_config
from records.flags import given as given_settings
from storage.directory import RunDirectory
from tests.records.strategies import DATA, SEARCHES, TRAININGS

RECORDS = (EvolutionConfig, TrainingConfig, DataConfig)


def options_of(folder: Path, text: str, *arguments: str) -> dict[str, object]:
    path = folder / "run.toml"
    path.write_text(text)
    parser = build_parser()
    return vars(parser.parse(with_config(parser, ["--config", str(path), *arguments])))


def test_settings_of_a_file_are_as_if_given_by_flags(tmp_path: Path) -> None:
    text = """
population = 4
[search]
objectives = ["accuracy", "flops"]
ablation = true
[training]
learning-rate = 0.1  # hyphens are taken, too
deterministic = false
[devices]
gpus = [0, 1]
"""
    found = options_of(tmp_path, text)
    assert found["population"] == 4
    assert found["objectives"] == ("accuracy", "flops")
    assert found["ablation"] is True
    assert found["learning_rate"] == 0.1
    assert "deterministic" not in found
    assert found["gpus"] == [0, 1]


def test_flags_win_over_the_file_however_they_are_written(tmp_path: Path) -> None:
    text = "epochs = 9\nlearning_rate = 0.1\nobjectives = ['accuracy', 'flops']\ncpu_workers = 2\n"
    arguments = ["--epochs", "3", "--learning-rate=0.3", "--objectives", "accuracy", "--gpus", "0"]
    found = options_of(tmp_path, text, *arguments)
    assert (found["epochs"], found["learning_rate"], found["objectives"]) == (3, 0.3, ("accuracy",))
    assert (found["gpus"], found["cpu_workers"]) == ([0], None)


def test_without_a_file_nothing_changes() -> None:
    assert with_config(build_parser(), ["--epochs", "3"]) == ["--epochs", "3"]


SLIPS = {
    "epochs = 3\npopulaton = 4\n": r"run.toml, line 2: there is no setting populaton; did you mean population\?",
    "[search]\nxyzzy = 1\n": "line 2: there is no setting xyzzy; see --help",
    "[sarch]\nepochs = 1\n": "line 1: there is no table sarch; known are search",
    "epochs = \n": "run.toml is not TOML",
    "epochs = 3\n[training]\nepochs = 4\n": "epochs is set in two tables",
    "[training]\ndeterministic = 3\n": "line 2: deterministic must be true or false, but is 3",
    "epochs = true\n": "line 1: epochs must be a number or a text, but is true",
    "gpus = 0\n": "line 1: gpus must be a list, but is 0",
    "epochs = 1979-05-27\n": "line 1: epochs must be a number or a text",
    "config = 'other.toml'\n": "there is no setting config",
    "epochs = 'many'\n": "line 1: epochs must be a whole number, but is 'many'",
    "[training]\nepochs = 2.0\n": "line 2: epochs must be a whole number, but is 2.0",
    "epochs = " + 5000 * "9" + "\n": "run.toml is not TOML: a number in it has more than 40 digits",
    "epochs = " + 99999 * "[" + "\n": "larger than 64 kB",
    "epochs = " + 9999 * "[" + "\n": "run.toml is not TOML: it nests too deep",
    9999 * "a." + "b = 1\n": "a key in it has more than 8 dots",
}


@pytest.mark.parametrize("text", SLIPS)
def test_a_slip_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=SLIPS[text]):
        options_of(tmp_path, text)


def test_a_byte_order_mark_and_a_pipe_are_read(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xef\xbb\xbfepochs = 3\n")
    assert read_config(tmp_path / "run.toml", build_parser()) == {"epochs": 3}
    os.mkfifo(tmp_path / "pipe.toml")  # to which nobody writes
    assert read_config(tmp_path / "pipe.toml", build_parser()) == {}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read --config"):
        read_config(tmp_path / "none.toml", build_parser())


def test_values_without_meaning_are_refused_as_those_of_flags_are(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("population = 1\n")
    with pytest.raises(InputError, match="--population must be at least 2, but is 1"):
        evolution.main(["--config", str(path), "--output_dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


@given(search=SEARCHES, training=TRAININGS, data=DATA)
@settings(deadline=None, max_examples=60)
def test_what_a_run_writes_asks_for_the_same_run(
    search: EvolutionConfig, training: TrainingConfig, data: DataConfig
) -> None:
    content = tomllib.loads(config_text(search, training, data))
    records: tuple[tuple[str, Any], ...] = (("search", search), ("training", training), ("data", data))
    for table, record in records:
        found: dict[str, Any] = content[table]
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        assert type(record)(**values) == record


def test_the_file_of_a_run_is_read_again(tmp_path: Path) -> None:
    search = EvolutionConfig(objectives=("accuracy", "latency"), ablation=True, max_latency=2.5, mutation_prob=0.1)
    training = replace(TrainingConfig(), deterministic=True, weight_decay=1e-5, micro_batch=64)
    data = DataConfig(dataset='/data/"quoted" é\x7f', train_limit=100)
    parser = build_parser()
    path = RunDirectory(tmp_path).config
    path.write_text(config_text(search, training, data))
    options = parser.parse(with_config(parser, ["--config", str(path)]))
    found = [record(**given_settings(options, record)) for record in RECORDS]
    assert found == [search, training, data]


@pytest.mark.parametrize(
    "text", ["max_hours = 1e300", "max_hours = inf", "population = 1000000000000000000", 'dataset = "a\\u0000b"']
)
def test_values_that_nothing_can_be_done_with_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"--{text.split()[0]} must be ") as refusal:
        evolution.main(["--config", str(tmp_path / "run.toml"), "--output_dir", str(tmp_path / "run")])
    assert "\n" not in str(refusal.value)
