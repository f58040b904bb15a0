"""What a network costs, compared with the real module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model_generator import build_model
from records.texts import Chromosome
from search_space.architecture import Architecture
from search_space.cost import model_cost
from tests.networks import (
    EXTENDED_SHAPES,
    architecture,
    chromosomes,
    extended,
    images,
    on_meta,
    one_thread,  # noqa: F401 (a fixture)
    relaxed,
    shapes,
    with_tail,
)


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


@pytest.mark.parametrize("shape", EXTENDED_SHAPES)
def test_parameters_of_a_hundred_extended_networks_are_those_of_the_modules(shape: tuple[int, int, int]) -> None:
    for bits in np.random.default_rng(sum(shape)).integers(0, 2, (100, 33)):
        network = extended(Chromosome("".join(map(str, bits))), shape)
        assert model_cost(network).parameters == sum(each.numel() for each in on_meta(network).parameters())


@pytest.mark.parametrize("shape", EXTENDED_SHAPES)
@given(st.text("01", min_size=33, max_size=33).map(Chromosome))
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
