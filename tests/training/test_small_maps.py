"""Convolutions on small feature maps: values and gradients are those of torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.networks import gradients, maps
from training import small_maps
from training.small_maps import Convolution, SmallMapConvolution


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
