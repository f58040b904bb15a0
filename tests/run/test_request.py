"""What may be asked of a run, and what is refused when it is asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from evolution import build_parser, request_of
from records import EvolutionConfig, InputError, TrainingConfig
from run.request import Devices, Request


def test_flags_by_name_go_where_they_belong() -> None:
    request = Request.of(
        dataset="digits", epochs=3, population=6, max_hours=2.0, gpus=[0, 1], reuse=["a"], output_dir="runs/a"
    )
    assert request.settings == {"dataset": "digits", "epochs": 3, "population": 6}
    assert request.limits.max_hours == 2.0
    assert request.devices.gpus == (0, 1)
    assert request.reuse == (Path("a"),)
    assert request.output_dir == Path("runs/a")
    assert request.new(EvolutionConfig) == EvolutionConfig(population=6)
    assert request.new(TrainingConfig) == TrainingConfig(epochs=3)


def test_the_command_line_asks_for_the_same() -> None:
    flags = "--dataset digits --objectives accuracy flops --cpu_workers 2 --reuse a b --quiet --keep_models all"
    line = flags.split()
    assert request_of(build_parser().parse(line)) == Request.of(
        dataset="digits", objectives=("accuracy", "flops"), cpu_workers=2, reuse=["a", "b"], keep_models="all"
    )


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Request().overwrite = True  # type: ignore[misc]


def test_a_steady_state_trains_in_full_unless_something_else_is_asked_for() -> None:
    assert Request.of(scheme="steady_state").new(EvolutionConfig).early_stopping == "none"
    with pytest.raises(InputError, match="--early_stopping must be none"):
        Request.of(scheme="steady_state", early_stopping="halving").new(EvolutionConfig)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"populaton": 4}, "there is no setting populaton; did you mean population"),
        ({"output_dri": "a"}, "there is no setting output_dri; did you mean output_dir"),
        ({"gpus": [0], "cpu_workers": 1}, "--gpus and --cpu_workers exclude each other"),
        ({"cpu_workers": 0}, "--cpu_workers must be at least 1, but is 0"),
        ({"workers_per_gpu": 0}, "--workers_per_gpu must be at least 1"),
        ({"cluster": "auto", "gpus": [0]}, "leave it out"),
        ({"cluster": "auto", "workers_per_gpu": None}, "on a --cluster name a number"),
        ({"resume": ".", "overwrite": True}, "--resume and --overwrite exclude each other"),
        ({"rewind": True}, "--rewind needs the state to go back to"),
        ({"max_hours": -1.0}, "--max_hours must be a number over 0"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Request.of(**flags)


@pytest.mark.parametrize(
    "devices",
    [Devices(), Devices(cpu_workers=3), Devices(gpus=(0, 2), workers_per_gpu=None), Devices(workers_per_gpu=4)],
)
def test_the_flags_of_devices_ask_for_them_again(devices: Devices) -> None:
    words: list[str] = []
    for name, value in devices.arguments().items():
        if value is not None:
            words += [f"--{name}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    assert request_of(build_parser().parse(words)).devices == devices


def test_a_path_that_begins_with_a_tilde_leads_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line, where a shell leaves it as it is within a word, and from Python."""
    monkeypatch.setenv("HOME", "/home/me")
    flags = {"output_dir": "~/runs", "dataset": "~/pets", "data_dir": "~", "reuse": ["~/a", "b~c"]}
    typed = ["--output_dir=~/runs", "--dataset", "~/pets", "--data-dir=~", "--reuse", "~/a", "b~c"]
    for request in (Request.of(**flags), request_of(build_parser().parse(typed))):
        assert request.output_dir == Path("/home/me/runs")
        assert (request.settings["dataset"], request.settings["data_dir"]) == ("/home/me/pets", "/home/me")
        assert request.reuse == (Path("/home/me/a"), Path("b~c"))
