"""State is validated, never guessed; loading never runs code. `EXAMPLES` sets the number of cases."""

from __future__ import annotations

import ast
import copy
import json
import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evolution
from records import DataConfig, Individual, InputError, Limits
from records.canonical import to_json
from records.flags import Parser
from records.runs import ModelInfo
from records.texts import Chromosome, JobKey
from run.opening import open_folder
from run.scheme import loop_of
from run.steady_loop import SteadyLoop
from run.trainings import Means
from run.work import Work
from storage.checkpoint import load_state, read_progress, read_state
from storage.directory import RunDirectory
from storage.files import DamagedFile, sealed, write_durably
from storage.results import JOB, PROGRESS, STATE, find_result, read_info
from tests.faults.small_run import (
    InlineWorkers,
    NoSignals,
    Told,
    inline,
)
from tests.program import ROOT, program_files

many = settings(
    max_examples=int(os.environ.get("EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("finished") / "run"
    inline(folder)
    return RunDirectory(folder)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value, as the container and the key or index."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


def changed(content: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The content with up to three of its parts replaced, removed, or swapped with others."""
    content = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 3))):
        all_places = list(places(content))
        if not all_places:  # a short file, of which everything has been removed
            break
        container, key = all_places[data.draw(st.integers(0, len(all_places) - 1))]
        how = data.draw(st.sampled_from(["replace", "remove", "swap"]))
        if how == "replace":
            container[key] = data.draw(values)
        elif how == "remove":
            del container[key]
        else:
            other, other_key = all_places[data.draw(st.integers(0, len(all_places) - 1))]
            container[key] = copy.deepcopy(other[other_key])
    return content


@pytest.fixture(scope="module")
def finished_rich(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run with halving, the predictor and two objectives."""
    folder = tmp_path_factory.mktemp("finished_rich") / "run"
    inline(folder, variant="rich")
    return RunDirectory(folder)


@many
@given(data=st.data())
def test_a_changed_state_is_accepted_and_equal_or_refused(
    data: st.DataObject, finished: RunDirectory, tmp_path: Path
) -> None:
    check_a_changed_state(data, finished, tmp_path)


@settings(many, max_examples=max(1, many.max_examples // 5))
@given(data=st.data())
def test_a_changed_rich_state_is_accepted_and_equal_or_refused(
    data: st.DataObject, finished_rich: RunDirectory, tmp_path: Path
) -> None:
    check_a_changed_state(data, finished_rich, tmp_path)


def check_a_changed_state(data: st.DataObject, finished: RunDirectory, tmp_path: Path) -> None:
    states = finished.states()
    number, path = states[data.draw(st.integers(0, len(states) - 1))]
    content = changed(json.loads(path.read_text())["content"], data)
    copied = tmp_path / f"state_{number}.json"
    copied.write_bytes(sealed(STATE, content))
    try:
        state = read_state(copied)
    except DamagedFile as refusal:
        assert str(copied) in str(refusal)
        with pytest.raises(InputError):
            load_state(copied)
        return
    assert json.loads(json.dumps(to_json(state))) == content
    # What was accepted can be gone on with.
    run = RunDirectory(tmp_path / "run")
    work = Work(run, state, means(run), Told(print))
    loop = loop_of(work)
    if isinstance(loop, SteadyLoop):
        loop.go_on()
    work.history.write(work.individuals(), work.individuals())
    work.engine.ask()


def means(run: RunDirectory) -> Means:
    return Means(workers=InlineWorkers(run), stop=NoSignals(), limits=Limits())


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished steady-state run: each state with the progress after it."""
    folder = tmp_path_factory.mktemp("steady") / "run"
    inline(folder, variant="steady")
    return RunDirectory(folder)


@settings(many, max_examples=max(1, many.max_examples // 5))
@given(data=st.data())
def test_a_changed_steady_state_is_accepted_and_equal_or_refused(
    data: st.DataObject, steady: RunDirectory, tmp_path: Path
) -> None:
    check_a_changed_state(data, steady, tmp_path)


@settings(many, max_examples=max(1, many.max_examples // 3))
@given(data=st.data())
def test_a_changed_progress_is_accepted_and_gone_on_with_or_refused(data: st.DataObject, steady: RunDirectory) -> None:
    number = data.draw(st.integers(0, 2))
    state, path = read_state(steady.state(number)), steady.progress(number)
    whole = path.read_bytes()
    path.write_bytes(sealed(PROGRESS, changed(json.loads(whole)["content"], data)))
    try:
        read_progress(steady, state)
    except DamagedFile as refusal:
        assert str(path) in str(refusal)
    else:
        loop = SteadyLoop(Work(steady, state, means(steady), Told(print)))
        loop.go_on()
        assert len(loop.engine.taken) >= len(state.order)
        assert all(each.jobs[-1] in loop.trainings.results for each in loop.engine.taken)
    finally:
        path.write_bytes(whole)


@many
@given(data=st.data())
def test_a_changed_result_is_accepted_and_equal_or_refused(
    data: st.DataObject, finished: RunDirectory, tmp_path: Path
) -> None:
    paths = sorted(finished.jobs.iterdir())
    path = paths[data.draw(st.integers(0, len(paths) - 1))]
    content = changed(json.loads(path.read_text())["content"], data)
    run = RunDirectory(tmp_path)
    write_durably(run.job(JobKey(path.stem)), sealed(JOB, content))
    try:
        result = find_result(run, JobKey(path.stem))
    except DamagedFile as refusal:
        assert str(run.job(JobKey(path.stem))) in str(refusal)
        return
    assert result is not None
    assert json.loads(json.dumps(to_json(result))) == content
    inside = (tmp_path / (result.weights or "")).resolve()
    assert inside.is_relative_to(tmp_path.resolve())


@many
@given(data=st.data())
def test_a_changed_info_is_accepted_and_equal_or_refused(
    data: st.DataObject, finished: RunDirectory, tmp_path: Path
) -> None:
    original = finished.individual("gen2/ind2") / "info.json"
    content = changed(json.loads(original.read_text())["content"], data)
    copied = tmp_path / "info.json"
    copied.write_bytes(sealed("model_info", content))
    try:
        info = read_info(copied)
    except InputError as refusal:
        assert str(copied) in str(refusal)
        assert "\n" not in str(refusal)
        return
    assert isinstance(info, ModelInfo)
    assert json.loads(json.dumps(to_json(info))) == content


@many
@given(content=st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused_as_state_result_and_info(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFile):
        read_state(path)
    with pytest.raises(InputError):
        read_info(path)
    with pytest.raises(InputError):
        load_state(path)


def flags() -> list[str]:
    return [flag for action in evolution.build_parser()._actions for flag in action.option_strings]


words = st.one_of(
    st.sampled_from(flags()),
    st.sampled_from(flags()).map(lambda flag: flag.replace("_", "-")[:-1]),
    st.sampled_from(["0", "1", "-1", "3", "1e9", "nan", "inf", "", "digits", "none", "all", "auto", "/", "--", "="]),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=8).filter(lambda text: "\0" not in text),
)


@many
@given(arguments=st.lists(words, max_size=6))
def test_any_command_line_is_understood_or_refused_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser: Parser = evolution.build_parser()
    try:
        open_folder(evolution.request_of(parser.parse(arguments)))
    except InputError as refusal:
        assert str(refusal)
        assert "Traceback" not in str(refusal)
    except SystemExit as end:
        assert end.code == 0  # --help, --version
    capsys.readouterr()


class Bomb:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_as_weights_and_as_data(tmp_path: Path) -> None:
    from image_data import load_image_data
    from model_generator import load_model
    from search_space.architecture import architecture_of
    from search_space.encoding import Encoding

    target = tmp_path / "made by the bomb"
    plain, zipped, arrays = tmp_path / "plain.pt", tmp_path / "zipped.pt", tmp_path / "arrays.npz"
    plain.write_bytes(pickle.dumps(Bomb(target)))
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(target)))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    bombs = np.empty(4, dtype=object)
    bombs[:] = [Bomb(target)] * 4
    np.savez(arrays, x_train=bombs, y_train=np.arange(4), x_test=bombs, y_test=np.arange(4))
    architecture = architecture_of(Encoding((1, 8, 8), 10).phenotype(Chromosome("0" * 19)))
    for path in (plain, zipped):
        with pytest.raises(InputError, match="is not a weights file"):
            load_model(path, architecture)
    with pytest.raises(InputError, match="plain arrays"):
        load_image_data(DataConfig(dataset=str(arrays)))
    assert not target.exists()


def test_no_module_unpickles_or_evaluates() -> None:
    for path in program_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            assert name not in ("eval", "exec", "compile", "__import__"), where
            assert not name.startswith(("pickle.", "marshal.", "shelve.", "dill.", "joblib.")), where
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name == "torch.load":
                assert options.get("weights_only") == "True", where
            if name in ("np.load", "numpy.load"):
                assert options.get("allow_pickle") == "False", where


@pytest.mark.parametrize("weights", ["/etc/passwd", "../outside.pt", "results/../../outside.pt"])
def test_a_path_that_leaves_the_run_is_refused(weights: str, finished: RunDirectory, tmp_path: Path) -> None:
    path = sorted(finished.jobs.iterdir())[0]
    content = json.loads(path.read_text())["content"]
    run = RunDirectory(tmp_path)
    write_durably(run.job(JobKey(path.stem)), sealed(JOB, {**content, "weights": weights}))
    with pytest.raises(DamagedFile, match="inside the run's folder"):
        find_result(run, JobKey(path.stem))


def test_control_characters_from_files_do_not_reach_the_terminal() -> None:
    from io import StringIO

    from rich.console import Console as Terminal

    from reporting.console import Console

    output = StringIO()
    console = Console(terminal=Terminal(file=output, force_terminal=True, width=80, highlight=False))
    console.say("class \x1b[2J\x1b]0;title\x07 [bold]name[/bold]")
    assert "\x1b[2J" not in output.getvalue()
    assert "\x07" not in output.getvalue()
    assert "[bold]name[/bold]" in output.getvalue()


def test_an_individual_name_is_made_of_numbers_alone() -> None:
    """Folders are named after individuals, so a name must not lead out of the run's folder."""
    assert Individual(generation=1, index=2, chromosome=Chromosome(""), origin="random").name == "gen1/ind2"
