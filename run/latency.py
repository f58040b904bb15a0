"""How long a network takes to classify one image, measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from model_generator import build_model
from records.texts import NetworkText
from search_space.architecture import architecture_of

WARM_UP, REPEATS = 10, 50  # batches of one image


@torch.inference_mode()
def measure_latency(network: NetworkText, device: torch.device, precision: str, threads: int) -> float:
    """Seconds from an image on the device to its logits: the median of repeated batches of one.

    Nothing else should run on the device; on a CPU `threads` of them are used. `network` is the text
    of an architecture; its weights do not matter.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    architecture = architecture_of(network)
    model = build_model(architecture).eval().to(device).to(memory_format=torch.channels_last)
    image = torch.zeros(1, *architecture.input_shape, dtype=torch.uint8, device=device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        seconds = forward_seconds(lambda: model(image), device, WARM_UP, REPEATS)
    torch.set_num_threads(before)
    return statistics.median(seconds)


def forward_seconds(forward: Callable[[], object], device: torch.device, warm_up: int, repeats: int) -> list[float]:
    """Seconds that each of `repeats` calls takes until the device is done, after `warm_up` calls that do not count."""
    seconds = []
    for _ in range(warm_up + repeats):
        clock = time.perf_counter()
        forward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - clock)
    return seconds[warm_up:]
