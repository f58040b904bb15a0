"""What a network costs before it is built: parameters, FLOPs, memory. In closed form, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from chromosome import Architecture

EVALUATION_BATCH = 250  # images in one forward pass of an evaluation
SMALL_MAP = 25  # pixels; convolutions on maps of at most so many have ways and speeds of their own


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryNeed:
    """An estimate in bytes: so many, and so many for each image of a micro-batch."""

    fixed: int = 0
    image: int = 0

    def bytes(self, micro_batch: int) -> int:
        return self.fixed + micro_batch * self.image


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCost:
    """What a network costs: `parameters` exactly, `flops` of one forward pass of one image.

    FLOPs are those of convolutions and of the last layer, two per multiplication and addition, as
    `torch.utils.flop_counter` counts.
    """

    parameters: int
    flops: int
    small_flops: int  # those of convolutions that read small maps
    activations: int  # values kept for the backward pass of one image
    largest: int  # values that the largest layer reads and writes for one image, not kept
    patches: int  # values that a convolution on small maps, as a matrix product, reads for one image

    def memory(self, bytes_per_value: int = 4) -> MemoryNeed:
        """What a training needs, beside the process that it runs in, of the memory of its device."""
        # Weights, gradients and momentum in float32; weights as computed with, and what their gradient is made of.
        fixed = (12 + 8) * self.parameters + 2 * EVALUATION_BATCH * self.largest * bytes_per_value
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
    return ModelCost(
        parameters=parameters,
        flops=flops,
        small_flops=small_flops,
        activations=activations,
        largest=largest,
        patches=patches,
    )
