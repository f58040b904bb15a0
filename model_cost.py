"""What a network costs before it is built: parameters, FLOPs, memory. In closed form, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from chromosome import Architecture


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCost:
    """What a network costs: `parameters` exactly, `flops` of one forward pass of one image.

    FLOPs are those of convolutions and of the last layer, two per multiplication and addition, as
    `torch.utils.flop_counter` counts. `training_memory` is an estimate, in bytes.
    """

    parameters: int
    flops: int
    activations: int  # values kept for the backward pass of one image

    def training_memory(self, micro_batch: int, bytes_per_value: int = 4) -> int:
        """Bytes for weights, gradients and momentum (float32) and the activations of a micro-batch."""
        return 12 * self.parameters + micro_batch * self.activations * bytes_per_value


def model_cost(architecture: Architecture) -> ModelCost:
    """The cost of a network in closed form, without building it."""
    channels, height, width = architecture.input_shape
    parameters = flops = 0
    activations = channels * height * width  # read by the first convolution
    # ReLU keeps its output, which the next convolution keeps as well; the others keep their input, too.
    kept_by_activation = 1 if architecture.activation == "ReLU" else 2
    # Max pooling keeps an index of 8 bytes for each output: as much as two values.
    kept_by_pooling = 3 if architecture.pooling == "max" else 1
    for layer, channels, height, width in architecture.feature_maps():
        weights = layer.kernel**2 * channels * layer.filters
        height, width = -(-height // layer.stride), -(-width // layer.stride)
        parameters += weights + 2 * layer.filters
        flops += 2 * weights * height * width
        activations += layer.filters * height * width  # read by the pooling, or by the normalisation
        if layer.pool:
            height, width = height // 2, width // 2
            activations += kept_by_pooling * layer.filters * height * width
        activations += kept_by_activation * layer.filters * height * width
    features = architecture.layers[-1].filters
    parameters += (features + 1) * architecture.classes
    flops += 2 * features * architecture.classes
    return ModelCost(parameters=parameters, flops=flops, activations=activations)
