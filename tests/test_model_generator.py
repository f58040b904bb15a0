"""From an architecture to a module."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from model_generator import (
    ACTIVATIONS,
    POOLINGS,
    GlobalAveragePool,
    Normalize,
    ResidualBlock,
    SqueezeExcitation,
    build_model,
)
from records.texts import Chromosome
from search_space.architecture import Architecture, Layer
from search_space.genes import NETWORK_TRAITS
from tests.networks import (
    CHANNELS_LAST,
    EXTENDED_SHAPES,
    SHAPES,
    architecture,
    chromosomes,
    convolutions,
    extended,
    gradients,
    images,
    maps,
    new_model,
    on_meta,
    one_thread,  # noqa: F401 (a fixture)
    relaxed,
    shapes,
    with_tail,
)
from training.small_maps import Convolution


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
    for layers, block in zip(found, built, strict=True):
        assert isinstance(block.body, nn.Sequential)
        assert isinstance(block.shortcut, nn.Sequential)
        pool = [nn.MaxPool2d] if layers[-1][0].pool else []
        expected: list[type] = []
        for number, _ in enumerate(layers, start=1):
            is_last = number == len(layers)
            end = [nn.BatchNorm2d, SqueezeExcitation] if is_last else [nn.BatchNorm2d, nn.ReLU]
            expected += [Convolution, *(pool if is_last else []), *end]
        assert [type(module) for module in block.body] == expected
        widens = layers[0][1] != layers[-1][0].filters
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


def test_there_is_a_module_for_each_activation_and_pooling_that_a_gene_may_name() -> None:
    for modules, trait in ((ACTIVATIONS, NETWORK_TRAITS["activation"]), (POOLINGS, NETWORK_TRAITS["pooling"])):
        assert all(trait.read(name) == name for name in modules)
        assert trait.expected == f"one of {', '.join(modules)}"


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, CHANNELS_LAST])
def test_pixels_are_normalised_per_channel(memory_format: torch.memory_format) -> None:
    images = torch.randint(0, 256, (5, 3, 9, 8), dtype=torch.uint8).to(memory_format=memory_format)
    module = Normalize([10.0, 120.0, 200.0], [20.0, 0.1, 60.0])  # a spread of under one pixel value counts as one
    mean, std = torch.tensor([10.0, 120.0, 200.0]), torch.tensor([20.0, 1.0, 60.0])
    expected = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert torch.allclose(module(images), expected, rtol=1e-6)
    assert module(images).is_contiguous(memory_format=CHANNELS_LAST)


def test_the_average_of_each_map_and_its_gradient_are_those_of_torch() -> None:
    ours, theirs = (maps(4, 6, 3, 5).requires_grad_() for _ in range(2))
    one = GlobalAveragePool()(ours)
    two = functional.adaptive_avg_pool2d(theirs, 1).flatten(1)
    assert torch.allclose(one, two, atol=1e-6)
    (gradient,) = gradients(one, ours)
    assert torch.allclose(gradient, gradients(two, theirs)[0], atol=1e-6)
    assert gradient.is_contiguous(memory_format=CHANNELS_LAST)


def test_squeeze_and_excitation_weighs_each_map_as_the_paper_says() -> None:
    torch.manual_seed(0)
    module, values = SqueezeExcitation(6, 2), maps(4, 6, 3, 5)
    down, up = (layer for layer in module.weigh if isinstance(layer, nn.Linear))
    means = values.mean((2, 3))
    weights = (functional.relu(means @ down.weight.T + down.bias) @ up.weight.T + up.bias).sigmoid()
    weighed = module(values)
    assert torch.allclose(weighed, values * weights.view(4, 6, 1, 1), atol=1e-6)
    assert weighed.is_contiguous(memory_format=CHANNELS_LAST)
    assert not torch.allclose(weighed, values / 2, atol=1e-3)


def test_a_residual_block_adds_its_input_before_the_activation() -> None:
    values = maps(2, 3, 4, 4)
    block = ResidualBlock(nn.BatchNorm2d(3).eval(), nn.Sequential(), nn.ReLU(inplace=True))
    body = functional.batch_norm(values, torch.zeros(3), torch.ones(3))
    before = values.clone()
    assert torch.allclose(block(values), (body + values).relu(), atol=1e-6)
    assert torch.equal(values, before)
