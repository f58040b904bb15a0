"""From an architecture to a module, what it costs, and weights files that are read or refused."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from model_generator import (
    ACTIVATIONS,
    POOLINGS,
    GlobalAveragePool,
    ResidualBlock,
    SqueezeExcitation,
    build_model,
    load_model,
    weights_bytes,
)
from records import InputError
from records.texts import Chromosome
from search_space.architecture import Architecture, Layer
from search_space.cost import model_cost
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED, NETWORK_TRAITS
from tests.builders import chromosome as chromosome_with
from tests.builders import chromosomes as any_chromosome
from training.small_maps import Convolution

SHAPES = [(1, 8, 8), (3, 32, 32), (3, 200, 120), (1, 9, 31), (1, 67, 133)]
SMALL = Chromosome(
    "0000100000001111111"
)  # 16 filters, kernels of 3, ReLU, early maximum pooling, one convolution a block

chromosomes = any_chromosome()
shapes = st.sampled_from(SHAPES)
relaxed = settings(deadline=None, max_examples=25)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """These networks are small: threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def architecture(
    chromosome: Chromosome = SMALL, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10
) -> Architecture:
    return decode(Encoding(shape, classes), chromosome)


def images(shape: tuple[int, int, int], count: int = 4, seed: int = 0) -> Tensor:
    """Random pixels: (count, C, H, W) uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)


def on_meta(network: Architecture) -> nn.Sequential:
    """The module without memory for its weights: shapes and counts only."""
    with torch.device("meta"):
        return build_model(network)


def convolutions(model: nn.Sequential) -> list[nn.Conv2d]:
    return [module for module in model if isinstance(module, nn.Conv2d)]


def new_model(network: Architecture, seed: int = 0) -> nn.Sequential:
    """A network whose normalisation has seen images, as after a training, in evaluation mode."""
    torch.manual_seed(seed)
    channels = network.input_shape[0]
    model = build_model(network, [100.0] * channels, [50.0] * channels)
    with torch.no_grad():
        model.train()(images(network.input_shape, 8, seed))
    return model.eval()


# Costs


@given(chromosomes, shapes, st.integers(2, 100))
@settings(relaxed, max_examples=15)
def test_parameters_and_flops_are_those_of_the_real_module(
    chromosome: Chromosome, shape: tuple[int, int, int], classes: int
) -> None:
    network = architecture(chromosome, shape, classes)
    model, cost = on_meta(network).eval(), model_cost(network)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros((1, *shape), dtype=torch.uint8, device="meta"))
    assert cost.flops == counter.get_total_flops()


def test_known_costs_of_a_small_network() -> None:
    """Counted by hand: 3×3 convolutions on maps of 8, 4, 4, 2, 2, 1, 1 pixels, the last ones 1×1."""
    cost = model_cost(architecture())
    weights = [9 * 16, 9 * 16 * 32, 9 * 32 * 32, 9 * 32 * 64, 9 * 64 * 64, 64 * 128, 128 * 128]
    pixels = [64, 16, 16, 4, 4, 1, 1]
    filters = [16, 32, 32, 64, 64, 128, 128]
    assert cost.parameters == sum(weights) + 2 * sum(filters) + 128 * 10 + 10
    assert cost.flops == 2 * sum(each * area for each, area in zip(weights, pixels, strict=True)) + 2 * 128 * 10


def kept_for_backward(network: Architecture, count: int) -> int:
    """Bytes that autograd keeps for the backward pass of `count` images, weights left out."""
    model = build_model(network)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(images(network.input_shape, count))
    assert output.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("activation", ["00", "01", "10", "11"])
@pytest.mark.parametrize("pooling", ["00", "11"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_the_memory_estimate_is_within_a_factor_of_two(
    activation: str, pooling: str, shape: tuple[int, int, int]
) -> None:
    network = architecture(Chromosome(f"000010{activation}0{pooling}01111111"), shape)
    cost = model_cost(network)
    assert 0.5 < 8 * 4 * cost.activations / kept_for_backward(network, 8) < 2
    need = cost.memory()
    assert need.bytes(8) - need.bytes(0) == 8 * 4 * (cost.activations + 2 * cost.patches)
    assert need.bytes(0) > 3 * 4 * cost.parameters  # weights, gradients, momentum
    assert cost.memory(bytes_per_value=2).bytes(8) < need.bytes(8)


# The module


@given(chromosomes, shapes, st.integers(2, 100), st.integers(1, 5))
@relaxed
def test_every_network_gives_one_value_for_each_image_and_class(
    chromosome: Chromosome, shape: tuple[int, int, int], classes: int, count: int
) -> None:
    model = on_meta(architecture(chromosome, shape, classes)).eval()
    logits = model(torch.zeros((count, *shape), dtype=torch.uint8, device="meta"))
    assert logits.shape == (count, classes)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("chromosome", ["0000000000001111111", "0001000100100101010", "0001100110011111110"])
def test_pixels_pass_forward_and_gradients_reach_every_weight(
    shape: tuple[int, int, int], chromosome: Chromosome
) -> None:
    torch.manual_seed(0)
    model = build_model(architecture(chromosome, shape), [127.0] * shape[0], [70.0] * shape[0])
    logits = model.train()(images(shape))
    assert logits.shape == (4, 10)
    assert logits.isfinite().all()
    functional.cross_entropy(logits, torch.arange(4)).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0


@given(chromosomes, shapes)
@relaxed
def test_pooling_sits_between_the_last_convolution_of_its_block_and_the_normalisation(
    chromosome: Chromosome, shape: tuple[int, int, int]
) -> None:
    network = architecture(chromosome, shape)
    kinds = [type(module) for module in on_meta(network)]
    pool = nn.AvgPool2d if chromosome[9] == "1" else nn.MaxPool2d
    activation = {"00": nn.ReLU, "01": nn.LeakyReLU, "10": nn.ELU, "11": nn.GELU}[chromosome[6:8]]
    body: list[type] = []
    for layer in network.layers:
        body += [Convolution, *([pool] if layer.pool else []), nn.BatchNorm2d, activation]
    assert kinds[1:] == [*body, GlobalAveragePool, nn.Linear]
    assert kinds.count(pool) == 3


@given(chromosomes, shapes)
@relaxed
def test_convolutions_have_no_bias_and_keep_the_size_but_for_the_stem(
    chromosome: Chromosome, shape: tuple[int, int, int]
) -> None:
    network = architecture(chromosome, shape)
    for layer, module in zip(network.layers, convolutions(on_meta(network)), strict=True):
        assert module.bias is None
        assert module.out_channels == layer.filters
        assert module.kernel_size == (layer.kernel, layer.kernel)
        assert module.stride == (layer.stride, layer.stride)
        assert module.padding == (layer.kernel // 2, layer.kernel // 2)


@given(chromosomes, shapes)
@relaxed
def test_every_convolution_reads_a_map_of_the_size_that_the_architecture_says(
    chromosome: Chromosome, shape: tuple[int, int, int]
) -> None:
    network = architecture(chromosome, shape)
    model = on_meta(network).eval()
    read: list[tuple[int, ...]] = []
    for module in convolutions(model):
        module.register_forward_pre_hook(lambda _, arguments: read.append(tuple(arguments[0].shape[1:])))
    model(torch.zeros((1, *shape), dtype=torch.uint8, device="meta"))
    assert read == [tuple(each[1:]) for each in network.feature_maps()]


def test_the_same_seed_draws_the_same_weights_and_another_others() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_model(architecture()).state_dict())
    first, same, other = states
    assert all(first[name].equal(same[name]) for name in first)
    assert not first["1.weight"].equal(other["1.weight"])


def test_fresh_weights_have_the_variance_that_keeps_signals_alive() -> None:
    torch.manual_seed(0)
    for module in convolutions(build_model(architecture(Chromosome("1100100000000000000"), (3, 32, 32)))):
        fan_in = module.in_channels * module.kernel_size[0] ** 2
        assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)


# Kernels wider than their maps


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 3, 5, 7]),
    st.integers(0, 9),
)
@relaxed
def test_weights_beyond_2s_minus_1_only_ever_multiply_padding(
    height: int, width: int, wide: int, cut: int, seed: int
) -> None:
    """A kernel cut to 2s−1, or anything between, computes what the wide one does; a narrower one does not."""
    cut, limit = min(wide, cut), 2 * max(height, width) - 1
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn((2, 3, height, width), generator=generator, dtype=torch.float64)
    weight = torch.randn((4, 3, wide, wide), generator=generator, dtype=torch.float64)
    margin = (wide - cut) // 2
    central = weight[:, :, margin : wide - margin, margin : wide - margin]
    same = torch.allclose(
        functional.conv2d(maps, weight, padding=wide // 2), functional.conv2d(maps, central, padding=cut // 2)
    )
    assert same == (cut >= min(wide, limit))


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ((1, 8, 8), "01"),
        ((1, 8, 8), "10"),
        ((1, 8, 8), "11"),
        ((3, 8, 12), "01"),
        ((3, 12, 8), "11"),
        ((1, 9, 31), "11"),
    ],
)
def test_a_network_of_cut_kernels_computes_what_that_of_full_kernels_does(
    shape: tuple[int, int, int], code: str
) -> None:
    network = architecture(Chromosome(f"000{code}00000001111111"), shape)
    kernel = 2 * int(code, 2) + 1
    full_network = replace(network, layers=tuple(replace(layer, kernel=kernel) for layer in network.layers))
    full, cut = new_model(full_network).double(), build_model(network).double().eval()
    state = full.state_dict()
    for name, weight in cut.state_dict().items():
        margin = (state[name].shape[-1] - weight.shape[-1]) // 2 if weight.ndim == 4 else 0
        if margin:
            state[name] = state[name][:, :, margin:-margin, margin:-margin]
    cut.load_state_dict(state)
    assert sum(each.numel() for each in cut.parameters()) < sum(each.numel() for each in full.parameters())
    pixels = images(shape)
    torch.testing.assert_close(cut(pixels), full(pixels))


# Normalisation


def test_pixels_are_normalised_to_zero_mean_and_unit_variance_by_the_given_statistics() -> None:
    pixels = images((3, 32, 32), 64)
    pixels[:, 1] = pixels[:, 1] // 2  # channels that differ
    values = pixels.double()
    mean, std = values.mean((0, 2, 3)).tolist(), values.std((0, 2, 3)).tolist()
    normalised = build_model(architecture(shape=(3, 32, 32)), mean, std)[0](pixels)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)


def test_a_channel_without_any_contrast_stays_finite() -> None:
    model = build_model(architecture(), [255.0], [0.0]).eval()
    pixels = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    assert model[0](pixels).abs().max() == 0
    assert model(pixels).isfinite().all()


def test_the_statistics_of_the_images_travel_with_the_weights(tmp_path: Path) -> None:
    mean, std = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]
    network = architecture(shape=(3, 32, 32))
    model = build_model(network, mean, std)
    state = model.state_dict()
    assert state["0.mean"].flatten().tolist() == mean
    torch.testing.assert_close(state["0.scale"].flatten(), 1 / torch.tensor(std))
    path = tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(model))
    assert load_model(path, network)[0].state_dict()["mean"].flatten().tolist() == mean


# Weights files


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 9, 31)])
@pytest.mark.parametrize("chromosome", [SMALL, "0011101110111010101"])
def test_a_weights_file_gives_back_the_network_ready_to_use(
    tmp_path: Path, shape: tuple[int, int, int], chromosome: Chromosome
) -> None:
    network = architecture(chromosome, shape)
    model = new_model(network)
    path = tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(model))
    loaded = load_model(path, network)
    assert not loaded.training
    pixels = images(shape, seed=5)
    assert loaded(pixels).equal(model(pixels))
    assert not any(module.training for module in loaded.modules())


def test_equal_weights_give_equal_bytes_and_other_weights_others() -> None:
    network = architecture()
    assert weights_bytes(new_model(network, seed=1)) == weights_bytes(new_model(network, seed=1))
    assert weights_bytes(new_model(network, seed=1)) != weights_bytes(new_model(network, seed=2))


def test_loading_and_saving_again_gives_the_same_file(tmp_path: Path) -> None:
    content = weights_bytes(new_model(architecture()))
    (tmp_path / "weights.pt").write_bytes(content)
    assert weights_bytes(load_model(tmp_path / "weights.pt", architecture())) == content


def test_a_weights_file_does_not_depend_on_the_grouping_into_blocks(tmp_path: Path) -> None:
    one_two, two_one = architecture(Chromosome("0000100000001101111")), architecture(Chromosome("0000100000001011111"))
    (tmp_path / "weights.pt").write_bytes(weights_bytes(new_model(one_two)))
    pixels = images((1, 8, 8))
    assert load_model(tmp_path / "weights.pt", two_one)(pixels).equal(new_model(one_two)(pixels))


def test_a_missing_weights_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no weights file .*gone\.pt"):
        load_model(tmp_path / "gone.pt", architecture())


def test_a_folder_is_no_weights_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a weights file"):
        load_model(tmp_path, architecture())


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"hello", b'{"weights": []}', b"PK\x03\x04 and then nothing", b"\x89PNG\r\n\x1a\n"]
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"garbage\.pt is not a weights file; expected a state_dict"):
        load_model(path, architecture())


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    content = weights_bytes(new_model(architecture()))
    path = tmp_path / "short.pt"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"short\.pt is not a weights file"):
        load_model(path, architecture())


def other_objects() -> Iterator[tuple[str, Any]]:
    yield "a tensor", torch.zeros(3)
    yield "a list", [torch.zeros(3)]
    yield "nothing", None
    yield "numbers by name", {"0.mean": 1.0}
    yield "a checkpoint around the weights", {"state_dict": build_model(architecture()).state_dict(), "epoch": 3}
    yield "the module itself", build_model(architecture())


@pytest.mark.parametrize("name", [name for name, _ in other_objects()])
def test_a_file_of_another_object_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "object.pt"
    torch.save(dict(other_objects())[name], path)
    with pytest.raises(InputError, match=r"object\.pt is not a weights file"):
        load_model(path, architecture())


class Intruder:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("wrapped", [True, False], ids=["torch.save", "pickle"])
def test_nothing_in_a_file_is_executed(tmp_path: Path, wrapped: bool) -> None:
    path, trace = tmp_path / "intruder.pt", tmp_path / "trace"
    if wrapped:
        torch.save({"0.mean": Intruder(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"0.mean": Intruder(trace)}, protocol=2))
    with pytest.raises(InputError, match=r"intruder\.pt is not a weights file"):
        load_model(path, architecture())
    assert not trace.exists()


@pytest.mark.parametrize(
    "other",
    [
        architecture(Chromosome("0100100000001111111")),  # wider
        architecture(Chromosome("0001100000001111111")),  # kernels of 7
        architecture(Chromosome("0000100000001111110")),  # one convolution more
        architecture(classes=11),
        architecture(shape=(3, 8, 8)),
        architecture(shape=(1, 80, 80)),  # with a stem
    ],
)
def test_the_weights_of_another_network_are_refused_with_both_shapes(tmp_path: Path, other: Architecture) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(weights_bytes(build_model(other)))
    with pytest.raises(InputError, match=r"does not fit the chromosome: weight \S+ has the shape .*, expected .*"):
        load_model(path, architecture())


def test_weights_with_one_missing_or_one_too_many_are_refused_by_its_name(tmp_path: Path) -> None:
    path, state = tmp_path / "odd.pt", build_model(architecture()).state_dict()
    torch.save({name: value for name, value in state.items() if name != "1.weight"}, path)
    with pytest.raises(InputError, match=r"weight 1\.weight has the shape none, expected \(16, 1, 3, 3\)"):
        load_model(path, architecture())
    torch.save({**state, "extra": torch.zeros(2)}, path)
    with pytest.raises(InputError, match=r"weight extra has the shape \(2,\), expected none"):
        load_model(path, architecture())


def test_a_network_written_down_by_hand_is_built_as_written() -> None:
    layers = Layer(8, 3, stride=2), Layer(8, 5, pool=True), Layer(12, 1)
    model = build_model(Architecture((1, 20, 20), 4, "ELU", "average", layers))
    sizes = [tuple(module.weight.shape) for module in convolutions(model)]
    assert sizes == [(8, 1, 3, 3), (8, 8, 5, 5), (12, 8, 1, 1)]
    assert model(images((1, 20, 20))).shape == (4, 4)
    assert [type(module) for module in itertools.islice(model, 1, 8)] == [
        Convolution,
        nn.BatchNorm2d,
        nn.ELU,
        Convolution,
        nn.AvgPool2d,
        nn.BatchNorm2d,
        nn.ELU,
    ]


@pytest.mark.parametrize("content", [b"a", b"seed 1\n", b".venv\n", b"G", pickle.dumps([1], protocol=4)])
def test_text_that_begins_like_a_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.txt is not a weights file"):
        load_model(path, decode(Encoding((1, 8, 8), 10), Chromosome("0" * 19)))


@pytest.mark.parametrize(
    "state", [{0: torch.zeros(1), "a": torch.zeros(1)}, {"a": 1}, [torch.zeros(1)], torch.zeros(3)]
)
def test_a_file_of_other_values_is_refused(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"other\.pt (is not a weights file|does not fit the chromosome)"):
        load_model(tmp_path / "other.pt", decode(Encoding((1, 8, 8), 10), Chromosome("0" * 19)))


def test_weights_files_do_not_depend_on_the_layout_in_memory() -> None:
    model = build_model(decode(Encoding((1, 8, 8), 10), Chromosome("0" * 19)))
    assert weights_bytes(model) == weights_bytes(model.to(memory_format=torch.channels_last))


# Networks of the extended table

EXTENDED_SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 224, 224), (3, 200, 120), (1, 9, 31)]


def extended(chromosome: Chromosome, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> Architecture:
    return decode(Encoding(shape, classes, EXTENDED), chromosome)


def with_tail(tail: str, chromosome: Chromosome = SMALL) -> Chromosome:
    """A chromosome of the extended table; the tail begins with residual, squeeze-and-excitation and dropout."""
    return chromosome_with(EXTENDED, chromosome + tail)


@pytest.mark.parametrize("shape", EXTENDED_SHAPES)
def test_parameters_of_a_hundred_extended_networks_are_those_of_the_modules(shape: tuple[int, int, int]) -> None:
    for bits in np.random.default_rng(sum(shape)).integers(0, 2, (100, EXTENDED.length)):
        network = extended(Chromosome("".join(map(str, bits))), shape)
        assert model_cost(network).parameters == sum(each.numel() for each in on_meta(network).parameters())


@pytest.mark.parametrize("shape", EXTENDED_SHAPES)
@given(any_chromosome(EXTENDED))
@settings(relaxed, max_examples=5)
def test_flops_of_extended_networks_are_those_that_torch_counts(
    shape: tuple[int, int, int], chromosome: Chromosome
) -> None:
    network = extended(chromosome, shape)
    model = on_meta(network).eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros((1, *shape), dtype=torch.uint8, device="meta"))
    assert model_cost(network).flops == counter.get_total_flops()


@pytest.mark.parametrize("tail", ["10", "01", "11"])
@pytest.mark.parametrize("pooling", ["00", "11"])
@pytest.mark.parametrize("blocks", ["1111111", "0000000"])
def test_the_memory_estimate_of_blocks_is_close(tail: str, pooling: str, blocks: str) -> None:
    network = extended(with_tail(tail, Chromosome(f"0000100{pooling[0]}0{pooling}0{blocks}")), (3, 32, 32))
    assert model_cost(network).activations == pytest.approx(kept_for_backward(network, 8) / 32, rel=0.25)


def test_adamw_needs_a_value_more_for_each_parameter() -> None:
    cost = model_cost(architecture())
    assert cost.memory(optimizer="adamw").fixed - cost.memory().fixed == 4 * cost.parameters


def test_known_costs_of_a_small_residual_network() -> None:
    """Counted by hand beside the plain one: 1×1 shortcuts into stages of 16, 32, 64 and 128, one unit of 8 a block."""
    plain, cost = model_cost(architecture()), model_cost(extended(with_tail("11")))
    weights, pixels = [16, 16 * 32, 32 * 64, 64 * 128], [16, 16, 4, 1]
    filters = [16, 32, 32, 64, 64, 128, 128]
    units = [16 * count + 8 + count for count in filters]
    assert cost.parameters - plain.parameters == sum(weights) + 2 * (16 + 32 + 64 + 128) + sum(units)
    squeeze = 4 * 8 * sum(filters)
    assert cost.flops - plain.flops == 2 * sum(w * p for w, p in zip(weights, pixels, strict=True)) + squeeze
    assert cost.layers - plain.layers == 4 + 7


@pytest.mark.parametrize("shape", EXTENDED_SHAPES)
@pytest.mark.parametrize("tail", ["10", "01", "1111"])
@pytest.mark.parametrize("chromosome", ["0000000000001111111", "0001000100100101010", "0001100110011111110"])
def test_gradients_reach_every_weight_of_extended_networks(
    shape: tuple[int, int, int], tail: str, chromosome: Chromosome
) -> None:
    torch.manual_seed(0)
    model = build_model(extended(with_tail(tail, chromosome), shape), [127.0] * shape[0], [70.0] * shape[0])
    logits = model.to(memory_format=torch.channels_last).train()(images(shape))
    assert logits.shape == (4, 10)
    functional.cross_entropy(logits, torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_standard_networks_stay_one_plain_sequence() -> None:
    model = on_meta(architecture())
    names = [name for name in model.state_dict() if name.endswith("weight")]
    places = (1, 3, 5, 6, 8, 10, 12, 13, 15, 17, 19, 20, 22, 23, 26)
    assert names == [f"{place}.weight" for place in places]
    assert all(not list(module.children()) for module in model)


@pytest.mark.parametrize("blocks", ["1111111", "0101010"])
@pytest.mark.parametrize("place", ["0", "1"])
def test_a_shortcut_goes_round_each_block(blocks: str, place: str) -> None:
    network = extended(with_tail("11", Chromosome(f"000010000{'0'}{place}0{blocks}")), (3, 200, 120))
    model = on_meta(network)
    stem, found = network.stem_and_blocks()
    built = [module for module in model if isinstance(module, ResidualBlock)]
    assert len(stem) == 2
    assert len(built) == len(found) == 7
    for maps, block in zip(found, built, strict=True):
        assert isinstance(block.body, nn.Sequential)
        assert isinstance(block.shortcut, nn.Sequential)
        pool = [nn.MaxPool2d] if maps[-1][0].pool else []
        expected: list[type] = []
        for number, _ in enumerate(maps, start=1):
            is_last = number == len(maps)
            end = [nn.BatchNorm2d, SqueezeExcitation] if is_last else [nn.BatchNorm2d, nn.ReLU]
            expected += [Convolution, *(pool if is_last else []), *end]
        assert [type(module) for module in block.body] == expected
        widens = maps[0][1] != maps[-1][0].filters
        assert [type(module) for module in block.shortcut] == pool + ([Convolution, nn.BatchNorm2d] if widens else [])
        assert isinstance(block.activation, nn.ReLU)


def test_squeeze_and_excitation_without_shortcuts_stands_after_the_last_normalisation_of_each_block() -> None:
    model = on_meta(extended(with_tail("01", Chromosome("0000100000000101111"))))
    kinds = [type(module) for module in model]
    places = [place for place, kind in enumerate(kinds) if kind is SqueezeExcitation]
    assert len(places) == 7
    assert all(kinds[place - 1 : place + 2] == [nn.BatchNorm2d, SqueezeExcitation, nn.ReLU] for place in places)
    assert kinds.count(Convolution) == 9


@pytest.mark.parametrize(("code", "share"), [("01", 0.1), ("11", 0.2), ("10", 0.4)])
def test_dropout_stands_before_the_last_layer_and_is_off_when_evaluated(code: str, share: float) -> None:
    model = build_model(extended(with_tail("00" + code)), [100.0], [50.0])
    dropout = model[-2]
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == share
    assert not any(isinstance(module, nn.Dropout) for module in on_meta(architecture()))
    pixels = images((1, 8, 8))
    model.eval()
    assert torch.equal(model(pixels), model(pixels))


def test_an_extended_weights_file_gives_back_the_network(tmp_path: Path) -> None:
    network = extended(with_tail("1101"))
    model, path = new_model(network), tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(model))
    pixels = images((1, 8, 8), seed=5)
    assert load_model(path, network)(pixels).equal(model(pixels))
    with pytest.raises(InputError, match="does not fit the chromosome"):
        load_model(path, extended(with_tail("0101")))


def test_there_is_a_module_for_each_activation_and_pooling_that_a_gene_may_name() -> None:
    for modules, trait in ((ACTIVATIONS, NETWORK_TRAITS["activation"]), (POOLINGS, NETWORK_TRAITS["pooling"])):
        assert all(trait.read(name) == name for name in modules)
        assert trait.expected == f"one of {', '.join(modules)}"
