"""Convolutions that are faster than torch's own on small feature maps, with the same results up to rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from records.machine import processor_flags
from search_space.cost import SMALL_MAP

WIDE = 128 * 128  # pairs of channels; above, matrix products beat oneDNN's AMX kernels forward and in both gradients


class Convolution(nn.Conv2d):
    """`nn.Conv2d` without bias, computed by matrix products on small maps in bfloat16 where the CPU has AMX.

    Below 25 pixels a map, oneDNN's AMX kernel for the gradient of weights runs at a tenth of their rate.
    """

    def __init__(self, channels: int, filters: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, filters, kernel, stride, padding=kernel // 2, bias=False)
        self.may_multiply = self.stride == (1, 1) and "amx_bf16" in processor_flags()

    def forward(self, maps: Tensor) -> Tensor:
        is_small = maps.shape[2] * maps.shape[3] <= SMALL_MAP
        if self.may_multiply and is_small and maps.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            small: Tensor = SmallMapConvolution.apply(maps.bfloat16(), self.weight.bfloat16())
            return small
        return super().forward(maps)


class SmallMapConvolution(torch.autograd.Function):
    """A convolution with odd kernel size k, stride 1 and padding k//2, computed by matrix products.

    The gradient of the weights always is; the output and the gradient of the maps only where there
    are many channels.
    """

    @staticmethod
    def forward(context: Any, maps: Tensor, weight: Tensor) -> Tensor:  # (N, C, H, W), (F, C, k, k)
        context.save_for_backward(maps, weight)
        return _convolve(maps, weight)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        maps, weight = context.saved_tensors
        kernel = weight.shape[2]
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1])  # (NHW, F)
        by_weight = (rows.T @ _patches(maps, kernel)).view(len(weight), kernel, kernel, -1).permute(0, 3, 1, 2)
        if not context.needs_input_grad[0]:
            return None, by_weight
        # The gradient of the maps is the convolution of the gradient with the kernel turned by half.
        return _convolve(gradient, weight.flip(2, 3).transpose(0, 1)), by_weight


def _convolve(maps: Tensor, weight: Tensor) -> Tensor:
    filters, channels, kernel, _ = weight.shape
    if filters * channels <= WIDE:
        return functional.conv2d(maps, weight, padding=kernel // 2)
    count, _, height, width = maps.shape
    rows = _patches(maps, kernel) @ weight.permute(2, 3, 1, 0).reshape(-1, filters)
    return rows.view(count, height, width, filters).permute(0, 3, 1, 2)


def _patches(maps: Tensor, kernel: int) -> Tensor:
    """The patch of the maps under each position of the kernel: (N, C, H, W) → (NHW, kkC)."""
    edge = kernel // 2
    padded = functional.pad(maps.permute(0, 2, 3, 1), (0, 0, edge, edge, edge, edge))  # (N, H+k-1, W+k-1, C)
    count, height, width, channels = padded.shape
    image, row, pixel, _ = padded.stride()
    shape = (count, height - 2 * edge, width - 2 * edge, kernel, kernel * channels)
    return padded.as_strided(shape, (image, row, pixel, row, 1)).reshape(-1, kernel * kernel * channels)
