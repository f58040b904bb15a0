"""The command plots.py: a run's figure again, and networks drawn and explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import plots
from image_data.catalogue import NAMED_SETS, read_source
from records import DataConfig, EvolutionConfig, InputError, RunState, TrainingConfig, TrainingResult
from records.canonical import content_hash
from records.runs import DataFacts
from records.texts import JobKey
from records.trainings import Epoch
from reporting.figures.progress import draw_progress
from reporting.figures.theme import save_figure
from search_space.cost import model_cost
from search_space.genes import EXTENDED, STANDARD
from search_space.tables import gene_table_text
from storage.checkpoint import save_state
from storage.directory import RunDirectory
from storage.own_files import LIST_NAME
from tests.pictures import check_files
from tests.reporting.drawings.networks import ALL_GENES, NETWORKS, PLAIN
from tests.reporting.examples import generation, generation_rows


# The command
def run(*arguments: str) -> int:
    return plots.main(["--chromosome", PLAIN, *arguments])


@pytest.mark.parametrize(
    ("kind", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("SVG", b"<?xml")]
)
def test_the_command_draws_a_network_and_says_where(
    kind: str, start: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / f"network.{kind}"
    assert run("--out", str(path)) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_bytes().startswith(start)


def test_the_drawing_has_a_name_where_nobody_gave_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [LIST_NAME, "network.svg"]


def test_explaining_prints_every_bit_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("--explain", "--dataset", "digits") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:20]] == [[str(locus), bit] for locus, bit in enumerate(PLAIN)]
    assert lines[1].split(maxsplit=2)[2] == "filter_multiplier  01    32, 64, 128, 256 filters"
    assert lines[3].split(maxsplit=2)[2] == "codes for nothing"
    assert lines[21] == "7 blocks, 11 convolutions 1×1, 32→256 filters, LeakyReLU, late max pooling"
    cost = model_cost(NETWORKS["digits"])
    size = f"{cost.parameters:,} parameters, {cost.flops / 1e6:,.1f} MFLOPs"
    assert lines[22] == f"{size} an image of 1×8×8, 10 classes"
    assert not list(tmp_path.iterdir())


def test_explaining_names_the_kernels_that_small_maps_narrow(capsys: pytest.CaptureFixture[str]) -> None:
    assert plots.main(["--chromosome", "0001100000001111111", "--explain", "--dataset", "digits"]) == 0
    assert "kernels, from the first layer to the last: 7×7, 3×3, 1×1" in capsys.readouterr().out


def test_a_network_is_explained_and_drawn_with_the_words_of_its_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "network.svg"
    arguments = [
        "--chromosome",
        ALL_GENES,
        "--encoding",
        "extended",
        "--input_shape",
        "1",
        "48",
        "96",
        "--classes",
        "7",
    ]
    assert plots.main([*arguments, "--explain", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert "SGD, learning rate 0.03" in out
    assert "an image of 1×48×96, 7 classes" in out
    assert out.endswith(f"{path}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.gif"], r"--out x.gif must end in .svg, .png or .pdf"),
        (["--out", "svg"], r"--out svg must end in"),
        (["--resume", "."], r"--resume draws a run and --chromosome draws a network"),
        (["--dataset", "digits", "--input_shape", "1", "8", "8"], r"leave out --input_shape"),
        (["--dataset", "digits", "--classes", "3"], r"--classes needs --input_shape"),
        (["--input_shape", "3", "4", "4"], r"at least 8×8 pixels"),
        (["--encoding", "extended"], rf"a chromosome has {EXTENDED.length} bits, but .* has 19"),
        (["--dataset", "nowhere"], r"no data set 'nowhere'"),
        (["--chromosome", "01"], r"a chromosome has 19 bits, but '01' has 2"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run(*arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--explain"], ["--out", "x.svg"], ["--dataset", "digits", "--resume", "."]])
def test_flags_of_one_network_need_its_chromosome(arguments: list[str]) -> None:
    with pytest.raises(InputError, match=f"{arguments[0]} needs --chromosome"):
        plots.main(arguments)


def test_neither_a_run_nor_a_network_is_refused() -> None:
    with pytest.raises(InputError, match="give --resume with the folder of a run, or --chromosome"):
        plots.main([])


def test_a_drawing_that_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(InputError, match=r"taken\.svg was not written by this command"):
        run("--out", str(tmp_path / "taken.svg"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to"):
        run("--out", str(tmp_path / "file" / "network.svg"))


def test_data_of_ones_own_give_their_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = np.zeros((6, 20, 24, 3), np.uint8), np.arange(6) % 3
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert run("--explain", "--dataset", str(tmp_path / "own.npz")) == 0
    assert "an image of 3×20×24, 3 classes" in capsys.readouterr().out


def test_the_known_shapes_are_those_of_the_data() -> None:
    source = read_source(DataConfig(dataset="digits"))
    height, width, channels = source.train.shape
    known = NAMED_SETS["digits"]
    assert (known.shape, known.classes) == ((channels, height, width), len(source.class_names))


def state_of(values: Sequence[Sequence[float | None]]) -> RunState:
    """The state of a run whose trainings came to these accuracies, row by row; None is a failure."""
    results: dict[JobKey, TrainingResult] = {}
    generations = []
    for row in generation_rows(values):
        individuals = []
        for individual in row.individuals:
            key = JobKey(content_hash(individual.name))
            value = None if individual.fitness is None else individual.fitness.value
            epochs = () if value is None else (Epoch(train_loss=1.0, score=value, loss=0.0),)
            results[key] = TrainingResult(key=key, status="crashed" if value is None else "done", epochs=epochs)
            individuals.append(replace(individual, jobs=(key,), fitness=results[key].fitness))
        generations.append(replace(row, individuals=tuple(individuals)))
    following = generation(len(values) + 1, [None] * len(values[0])).individuals
    return RunState(
        version="0",
        search=EvolutionConfig(population=len(values[0]), tournament_size=1, elitism=1),
        training=TrainingConfig(flip="off", crop_padding=1, precision="float32", micro_batch=128, cuda_graph="off"),
        data=DataConfig(dataset="digits"),
        facts=DataFacts(
            fingerprint="f",
            input_shape=(1, 8, 8),
            class_names=("0", "1"),
            train_images=8,
            val_images=4,
            test_images=4,
        ),
        gene_table=gene_table_text(STANDARD),
        generations=tuple(generations),
        results=results,
        population=following,
    )


def test_the_command_draws_the_figures_of_a_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "run")
    values: list[list[float | None]] = [[0.2, None], [0.3, 0.4]]
    save_state(run, state_of(values))
    assert plots.main(["--resume", str(run.root)]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    check_files(printed, run.figures, "fitness")
    expected = save_figure(draw_progress(generation_rows(values)), tmp_path, "expected")
    assert printed[1].read_bytes() == expected[1].read_bytes()
    assert plots.main(["--resume", str(run.state(2))]) == 0
    assert [Path(line) for line in capsys.readouterr().out.splitlines()] == printed


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        plots.main(["--resume", str(tmp_path)])
