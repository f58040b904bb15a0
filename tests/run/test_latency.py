"""Latency is measured on the real network, and leaves the process as it was."""

from __future__ import annotations

import pytest
import torch

from records.texts import NetworkText
from run import latency as module
from run.latency import REPEATS, WARM_UP, measure_latency
from search_space.architecture import Architecture, Layer, network_text

CPU = torch.device("cpu")


def network(filters: int, side: int = 16) -> str:
    layers = tuple(Layer(filters, 3) for _ in range(3))
    return network_text(Architecture((3, side, side), 10, "ReLU", "max", layers))


def test_a_larger_network_takes_longer() -> None:
    small, large = (
        measure_latency(NetworkText(network(filters, 32)), CPU, "float32", threads=1) for filters in (4, 128)
    )
    assert 0 < small < large < 60


def test_the_latency_is_the_median_of_the_batches_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        """Every batch takes as many seconds as its number says; the slow first ones are the warm-up."""

        def __init__(self) -> None:
            self.now, self.calls = 0.0, 0

        def perf_counter(self) -> float:
            batch, self.calls = self.calls // 2, self.calls + 1
            if self.calls % 2 == 0:
                self.now += 1000.0 if batch < WARM_UP else float(batch)
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    expected = WARM_UP + (REPEATS - 1) / 2
    assert measure_latency(NetworkText(network(4, 8)), CPU, "float32", threads=1) == pytest.approx(expected)
    assert clock.calls == 2 * (WARM_UP + REPEATS)


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    measure_latency(NetworkText(network(4, 8)), CPU, "float32", threads=before + 1)
    assert torch.get_num_threads() == before
