"""Resolves what a training protocol leaves open, once, before the first job of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from image_data.catalogue import NAMED_SETS, may_flip
from records import DataConfig, TrainingConfig
from records.machine import processor_flags
from training.statistics import is_uneven

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, Arm: bfloat16 products in hardware


def resolve_protocol(
    config: TrainingConfig,
    data: DataConfig,
    input_shape: tuple[int, int, int],
    gpu: bool,
    class_counts: Sequence[int] = (),
    bfloat16: bool | None = None,
) -> TrainingConfig:
    """The protocol with "auto" and None replaced by what they mean for this data and hardware.

    `class_counts` are the training images of each class; without them, classes are taken to be
    balanced. `bfloat16` says whether the devices support it, where they are not this machine's.
    """
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if (has_bfloat16(gpu) if bfloat16 is None else bfloat16) else "float32"
    flip = ("on" if may_flip(data) else "off") if config.flip == "auto" else config.flip
    padding = max(1, min(input_shape[1:]) // 16) if config.crop_padding is None else config.crop_padding
    metric = config.metric
    if metric == "auto":  # results on the named sets are always given as accuracy
        is_balanced = data.dataset not in NAMED_SETS and is_uneven(class_counts)
        metric = "balanced_accuracy" if is_balanced else "accuracy"
    graph = config.cuda_graph
    if not gpu or config.compile == "on":
        graph = "off"
    return replace(
        config,
        precision=precision,
        flip=flip,
        crop_padding=padding,
        metric=metric,
        micro_batch=config.micro_batch or config.batch_size,
        cuda_graph="on" if graph == "auto" else graph,
    )


def has_bfloat16(gpu: bool) -> bool:
    """Whether this machine's GPU, or else its processor, multiplies bfloat16 in hardware."""
    return torch.cuda.is_bf16_supported(False) if gpu else bool(processor_flags() & BFLOAT16_FLAGS)
