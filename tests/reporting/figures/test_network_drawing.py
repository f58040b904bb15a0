"""Figures and small SVGs of networks, and the command that draws and explains one."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import plots
from image_data.catalogue import NAMED_SETS, SHAPES, read_source
from records import DataConfig, InputError
from records.errors import SaveError
from records.texts import Chromosome
from reporting.drawings.network_figure import draw_network
from reporting.drawings.network_svg import legend_svg, network_svg
from reporting.figures.theme import figure_bytes, inline_svg
from search_space.architecture import Architecture
from search_space.cost import model_cost
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED, Gene, GeneTable

PLAIN = Chromosome("0110010110110011010")
ALL_GENES = PLAIN + "11" + "11" + "0" * 10  # residual, squeeze-and-excitation, dropout
COLOURED = Encoding((3, 32, 32), 10)
MANY_LAYERS = GeneTable(tuple(Gene(f"block_{n}", (n - 1,), (16, 16)) for n in range(1, 8)), 7)
NETWORKS = {
    "plain": decode(COLOURED, PLAIN),
    "all genes": decode(Encoding((3, 32, 32), 100, EXTENDED), Chromosome(ALL_GENES)),
    "digits": decode(Encoding((1, 8, 8), 10), PLAIN),
    "a stem": decode(Encoding((3, 224, 224), 1000), PLAIN),
    "112 layers": decode(Encoding((3, 32, 32), 10, MANY_LAYERS), Chromosome("0" * 7)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_a_network_is_a_file_of_any_kind_and_equal_networks_are_equal_files(name: str, kind: str) -> None:
    one, two = (figure_bytes(draw_network(NETWORKS[name], "title"), kind) for _ in "ab")
    assert one == two
    if kind == "png":
        with Image.open(io.BytesIO(one)) as picture:
            assert np.asarray(picture.convert("L")).min() < 128


@pytest.mark.parametrize("name", NETWORKS)
def test_texts_of_a_figure_do_not_touch_as_they_are_drawn(name: str) -> None:
    figure = draw_network(NETWORKS[name], f"{PLAIN}\nlearning rate 0.1")
    FigureCanvasAgg(figure)
    lines: dict[float, list[tuple[float, float]]] = {}
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        lines.setdefault(text.get_position()[1], []).append((box.x0, box.x1))
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
    for spans in lines.values():
        assert all(one[1] < other[0] for one, other in pairwise(sorted(spans)))


def test_a_long_title_is_broken_and_no_part_of_it_is_a_formula() -> None:
    figure = draw_network(NETWORKS["digits"], "$x_1$ " * 40)
    figure_bytes(figure, "png")
    found = " ".join(text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("$x_1$"))
    assert found.split() == ["$x_1$"] * 40


def test_a_figure_on_a_page_takes_the_colours_of_the_page() -> None:
    svg = inline_svg(draw_network(NETWORKS["all genes"]), "network")
    ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert {"blue", "orange", "purple", "amber", "green", "grey", "ink"} <= set(re.findall(r"var\(--(\w+)\)", svg))
    assert not re.search(r"#[0-9a-f]{6}\b(?<!#000000)", svg)


@given(
    chromosome=st.text("01", min_size=33, max_size=33).map(Chromosome),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(8, 300), st.integers(8, 300)),
    classes=st.integers(2, 1000),
)
@settings(max_examples=100, deadline=None)
def test_a_small_svg_is_sound_small_and_takes_the_colours_of_the_page(
    chromosome: Chromosome, shape: tuple[int, int, int], classes: int
) -> None:
    architecture = decode(Encoding(shape, classes, EXTENDED), chromosome)
    svg = network_svg(architecture)
    root = ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert root.get("role") == "img"
    assert architecture.describe() in (root.get("aria-label") or "")
    assert len(svg.encode()) < (4500 if architecture.has_blocks else 3000)
    assert not re.search(r"#|http|\bid=", svg)
    assert "var(--blue)" in svg


def test_six_hundred_plain_networks_leave_half_a_page_for_the_rest() -> None:
    assert 600 * len(network_svg(NETWORKS["plain"]).encode()) < 1.5e6
    assert 600 * len(network_svg(NETWORKS["all genes"]).encode()) < 2.5e6
    assert len(network_svg(NETWORKS["112 layers"]).encode()) < 5000


def test_equal_networks_are_equal_small_svgs_and_others_are_not() -> None:
    again = decode(COLOURED, Chromosome("0100010110100011010"))  # differs in bits that code for nothing
    assert network_svg(again) == network_svg(NETWORKS["plain"])
    assert len({network_svg(architecture) for architecture in NETWORKS.values()}) == len(NETWORKS)


def test_text_is_escaped_in_a_small_svg() -> None:
    architecture = replace(NETWORKS["plain"], activation='<b> & "ReLU"')
    svg = network_svg(architecture)
    root = ElementTree.fromstring(svg)  # noqa: S314 our own text
    assert "<b>" not in svg
    assert any('<b> & "ReLU"' in text for text in root.itertext())
    assert '<b> & "ReLU"' in (root.get("aria-label") or "")


def shapes_of(svg: str, colour: str) -> int:
    root = ElementTree.fromstring(svg)  # noqa: S314 our own text
    return sum((path.get("d") or "").count("M") for path in root if f"fill:var(--{colour})" == path.get("style"))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_small_svg_shows_every_layer(name: str) -> None:
    architecture: Architecture = NETWORKS[name]
    svg = network_svg(architecture)
    signs = 1 + any(layer.stride > 1 for layer in architecture.layers)  # of the legend
    projected = sum(block[0][1] != block[-1][0].filters for block in architecture.stem_and_blocks()[1])
    shortcuts = projected + 1 if architecture.residual else 0
    assert shapes_of(svg, "blue") == len(architecture.layers) + signs + shortcuts
    assert shapes_of(svg, "amber") == shapes_of(svg, "green") == 1


def test_the_common_legend_of_small_svgs_names_its_colours() -> None:
    root = ElementTree.fromstring(legend_svg())  # noqa: S314 our own text
    assert "amber: global average pooling; green: linear layer" in (root.get("aria-label") or "")


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
    assert [path.name for path in tmp_path.iterdir()] == ["network.svg"]


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
        (["--resume", "."], r"--resume draws a run and --chromosome one network"),
        (["--dataset", "digits", "--input_shape", "1", "8", "8"], r"leave out --input_shape"),
        (["--dataset", "digits", "--classes", "3"], r"--classes goes with --input_shape"),
        (["--input_shape", "3", "4", "4"], r"at least 8×8 pixels"),
        (["--encoding", "extended"], r"a chromosome has 33 bits, but .* has 19"),
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
    with pytest.raises(InputError, match=f"{arguments[0]} goes with --chromosome"):
        plots.main(arguments)


def test_neither_a_run_nor_a_network_is_refused() -> None:
    with pytest.raises(InputError, match="expected --resume with a run's folder, or --chromosome"):
        plots.main([])


def test_a_drawing_that_cannot_be_saved_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "taken.svg").mkdir()
    with pytest.raises(SaveError, match=r"taken\.svg"):
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
    assert tuple(SHAPES) == NAMED_SETS
    source = read_source(DataConfig(dataset="digits"))
    height, width, channels = source.train.shape
    assert SHAPES["digits"] == ((channels, height, width), len(source.class_names))
