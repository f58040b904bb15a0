"""Whether the data of a resumed run are those that it began with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from image_data import ImageData
from records import RunState
from records.runs import Preparation
from run.session import refuse_other_data
from storage.checkpoint import load_state
from tests.contract.test_earlier_runs import RUNS
from tests.pictures import load, refusal, write_npz


@pytest.fixture
def data(tmp_path: Path) -> ImageData:
    return load(write_npz(tmp_path / "a.npz"))


def begun(data: ImageData, preparation: Preparation) -> RunState:
    state = load_state(RUNS / "v0_1_0")[1]
    return replace(state, data=replace(state.data, dataset="a.npz"), facts=replace(data.facts, preparation=preparation))


def test_a_run_goes_on_where_pictures_come_out_as_they_did(data: ImageData) -> None:
    assert load_state(RUNS / "v0_1_0")[1].facts.preparation == Preparation(version=1)
    for preparation in (Preparation(version=1), data.preparation):
        refuse_other_data(data, begun(data, preparation))


def test_data_that_come_out_otherwise_are_refused_with_the_flag_that_names_them(data: ImageData) -> None:
    other = replace(data, fingerprint="1" * 64)
    earlier = refusal(lambda: refuse_other_data(other, begun(data, Preparation(version=1))))
    assert "the rules for pictures have changed (version 1, now 2: orientation" in earlier
    assert "or start a new run in another --output_dir" in earlier
    now = refusal(lambda: refuse_other_data(other, begun(data, data.preparation)))
    assert "rules" not in now
    for message in (earlier, now):
        assert "is not the one this run began with" in message
        assert "name the right" in message
        assert "--dataset" in message
