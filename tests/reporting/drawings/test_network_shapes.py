"""The geometry of drawings: all that a network has is there, in its order, and nothing covers anything else."""

from __future__ import annotations

from itertools import groupby, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from records.texts import Chromosome
from reporting.drawings.layout import filter_width, map_height
from reporting.drawings.legend import legend_shapes
from reporting.drawings.network_shapes import network_shapes
from reporting.drawings.shapes import Drawing, Shape, Text
from search_space.architecture import Architecture, Layer, architecture_of, network_text
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED, STANDARD, Gene, GeneTable

MANY_LAYERS = GeneTable(
    (Gene("residual", (0,), (False, True)), *(Gene(f"block_{n}", (n,), (15, 16)) for n in range(1, 8))), 8
)
WIDE = GeneTable((Gene("filter_multiplier", (0,), (1, 64)), Gene("kernel", (1,), (3, 63))), 2)
SMALL = Chromosome("0000100000001111111")


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Networks of any table for images of any shape."""
    table = draw(st.sampled_from([STANDARD, STANDARD, EXTENDED, EXTENDED, MANY_LAYERS, WIDE]))
    side = st.integers(8, 300)
    shape = (draw(st.sampled_from([1, 3])), draw(side), draw(side))
    encoding = Encoding(shape, draw(st.integers(2, 1000)), table)
    return decode(encoding, draw(st.text("01", min_size=table.length, max_size=table.length).map(Chromosome)))


def of_role(drawing: Drawing, role: str) -> list[Shape]:
    return [shape for shape in drawing.shapes if shape.role == role]


def on_the_flow(drawing: Drawing) -> list[Shape]:
    return [shape for shape in drawing.shapes if shape.role != "block"]


def in_lines(drawing: Drawing) -> list[list[Text]]:
    """The texts of each base line, from left to right."""
    ordered = sorted(drawing.texts, key=lambda text: (text.y, text.x))
    return [list(line) for _, line in groupby(ordered, key=lambda text: text.y)]


@given(architecture=architectures(), brief=st.booleans())
@settings(max_examples=200, deadline=None)
def test_nothing_lies_outside_the_drawing(architecture: Architecture, brief: bool) -> None:
    drawing = network_shapes(architecture, brief)
    points = [corner for shape in (*drawing.shapes, *drawing.marks) for corner in shape.corners]
    points += [point for line in drawing.lines for point in line.points]
    points += [(x, text.y) for text in drawing.texts for x in text.span]
    points += drawing.sums
    assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in points)


@given(architecture=architectures())
@settings(max_examples=200, deadline=None)
def test_every_layer_is_a_box_and_boxes_follow_each_other(architecture: Architecture) -> None:
    drawing = network_shapes(architecture)
    boxes = on_the_flow(drawing)
    assert all(one.x + one.width <= other.x for one, other in pairwise(boxes))
    assert len(of_role(drawing, "convolution")) == len(architecture.layers)
    assert len(of_role(drawing, "pooling")) == sum(layer.pool for layer in architecture.layers)
    assert len(of_role(drawing, "excitation")) == len(architecture.blocks) * architecture.squeeze_excitation
    assert len(of_role(drawing, "dropout")) == (architecture.dropout > 0)
    assert [box.role for box in boxes if box.role not in ("convolution", "pooling", "excitation")] == [
        *(["input"] * architecture.input_shape[0]),
        "average",
        *(["dropout"] if architecture.dropout else []),
        "linear",
    ]


@given(architecture=architectures())
@settings(max_examples=200, deadline=None)
def test_blocks_do_not_overlap_and_hold_their_layers(architecture: Architecture) -> None:
    drawing = network_shapes(architecture)
    blocks, convolutions = of_role(drawing, "block"), of_role(drawing, "convolution")
    assert drawing.shapes[: len(blocks)] == tuple(blocks)  # behind all others
    assert all(one.x + one.width < other.x for one, other in pairwise(blocks))
    held = [sum(block.x < box.x < block.x + block.width for box in convolutions) for block in blocks]
    assert tuple(held) == architecture.blocks


@given(architecture=architectures())
@settings(max_examples=200, deadline=None)
def test_heights_are_those_of_the_maps_and_never_grow(architecture: Architecture) -> None:
    drawing = network_shapes(architecture)
    given_heights = [
        map_height(-(-height // layer.stride), -(-width // layer.stride))
        for layer, _, height, width in architecture.feature_maps()
    ]
    assert [box.right for box in of_role(drawing, "convolution")] == given_heights
    edges = [edge for box in on_the_flow(drawing)[:-1] for edge in (box.left, box.right) if box.role != "dropout"]
    assert all(left >= right for left, right in pairwise(edges))
    strided = [box.left > box.right for box in of_role(drawing, "convolution")]
    assert strided == [layer.stride > 1 for layer in architecture.layers]


@given(architecture=architectures(), brief=st.booleans())
@settings(max_examples=200, deadline=None)
def test_texts_are_not_empty_and_do_not_touch(architecture: Architecture, brief: bool) -> None:
    drawing = network_shapes(architecture, brief)
    assert all(text.words.strip() for text in drawing.texts)
    for line in in_lines(drawing):
        assert all(one.span[1] + 1 <= other.span[0] for one, other in pairwise(line))


@given(architecture=architectures())
@settings(max_examples=100, deadline=None)
def test_a_shortcut_of_each_block_is_added_where_the_block_ends(architecture: Architecture) -> None:
    drawing = network_shapes(architecture)
    blocks = of_role(drawing, "block")
    if not architecture.residual:
        assert not drawing.sums
        assert not any(line.role == "shortcut" for line in drawing.lines)
        return
    shortcuts = [line for line in drawing.lines if line.role == "shortcut" and len(line.points) == 4][: len(blocks)]
    for block, shortcut, (x, y) in zip(blocks, shortcuts, drawing.sums, strict=True):
        assert shortcut.points[0][0] < block.x
        assert x > block.x + block.width
        assert y == block.y
        assert shortcut.points[1][1] < block.y - block.left / 2  # over it
    projected = sum(members[0][1] != members[-1][0].filters for members in architecture.stem_and_blocks()[1])
    assert sum(mark.role == "projection" for mark in drawing.marks) == projected + 1  # and one in the legend


@given(architecture=architectures())
@settings(max_examples=50, deadline=None)
def test_equal_networks_are_equal_drawings(architecture: Architecture) -> None:
    assert network_shapes(architecture) == network_shapes(architecture)


@given(
    bits=st.text("01", min_size=4, max_size=4).map(Chromosome),
    chromosome=st.text("01", min_size=19, max_size=19).map(Chromosome),
)
def test_bits_that_code_for_nothing_do_not_show(bits: str, chromosome: Chromosome) -> None:
    other = list(chromosome)
    for locus, bit in zip((2, 5, 8, 11), bits, strict=True):
        other[locus] = bit
    encoding = Encoding((3, 32, 32), 10)
    assert network_shapes(decode(encoding, chromosome)) == network_shapes(decode(encoding, Chromosome("".join(other))))


def test_a_network_without_its_blocks_is_drawn_without_their_row() -> None:
    architecture = decode(Encoding((3, 32, 32), 10), SMALL)
    drawing = network_shapes(architecture_of(network_text(architecture)))
    assert not of_role(drawing, "block")
    assert len(of_role(drawing, "convolution")) == 7
    assert "block" not in [text.words for text in drawing.texts]


def test_labels_say_what_each_stage_is() -> None:
    drawing = network_shapes(decode(Encoding((1, 28, 28), 10), Chromosome("0101100100001111111")))
    rows = {line[0].words: [text.words for text in line[1:]] for line in in_lines(drawing)}
    assert rows["block"] == ["input", "1", "2", "3", "4", "5", "6", "7", "head"]
    assert rows["map"] == ["28×28", "28×28", "14×14", "7×7", "3×3"]
    assert rows["filters"] == ["grey", "32", "64", "128", "256"]
    assert rows["kernel"] == ["7×7", "7×7", "7×7", "5×5"]
    words = [text.words for text in drawing.texts]
    assert "convolution, batch normalisation, LeakyReLU" in words
    assert "max pooling 2×2" in words


def test_a_stem_is_named_and_marked() -> None:
    drawing = network_shapes(decode(Encoding((3, 224, 224), 1000), SMALL))
    words = [text.words for text in drawing.texts]
    assert "stem" in words
    assert "the same, stride 2" in words
    assert {"112×112", "56×56"} <= set(words)


def test_a_layer_of_its_own_kind_within_a_block_has_a_label_of_its_own() -> None:
    layers = (Layer(16, 3), Layer(16, 5), Layer(24, 5, pool=True))
    drawing = network_shapes(Architecture((2, 16, 16), 4, "ReLU", "max", layers, (3,)))
    rows = {line[0].words: [text.words for text in line[1:]] for line in in_lines(drawing)}
    assert rows["kernel"] == ["3×3", "5×5", "5×5"]
    assert rows["filters"] == ["2", "16", "16", "24"]


def test_112_layers_are_a_picture_still() -> None:
    architecture = decode(Encoding((3, 32, 32), 10, MANY_LAYERS), Chromosome("01111111"))
    assert len(architecture.layers) == 112
    drawing = network_shapes(architecture)
    assert drawing.width < 1200
    assert min(box.width for box in of_role(drawing, "convolution")) >= 2


def test_one_pixel_is_seen_and_many_filters_are_not_huge() -> None:
    assert 10 < map_height(1, 1) < map_height(2, 2) < map_height(64, 64) < 150
    assert map_height(48, 96) == map_height(96, 48)
    assert 5 < filter_width(16) < filter_width(32) < filter_width(8192) < 60


def test_the_common_legend_says_what_brief_ones_leave_out() -> None:
    architecture = decode(Encoding((3, 32, 32), 10), SMALL)
    whole, brief = ({text.words for text in network_shapes(architecture, each).texts} for each in (False, True))
    common = {text.words for text in legend_shapes().texts}
    assert common <= whole
    assert not common & brief
