"""What a training protocol leaves open, and how it is resolved."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import DataConfig, TrainingConfig
from records.training_settings import METRICS
from training.protocol import resolve_protocol


@given(
    dataset=st.sampled_from(["digits", "cifar10", "svhn", "pictures"]),
    side=st.integers(8, 300),
    flip=st.sampled_from(["auto", "on", "off"]),
    padding=st.none() | st.integers(0, 40),
    precision=st.sampled_from(["auto", "float32", "bfloat16"]),
    micro_batch=st.none() | st.integers(2, 128),
)
@settings(deadline=None)
def test_a_resolved_protocol_leaves_nothing_open_and_changes_nothing_that_was_given(
    dataset: str, side: int, flip: str, padding: int | None, precision: str, micro_batch: int | None
) -> None:
    config = TrainingConfig(flip=flip, crop_padding=padding, precision=precision, micro_batch=micro_batch)
    data = DataConfig(dataset=dataset)
    resolved = resolve_protocol(config, data, (3, side, side + 7), gpu=False)
    assert resolved.flip in ("on", "off")
    assert resolved.precision in ("float32", "bfloat16")
    assert resolved.micro_batch == (micro_batch or 128)
    assert resolved.crop_padding is not None
    assert resolved.crop_padding == padding or (padding is None and 1 <= resolved.crop_padding <= side // 8)
    kept = {name: value for name, value in asdict(config).items() if value not in (None, "auto")}
    assert kept.items() <= asdict(resolved).items()
    assert resolve_protocol(resolved, data, (3, side, side + 7), gpu=False) == resolved


@pytest.mark.parametrize(
    "name", ["digits", "mnist", "fashion_mnist", "kmnist", "svhn", "cifar10", "cifar100", "pictures"]
)
def test_digits_and_letters_are_never_mirrored_unasked(name: str) -> None:
    resolved = resolve_protocol(TrainingConfig(), DataConfig(dataset=name), (3, 32, 32), gpu=False)
    assert resolved.flip == ("on" if name in ("cifar10", "cifar100", "pictures") else "off")


@pytest.mark.parametrize(
    ("dataset", "counts", "metric"),
    [
        ("pictures", [30, 20], "accuracy"),
        ("pictures", [31, 20], "balanced_accuracy"),
        ("a.npz", [10, 10, 100], "balanced_accuracy"),
        ("svhn", [13861, 4659], "accuracy"),
        ("pictures", [], "accuracy"),
    ],
)
def test_uneven_classes_of_ones_own_are_weighed_alike_unless_told_otherwise(
    dataset: str, counts: list[int], metric: str
) -> None:
    data = DataConfig(dataset=dataset)
    assert resolve_protocol(TrainingConfig(), data, (3, 32, 32), False, counts).metric == metric
    for asked in METRICS:
        assert resolve_protocol(TrainingConfig(metric=asked), data, (3, 32, 32), False, counts).metric == asked
