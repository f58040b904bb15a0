"""The loop of one training: its schedule, and the step that is captured once and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model_generator import build_model
from records import TrainingConfig
from search_space.architecture import Architecture, Layer
from training.loop import STEPS_BEFORE_CAPTURE, TrainingLoop, make_optimizer, one_cycle

NETWORK = Architecture((1, 8, 8), 10, "ReLU", "max", (Layer(8, 3, pool=True), Layer(16, 3)))
CALLS = Callable[[], None]


def images_and_labels(count: int = 70) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 8, 8, 1), dtype=torch.uint8, generator=generator)
    return images.permute(0, 3, 1, 2), torch.randint(0, 10, (count,), generator=generator)


def loop(capture: Any = None, epochs: int = 2, micro_batch: int = 16, **protocol: Any) -> TrainingLoop:
    options: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": 16,
        "crop_padding": 1,
        "flip": "on",
        "precision": "float32",
        "cuda_graph": "on",
    }
    torch.manual_seed(0)
    model = build_model(NETWORK, [100.0], [50.0]).to(memory_format=torch.channels_last)
    return TrainingLoop(
        TrainingConfig(**{**options, **protocol}), model, images_and_labels(), micro_batch, seed=3, capture=capture
    )


class Recorder:
    """Stands in for a CUDA graph on a machine without one: nothing runs when captured, all of it when replayed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.captures, self.replays = error, 0, 0

    def __call__(self, step: CALLS, generator: torch.Generator) -> CALLS:
        self.captures += 1
        if self.error is not None:
            raise self.error

        def replay() -> None:
            self.replays += 1
            step()

        return replay


def weights(trained: TrainingLoop) -> list[Tensor]:
    return list(trained.model.state_dict().values())


def assert_same_training(one: TrainingLoop, two: TrainingLoop, epochs: int = 2) -> None:
    for epoch in range(1, epochs + 1):
        assert one.run_epoch(epoch, None) == two.run_epoch(epoch, None)
    for first, second in zip(weights(one), weights(two), strict=True):
        assert torch.equal(first, second)


OPTIONS: list[dict[str, Any]] = [{}, {"optimizer": "adamw"}, {"augmentation": "strong"}, {"augmentation": "none"}]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_step_is_captured_once_and_replayed_to_the_same_bits(options: dict[str, Any]) -> None:
    recorder = Recorder()
    captured = loop(recorder, **options)
    assert_same_training(captured, loop(**options))
    assert recorder.captures == 1
    assert recorder.replays == 2 * captured.steps - STEPS_BEFORE_CAPTURE
    assert captured.eager_because == ""


def test_a_step_that_cannot_be_captured_goes_on_eagerly_and_says_why() -> None:
    recorder = Recorder(RuntimeError("operation not permitted when stream is capturing\nlong story"))
    captured = loop(recorder)
    assert_same_training(captured, loop())
    assert recorder.captures == 1
    assert captured.eager_because == "operation not permitted when stream is capturing"


def test_memory_that_runs_out_while_capturing_is_a_lack_of_memory() -> None:
    captured = loop(Recorder(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError):
        captured.run_epoch(1, None)


def test_nothing_is_captured_where_the_protocol_says_so() -> None:
    recorder = Recorder()
    loop(recorder, cuda_graph="off").run_epoch(1, None)
    assert recorder.captures == 0


@pytest.mark.parametrize("options", OPTIONS)
def test_a_step_reads_no_value_from_the_device(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    trained = loop(momentum=0.9, **options)
    trained.run_epoch(1, None)
    monkeypatch.setattr(trained.optimizer, "step", lambda: None)  # on a CPU it reads the learning rate
    trained._place.zero_()

    def refuse(*arguments: Any) -> None:
        raise AssertionError("a step waited for the device")

    for name in ("item", "__bool__", "__int__", "__float__", "__index__", "tolist", "nonzero", "numpy", "cpu"):
        monkeypatch.setattr(Tensor, name, refuse)
    trained._step()


def test_pieces_of_a_batch_sum_up_to_its_gradient() -> None:
    whole, pieces = loop(micro_batch=16), loop(micro_batch=8)
    assert (whole.pieces, pieces.pieces) == (1, 2)
    # Normalisation sees other batches, so losses are close and not equal.
    assert whole.run_epoch(1, None) == pytest.approx(pieces.run_epoch(1, None), rel=0.1)


def test_the_learning_rate_rises_and_falls_to_nothing_by_the_last_step() -> None:
    trained = loop(epochs=3, learning_rate=0.5)
    rates = [trained._rates[step].item() for step in range(len(trained._rates))]
    assert len(rates) == 3 * trained.steps
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == pytest.approx(0.5, rel=0.05)
    assert rates[-1] < 0.02
    for epoch in range(1, 4):
        trained.run_epoch(epoch, None)
    assert trained._rate.item() == rates[-1]


def weights_after(gradients: list[float], **protocol: Any) -> tuple[Tensor, Tensor]:
    """A matrix of ones and a vector of ones after steps of these gradients, at a rate of 0.2."""
    model = torch.nn.Linear(3, 1)
    rate = torch.tensor(0.2 * (0.01 if protocol["optimizer"] == "adamw" else 1))
    optimizer = make_optimizer(TrainingConfig(**protocol), model, rate)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(1.0)
    for gradient in gradients:
        for weight in model.parameters():
            weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
    return model.weight.detach(), model.bias.detach()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_without_gradient_shrinks_weights_alike_and_nothing_else(optimizer: str) -> None:
    weight, bias = weights_after([0.0], optimizer=optimizer, weight_decay=0.05, momentum=0.0)
    torch.testing.assert_close(weight, torch.full((1, 3), 1 - 0.2 * 0.05))
    assert torch.equal(bias, torch.ones(1))


def test_adamw_is_that_of_the_paper_at_a_hundredth_of_the_rate() -> None:
    """Loshchilov & Hutter 2019, algorithm 2, with betas of 0.8 (the momentum) and 0.99."""
    gradients = [1.0, -0.5, 2.0]
    weight, bias = weights_after(gradients, optimizer="adamw", weight_decay=0.1, momentum=0.8)
    values = [1.0, 1.0]
    mean = square = 0.0
    for step, gradient in enumerate(gradients, start=1):
        mean, square = 0.8 * mean + 0.2 * gradient, 0.99 * square + 0.01 * gradient**2
        change = 0.002 * (mean / (1 - 0.8**step)) / ((square / (1 - 0.99**step)) ** 0.5 + 1e-8)
        values = [values[0] * (1 - 0.002 * 10.0) - change, values[1] - change]
    torch.testing.assert_close(weight, torch.full((1, 3), values[0]))
    torch.testing.assert_close(bias, torch.full((1,), values[1]))


def test_adamw_follows_the_schedule_at_a_hundredth_of_the_rate() -> None:
    sgd, adamw = loop(learning_rate=0.5), loop(learning_rate=0.5, optimizer="adamw")
    torch.testing.assert_close(adamw._rates, sgd._rates / 100)
    adamw.run_epoch(1, None)
    assert adamw.optimizer.param_groups[0]["lr"].item() == adamw._rates[adamw.steps - 1].item()


PRECISION_TOLERANCE = {"bfloat16": 0.03}  # of a loss of about 2.3, after 8 steps: bfloat16 has 8 bits


@pytest.mark.parametrize("precision", PRECISION_TOLERANCE)
def test_the_loss_curve_is_that_of_float32_within_the_precision(precision: str) -> None:
    exact, rounded = loop(), loop(precision=precision)
    for epoch in (1, 2):
        expected = exact.run_epoch(epoch, None)
        assert rounded.run_epoch(epoch, None) == pytest.approx(expected, rel=PRECISION_TOLERANCE[precision])


@given(steps=st.integers(1, 3000))
@settings(deadline=None)
def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing(steps: int) -> None:
    rates = [one_cycle(step, steps) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if steps > 1:
        assert rates[top] > 0.9
        assert rates[-1] < rates[top] / 2
    if steps >= 30:
        assert rates[0] < 0.1
        assert 0.2 < top / steps < 0.35
        assert rates[-1] < 0.01
