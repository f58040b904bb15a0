"""How fast the devices of a plan train: a few networks, drawn at random, are measured on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from image_data import ImageData
from job_queue import Attempt
from records import RunState, TrainingJob, TrainingResult
from records.texts import NetworkText
from reporting.watcher import Watcher
from run.training_time import TrainingTime
from run.trainings import Trainings
from search.operators import random_bits
from search_space.cost import ModelCost
from search_space.space import NetworkSpace, cost_of

SAMPLE = 500  # networks drawn at random, that stand for those of a run
IMAGES = 2048  # training images of a measurement
MEASURED = (0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles of the sample's FLOPs


@dataclass(frozen=True, slots=True)
class Sampled:
    """A network drawn at random: the text of its architecture, and its cost."""

    network: NetworkText
    cost: ModelCost


@dataclass(frozen=True, slots=True)
class Measurement:
    """What measured trainings tell of the time that others take, and the images per second of each."""

    time: TrainingTime
    rates: tuple[tuple[Sampled, float], ...]


def sample(space: NetworkSpace, seed: int) -> list[Sampled]:
    """Networks drawn at random, with repetitions, in order of their FLOPs."""
    rng = np.random.default_rng(seed)
    networks = [space.network(random_bits(rng, space.length).chromosome) for _ in range(SAMPLE)]
    return sorted((Sampled(text, cost_of(text)) for text in networks), key=lambda each: (each.cost.flops, each.network))


def fewer_images(data: ImageData) -> ImageData:
    """Data enough to measure speed with: at most `IMAGES` to train on, and the same share of those to validate."""
    share = min(1.0, IMAGES / len(data.train_labels))
    train, validation = int(share * len(data.train_labels)), max(1, round(share * len(data.val_labels)))
    return replace(
        data,
        train_images=data.train_images[:train],
        train_labels=data.train_labels[:train],
        val_images=data.val_images[:validation],
        val_labels=data.val_labels[:validation],
    )


def brief(state: RunState, data: ImageData) -> RunState:
    """The state for a measurement on fewer images: one epoch each."""
    few = fewer_images(data)
    facts = replace(state.facts, train_images=len(few.train_labels), val_images=len(few.val_labels))
    return replace(state, facts=facts, training=replace(state.training, epochs=1))


def measure(trainings: Trainings, state: RunState, networks: Sequence[Sampled]) -> Measurement:
    """Trains a few networks of a sample, side by side, as the run would."""
    slots = len(trainings.means.workers.slots)
    chosen = [networks[int(share * (len(networks) - 1))] for share in MEASURED]

    def jobs(those: Sequence[Sampled], replicate: int) -> dict[str, TrainingJob]:
        protocol, data = state.training, state.facts.fingerprint
        made = [
            TrainingJob(phenotype=each.network, protocol=protocol, data_fingerprint=data, replicate=replicate + number)
            for number, each in enumerate(those)
        ]
        return {job.key[:16]: job for job in made}

    # The first training of a worker is slower than all others.
    trainings.run_all(jobs([networks[0]] * slots, 0), "the first measurement")
    trainings.estimate.forget()
    results = trainings.run_all(jobs(chosen, slots), "the measurement")
    trainings.estimate.new_queue()
    rates = [result.cost.images_per_second for result in results.values()]
    return Measurement(trainings.estimate.time, tuple(zip(chosen, rates, strict=True)))


class MeasuringWatcher(Watcher):
    """Says, to another watcher, how far a measurement is."""

    def __init__(self, watcher: Watcher, total: int) -> None:
        self.watcher, self.total, self.ended = watcher, total, 0

    def said(self, message: str, always: bool = False) -> None:
        self.watcher.said(message, always)

    def training_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        self.watcher.said(f"a network to measure: {status} ({reason}); it is tried again")

    def training_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        self.ended += 1
        what = f"{result.cost.images_per_second:,.0f} images/s" if result.status == "done" else result.status
        megaflops = cost_of(attempt.job.phenotype).flops / 1e6
        self.watcher.said(f"measured {self.ended} of {self.total}: {megaflops:,.1f} MFLOPs, {what} on {slot}")
