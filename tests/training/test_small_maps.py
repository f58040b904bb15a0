"""Layers of our own: values and gradients as they should be, and the memory layout they are for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from model_generator import GlobalAveragePool, Normalize, ResidualBlock, SqueezeExcitation
from training import small_maps
from training.small_maps import Convolution, SmallMapConvolution

CHANNELS_LAST = torch.channels_last


def maps(
    count: int, channels: int, height: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, channels, height, width, generator=generator)
    return values.to(dtype).to(memory_format=CHANNELS_LAST)


def gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(9)).to(output.dtype)
    return torch.autograd.grad(output, inputs, weights.to(memory_format=CHANNELS_LAST) if output.ndim == 4 else weights)


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


@pytest.mark.parametrize("wide", [0, 1 << 60], ids=["all products", "gradient of the weights"])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (2, 3), (1, 1)])
def test_a_convolution_by_matrix_products_is_the_convolution(
    wide: int, kernel: int, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_maps, "WIDE", wide)
    inputs = maps(3, 5, height, width).requires_grad_()
    weight = maps(7, 5, kernel, kernel, seed=1).requires_grad_()
    ours = SmallMapConvolution.apply(inputs, weight)
    theirs = functional.conv2d(inputs, weight, padding=kernel // 2)
    assert torch.allclose(ours, theirs, atol=1e-4)
    for one, two in zip(gradients(ours, inputs, weight), gradients(theirs, inputs, weight), strict=True):
        assert one.shape == two.shape
        assert torch.allclose(one, two, atol=1e-4)


def test_a_first_layer_needs_no_gradient_of_its_images() -> None:
    weight = maps(7, 3, 3, 3).requires_grad_()
    SmallMapConvolution.apply(maps(2, 3, 4, 4), weight).sum().backward()
    assert weight.grad is not None


def used(monkeypatch: pytest.MonkeyPatch, side: int, flags: set[str], bfloat16: bool, stride: int = 1) -> bool:
    """Whether a layer multiplies matrices for maps of such a side on such a processor."""
    calls: list[int] = []
    real = SmallMapConvolution.apply

    def apply(*arguments: Tensor) -> Tensor:
        calls.append(1)
        output: Tensor = real(*arguments)
        return output

    monkeypatch.setattr(small_maps, "processor_flags", lambda: flags)
    monkeypatch.setattr(SmallMapConvolution, "apply", apply)
    layer = Convolution(4, 6, 3, stride)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        output = layer(maps(2, 4, side, side))
    assert output.dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    expected = nn.functional.conv2d(maps(2, 4, side, side), layer.weight, stride=stride, padding=1)
    assert torch.allclose(output.float(), expected, atol=0.05)
    return bool(calls)


def test_matrices_are_multiplied_for_small_maps_in_bfloat16_where_amx_is(monkeypatch: pytest.MonkeyPatch) -> None:
    amx = {"amx_bf16"}
    assert used(monkeypatch, 4, amx, bfloat16=True)
    assert used(monkeypatch, 5, amx, bfloat16=True)
    assert not used(monkeypatch, 6, amx, bfloat16=True)
    assert not used(monkeypatch, 4, amx, bfloat16=False)
    assert not used(monkeypatch, 4, {"avx512_bf16"}, bfloat16=True)
    assert not used(monkeypatch, 4, amx, bfloat16=True, stride=2)


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
