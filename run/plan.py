"""What a run would train, and what that would cost, before it costs anything."""

from __future__ import annotations

import heapq
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from image_data import ImageData, load_image_data
from records import DataConfig, RunState, TrainingConfig, TrainingJob
from records.texts import NetworkText
from records.words import duration
from reporting.watcher import Watcher
from run.request import Request
from run.session import new_state, open_workers
from run.stop_signals import StopSignals
from run.time_estimate import TimeEstimate, generation_sizes, trainings_after
from run.training_time import TrainingTime
from run.trainings import Means, Trainings
from search.base import LISTABLE_BITS
from search.operators import random_bits
from search_space.cost import ModelCost
from search_space.encoding import every_chromosome
from search_space.space import NetworkSpace, cost_of
from storage.directory import RunDirectory

SAMPLE = 500  # networks drawn at random, that stand for those of a run
IMAGES = 2048  # training images of a measurement
MEASURED = (0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles of the sample's FLOPs
GENERATION_SECONDS = 0.4  # saved, drawn and asked for, between two generations
START_SECONDS = 2.5  # imports, workers, data, and the test at the end; of a run on digits
BYTES_PER_INDIVIDUAL = 20_000  # its files without weights, and its share of the states


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


def run_seconds(state: RunState, networks: Sequence[Sampled], time: TrainingTime, devices: int) -> float:
    """The expected seconds of a whole run, by drawing its networks at random and handing them to devices."""
    rng = np.random.default_rng(state.search.seed)
    estimate = TimeEstimate(state, time)

    def seconds(those: Sequence[NetworkText], length: int, longest_first: bool = True) -> float:
        return makespan([estimate.seconds(network, length) for network in those], devices, longest_first)

    def drawn(count: int) -> list[NetworkText]:
        return [networks[index].network for index in rng.integers(len(networks), size=count)]

    def generation(count: int, length: int) -> float:
        return seconds(drawn(count), length)

    total, sizes = START_SECONDS, all_sizes(state)
    # The first generation is known already; of its networks any may go on.
    space = NetworkSpace.of(state)
    first = [space.network(each.chromosome) for each in state.population]
    after = generation(trainings_after(state), state.training.epochs)
    if state.search.scheme == "steady_state":
        count = sum(count for later in sizes for count, _ in later)
        every = [*first, *drawn(max(0, count - len(first)))][:count]
        return total + seconds(every, state.training.epochs, longest_first=False) + GENERATION_SECONDS + after
    total += sum(seconds(first[:count], length) for count, length in sizes[0]) + GENERATION_SECONDS
    for later in sizes[1:]:
        total += sum(generation(count, length) for count, length in later) + GENERATION_SECONDS
    return total + after


def all_sizes(state: RunState) -> list[list[tuple[int, int]]]:
    """For each generation: how many networks train for how many epochs, one rung after the other."""
    search, epochs = state.search, state.training.epochs
    left = None if search.budget is None else (search.budget - search.final_trainings) * epochs
    generations: list[list[tuple[int, int]]] = []
    while len(generations) < search.generations if left is None else left > 0:
        has_elites = search.algorithm == "genetic" and search.scheme == "generations"
        carried = search.elitism if generations and has_elites else 0
        sizes = generation_sizes(state, search.population - carried)
        generations.append(sizes)
        left = None if left is None else left - sum(size * length for size, length in sizes)
    return generations


def makespan(seconds: Sequence[float], devices: int, longest_first: bool = True) -> float:
    """When the last of some trainings ends, if the longest goes first, or each in turn, to whatever device is free."""
    free = [0.0] * devices
    for training in sorted(seconds, reverse=True) if longest_first else seconds:
        heapq.heappush(free, heapq.heappop(free) + training)
    return max(free)


def disk_bytes(state: RunState, networks: Sequence[Sampled], kept: int | None) -> float:
    """What the files of a whole run take: the weights that are kept, and the rest."""
    sizes = all_sizes(state)
    weights = 4 * statistics.fmean(each.cost.parameters for each in networks)
    most = [sum(count for count, _ in generation) for generation in sizes]
    files = (
        sum(most if kept is None else [min(kept, count) for count in most])
        + max(most)
        + trainings_after(state)  # those of an ablation until it is over
        + 1
    )
    return files * weights + BYTES_PER_INDIVIDUAL * state.search.population * len(sizes)


def count_networks(space: NetworkSpace, networks: Sequence[Sampled]) -> str:
    """How many networks a space holds, exactly where they can be listed."""
    bits = len(space.coding_loci)
    if bits <= LISTABLE_BITS:
        distinct = len({space.phenotype(text) for text in every_chromosome(space.length, space.coding_loci)})
        return f"{distinct:,} distinct, of {2**bits:,} settings of {bits} coding bits"
    distinct = len({each.network for each in networks})
    return f"{2**bits:,} settings of {bits} coding bits; {distinct} of {len(networks)} drawn are distinct"


def plan_lines(
    state: RunState, networks: Sequence[Sampled], measured: Measurement, devices: Sequence[str], kept: int | None
) -> list[str]:
    """The plan in words."""
    space, sizes = NetworkSpace.of(state), all_sizes(state)
    value_bytes = 2 if state.training.precision == "bfloat16" else 4
    batch = state.training.micro_batch or state.training.batch_size
    memory = [each.cost.memory(value_bytes, state.training.optimizer).bytes(batch) / 1e6 for each in networks]
    trainings = sum(count for generation in sizes for count, _ in generation)
    epochs = sum(count * length for generation in sizes for count, length in generation)
    after = trainings_after(state)
    speeds = ", ".join(f"{rate:,.0f} ({each.cost.flops / 1e6:,.1f} MFLOPs)" for each, rate in measured.rates)
    last = f", and {after} after them" if after else ""
    whole = duration(run_seconds(state, networks, measured.time, len(devices)))
    return [
        f"space            {count_networks(space, networks)}",
        f"parameters       {spread([each.cost.parameters for each in networks])}",
        f"MFLOPs an image  {spread([each.cost.flops / 1e6 for each in networks], 1)}",
        f"memory in MB     {spread(memory)}, beside the process",
        f"trainings        up to {trainings:,} in {len(sizes)} generations, {epochs:,} epochs{last}",
        f"images/s         {speeds}",
        f"time             about {whole} on {', '.join(devices)}",
        f"disk             about {disk_bytes(state, networks, kept) / 1e6:,.0f} MB",
    ]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The least, the median and the most of some values."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:,.{digits}f} to {high:,.{digits}f}, median {middle:,.{digits}f} ({len(values)} networks at random)"


def plan_run(request: Request, stop: StopSignals) -> list[str]:
    """Measures a few networks on the devices of a request, in a folder that is removed again; the plan in words."""
    threads = request.new(TrainingConfig).threads
    with tempfile.TemporaryDirectory(prefix="plan_") as folder:
        run = RunDirectory(Path(folder))
        with open_workers(request, run, threads) as workers:
            data = load_image_data(request.new(DataConfig))
            state = new_state(request, data, workers)
            workers.hold(fewer_images(data), state.training)
            networks = sample(NetworkSpace.of(state), state.search.seed)
            brief_state = brief(state, data)
            means = Means(workers=workers, stop=stop, limits=request.limits)
            measured = measure(Trainings(run, brief_state, means, Watcher()), brief_state, networks)
            names = [slot.name for slot in workers.slots]
    return plan_lines(state, networks, measured, names, request.limits.models_kept)
