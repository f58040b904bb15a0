"""The cost of a network in closed form, without building it: parameters, FLOPs, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from search_space.architecture import Architecture, FeatureMap, Layer, squeezed

EVALUATION_BATCH = 250  # images in one forward pass of an evaluation
SMALL_MAP = 25  # pixels; convolutions on maps up to this size are computed differently


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryNeed:
    """An estimate in bytes: a fixed part, and a part for each image of a micro-batch."""

    fixed: int = 0
    image: int = 0

    def bytes(self, micro_batch: int) -> int:
        return self.fixed + micro_batch * self.image


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCost:
    """The cost of a network: its exact number of `parameters`, the `flops` of a forward pass of one image.

    FLOPs of convolutions and linear layers are counted, two for each multiply-add, as in
    `torch.utils.flop_counter`.
    """

    parameters: int
    flops: int
    small_flops: int  # those of convolutions that read small maps
    activations: int  # values kept for the backward pass of one image
    largest: int  # values that the largest layer reads and writes for one image, not kept
    patches: int  # values that a convolution on small maps, as a matrix product, reads for one image
    layers: int  # convolutions, and squeezes with their excitations

    def memory(self, bytes_per_value: int = 4, optimizer: str = "sgd") -> MemoryNeed:
        """The device memory that a training needs, in addition to that of its process."""
        # Weights, gradients and momentum in float32; weights as computed with, and what their gradient is made of.
        # AdamW keeps the mean of squared gradients as well.
        fixed = (
            12 + 8 + (4 if optimizer == "adamw" else 0)
        ) * self.parameters + 2 * EVALUATION_BATCH * self.largest * bytes_per_value
        return MemoryNeed(fixed=fixed, image=(self.activations + 2 * self.patches) * bytes_per_value)


def model_cost(architecture: Architecture) -> ModelCost:
    """The cost of a network in closed form, without building it."""
    channels, height, width = architecture.input_shape
    parameters = flops = small_flops = largest = patches = 0
    activations = channels * height * width  # read by the first convolution
    # Activations work in place on what the next convolution keeps; GELU cannot, and keeps its input as well.
    kept_by_activation = 2 if architecture.activation == "GELU" else 1
    # Max pooling keeps an index of 8 bytes for each output: as much as two values.
    kept_by_pooling = 3 if architecture.pooling == "max" else 1
    for layer, channels, height, width in architecture.feature_maps():
        weights = layer.kernel**2 * channels * layer.filters
        read = channels * height * width
        is_small = height * width <= SMALL_MAP
        if is_small:
            patches = max(patches, layer.kernel**2 * read)
        height, width = -(-height // layer.stride), -(-width // layer.stride)
        parameters += weights + 2 * layer.filters
        flops += 2 * weights * height * width
        small_flops += 2 * weights * height * width if is_small else 0
        activations += layer.filters * height * width  # read by the pooling, or by the normalisation
        largest = max(largest, read + layer.filters * height * width)
        if layer.pool:
            height, width = height // 2, width // 2
            activations += kept_by_pooling * layer.filters * height * width
        activations += kept_by_activation * layer.filters * height * width
    features = architecture.layers[-1].filters
    parameters += (features + 1) * architecture.classes
    flops += 2 * features * architecture.classes
    plain = ModelCost(
        parameters=parameters,
        flops=flops,
        small_flops=small_flops,
        activations=activations,
        largest=largest,
        patches=patches,
        layers=len(architecture.layers),
    )
    return _with_blocks(architecture, plain)


def _with_blocks(architecture: Architecture, plain: ModelCost) -> ModelCost:
    """The cost of a network, given the cost without shortcuts and squeeze-and-excitation."""
    cost = plain
    for block in architecture.stem_and_blocks()[1]:
        if architecture.squeeze_excitation:
            cost = _with_squeeze_excitation(cost, block)
        if architecture.residual:
            cost = _with_shortcut(cost, block, kept_index=2 if architecture.pooling == "max" else 0)
    return cost


def _with_squeeze_excitation(cost: ModelCost, block: Sequence[FeatureMap]) -> ModelCost:
    last, _, height, width = block[-1]
    units = squeezed(last.filters)
    # The maps that are weighed; their means, the units, and the weights.
    kept = last.filters * _pooled(last, height, width) + 2 * last.filters + 2 * units
    return replace(
        cost,
        parameters=cost.parameters + 2 * last.filters * units + units + last.filters,
        flops=cost.flops + 4 * last.filters * units,
        activations=cost.activations + kept,
        layers=cost.layers + 1,
    )


def _with_shortcut(cost: ModelCost, block: Sequence[FeatureMap], kept_index: int) -> ModelCost:
    """`kept_index` is the number of values that pooling keeps for each output, besides its input and output."""
    (_, channels, height, width), last = block[0], block[-1][0]
    pixels = _pooled(last, height, width)
    # The input of the block stays in memory until it is added.
    within = (channels + max(layer.filters + read for layer, read, *_ in block)) * height * width
    kept = kept_index * channels if last.pool else 0
    cost = replace(cost, largest=max(cost.largest, within), activations=cost.activations + kept * pixels)
    if channels == last.filters:
        return cost
    flops = 2 * channels * last.filters * pixels
    is_small = pixels <= SMALL_MAP
    kept = last.filters + (channels if last.pool else 0)  # read by the normalisation and by the convolution
    return replace(
        cost,
        parameters=cost.parameters + channels * last.filters + 2 * last.filters,
        flops=cost.flops + flops,
        small_flops=cost.small_flops + (flops if is_small else 0),
        activations=cost.activations + kept * pixels,
        patches=max(cost.patches, channels * pixels if is_small else 0),
        layers=cost.layers + 1,
    )


def _pooled(layer: Layer, height: int, width: int) -> int:
    """Pixels of the output of a layer with stride 1."""
    return (height // 2) * (width // 2) if layer.pool else height * width
