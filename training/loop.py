"""The loop of one training: augment, forward, backward, optimizer, schedule; on a GPU as one CUDA graph."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from records import TrainingConfig
from training.augmentation import augment
from training.worker import Report

WARM_UP = 0.3  # share of the steps in which the learning rate rises
REPORT_SECONDS = 0.5  # between two reports of progress within an epoch
ADAMW_SCALE = 0.01  # the learning rate of AdamW relative to that of SGD
ADAMW_SECOND_BETA = 0.99  # as in the fastai library: trainings are too short for 0.999
STEPS_BEFORE_CAPTURE = 3  # cuDNN tries its algorithms and the optimizer makes its state in the first ones

Capture = Callable[[Callable[[], None], torch.Generator], Callable[[], object]]


def one_cycle(step: int, steps: int) -> float:
    """The learning rate at a step, relative to its peak: it rises along a cosine, then falls along one to zero.

    Smith & Topin 2018, with the cosine annealing of the fastai library.
    """
    peak = WARM_UP * steps
    if step + 1 <= peak:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * (step + 1) / peak)) / 2
    return (1 + math.cos(math.pi * (step + 1 - peak) / (steps - peak + 1))) / 2


def capture_cuda_graph(step: Callable[[], None], generator: torch.Generator) -> Callable[[], object]:
    """Records the kernels of `step` without running them; returns a function that launches them all at once."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
        step()
    return graph.replay


def make_optimizer(protocol: TrainingConfig, model: nn.Module, rate: Tensor) -> torch.optim.Optimizer:
    """The optimizer of a protocol; `rate`, a tensor on the model's device, is its learning rate.

    For AdamW (Loshchilov & Hutter 2019) the decay is scaled inversely to the rate, so that a step
    shrinks weights as much as one of SGD does.
    """
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in model.parameters() if weight.ndim > 1]},
        {"params": [other for other in model.parameters() if other.ndim <= 1], "weight_decay": 0.0},
    ]
    if protocol.optimizer == "adamw":
        decay, betas = protocol.weight_decay / ADAMW_SCALE, (protocol.momentum, ADAMW_SECOND_BETA)
        return torch.optim.AdamW(groups, lr=rate, betas=betas, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        groups,
        weight_decay=protocol.weight_decay,
        lr=rate,
        momentum=protocol.momentum,
        nesterov=protocol.momentum > 0,
        fused=True,
    )


class TrainingLoop:
    """Model, optimizer and schedule of one training; epochs of whole batches, shuffled on the device.

    Everything a step needs is on the device, including its own number and the learning rate, so the
    host waits for the device once per epoch. On a GPU a whole step is captured as a CUDA graph after
    the first few steps and replayed from then on, which saves launching its hundred small kernels
    one by one. `eager_because` says why capturing failed; it is empty where it worked or was not tried.
    """

    def __init__(
        self,
        protocol: TrainingConfig,
        model: nn.Module,
        examples: tuple[Tensor, Tensor],
        micro_batch: int,
        seed: int,
        capture: Capture | None = None,
    ) -> None:
        images, labels = examples
        device = images.device
        self.protocol, self.model, self.labels = protocol, model, labels
        self.eager_because = ""
        self._pixels = images.permute(0, 2, 3, 1)  # (N, H, W, C), as it lies in memory
        self.batch = min(protocol.batch_size, len(images))
        self.steps = len(images) // self.batch  # of one epoch
        self.images_per_epoch = self.steps * self.batch
        # Micro-batches of a batch, each of at least two images.
        self.pieces = max(1, min(-(-self.batch // micro_batch), self.batch // 2))
        self.generator = torch.Generator(device).manual_seed(seed)
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=protocol.precision == "bfloat16")
        self._capture = capture if protocol.cuda_graph == "on" else None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._replay: Callable[[], object] | None = None
        self._steps_done = 0

        total = protocol.epochs * self.steps
        peak = protocol.learning_rate * (ADAMW_SCALE if protocol.optimizer == "adamw" else 1)
        rates = [peak * one_cycle(step, total) for step in range(total)]
        self._rates = torch.tensor(rates, device=device)  # (steps of the training,)
        self._rate = torch.zeros((), device=device)
        self._number = torch.zeros(1, dtype=torch.int64, device=device)  # of the step in the training
        self._place = torch.zeros(1, dtype=torch.int64, device=device)  # of the step in its epoch
        self._order = torch.zeros(self.steps, self.batch, dtype=torch.int64, device=device)
        self._loss = torch.zeros((), device=device)  # sum over the steps of an epoch
        self.optimizer = make_optimizer(protocol, model, self._rate)

    def run_epoch(self, epoch: int, report: Report | None) -> float:
        """One pass over the training images; returns their mean loss. Waits for the device once."""
        if self._stream is None:
            return self._run_epoch(epoch, report)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            return self._run_epoch(epoch, report)

    def _run_epoch(self, epoch: int, report: Report | None) -> float:
        self.start_epoch()
        clock = reported = time.perf_counter()
        for step in range(self.steps):
            self.advance()
            now = time.perf_counter()
            if report is not None and now - reported > REPORT_SECONDS and step + 1 < self.steps:
                reported = now
                done = (step + 1) / self.steps
                report({"epoch": epoch - 1 + done, "images_per_second": (step + 1) * self.batch / (now - clock)})
        return self._loss.item() / self.steps

    def start_epoch(self) -> None:
        """Shuffles the images."""
        self.model.train()
        order = torch.randperm(len(self._pixels), generator=self.generator, device=self._pixels.device)
        self._order.copy_(order[: self.images_per_epoch].view(self.steps, self.batch))
        self._place.zero_()
        self._loss.zero_()

    def advance(self) -> None:
        """One step: captured after the first few, replayed once it has been captured, eager otherwise."""
        if self._capture is not None and self._steps_done == STEPS_BEFORE_CAPTURE:
            for group in self.optimizer.param_groups:
                group["capturable"] = True  # AdamW requires it here, but warns of it in eager steps
            try:
                self._replay = self._capture(self._step, self.generator)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.eager_because = str(error).splitlines()[0]
        self._steps_done += 1
        if self._replay is not None:
            self._replay()
        else:
            self._step()

    def _step(self) -> None:
        """One step of the optimizer, as work for the device alone: nothing here reads a value from it."""
        protocol = self.protocol
        self._rate.copy_(self._rates.index_select(0, self._number).squeeze())
        indices = self._order.index_select(0, self._place).squeeze(0)  # (B,)
        pixels = self._pixels.index_select(0, indices).permute(0, 3, 1, 2)  # (B, C, H, W) uint8
        padding, flip = protocol.crop_padding or 0, protocol.flip == "on"
        images = augment(pixels, padding, flip, self.generator, protocol.augmentation)
        labels = self.labels.index_select(0, indices)
        self.optimizer.zero_grad(set_to_none=True)
        pieces = zip(images.tensor_split(self.pieces), labels.tensor_split(self.pieces), strict=True)
        for piece, piece_labels in pieces:
            with self._autocast:
                logits = self.model(piece)
            loss = functional.cross_entropy(logits.float(), piece_labels, label_smoothing=protocol.label_smoothing)
            loss = loss * (len(piece) / len(images))
            loss.backward()
            self._loss += loss.detach()
        self.optimizer.step()
        self._number += 1
        self._place += 1
