"""What a run would train, and what that would cost, before it costs anything."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Sequence

import numpy as np

from image_data import load_image_data
from records import DataConfig, RunState, TrainingConfig
from records.texts import NetworkText
from records.words import counted, duration
from reporting.watcher import Watcher
from run.jobs import Jobs
from run.measurement import MEASURED, Measurement, MeasuringWatcher, Sampled, brief, fewer_images, measure, sample
from run.opening import earlier_runs
from run.request import Request
from run.session import introduce, new_state, open_workers
from run.stop_signals import StopSignals
from run.time_estimate import TimeEstimate, generation_sizes, trainings_after
from run.training_time import TrainingTime
from run.trainings import Means, Trainings
from search.base import LISTABLE_BITS
from search_space.encoding import every_chromosome
from search_space.space import NetworkSpace
from storage.directory import RunDirectory
from storage.results import has_trained

GENERATION_SECONDS = 0.4  # saved, drawn and asked for, between two generations
START_SECONDS = 2.5  # imports, workers, data, and the test at the end; of a run on digits
BYTES_PER_INDIVIDUAL = 20_000  # its files without weights, and its share of the states


def run_seconds(
    state: RunState,
    networks: Sequence[Sampled],
    time: TrainingTime,
    devices: int,
    known: frozenset[str] = frozenset(),
) -> float:
    """The expected seconds of a whole run, by drawing its networks at random and handing them to devices.

    The first trainings of the individuals `known`, of the first generation, take no time.
    """
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
    new = [space.network(each.chromosome) for each in state.population if each.name not in known]
    after = generation(trainings_after(state), state.training.epochs)
    if state.search.scheme == "steady_state":
        count = sum(count for later in sizes for count, _ in later)
        every = [*new, *drawn(max(0, count - len(first)))][:count]
        return total + seconds(every, state.training.epochs, longest_first=False) + GENERATION_SECONDS + after
    (_, shortest), *longer = sizes[0]
    total += seconds(new, shortest) + sum(seconds(first[:count], length) for count, length in longer)
    total += GENERATION_SECONDS
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
    state: RunState,
    networks: Sequence[Sampled],
    measured: Measurement,
    devices: Sequence[str],
    kept: int | None,
    known: frozenset[str] | None = None,
) -> list[str]:
    """The plan in words. `known` are the individuals whose first training earlier runs have done, if there are any."""
    space, sizes = NetworkSpace.of(state), all_sizes(state)
    value_bytes = 2 if state.training.precision == "bfloat16" else 4
    batch = state.training.micro_batch or state.training.batch_size
    memory = [each.cost.memory(value_bytes, state.training.optimizer).bytes(batch) / 1e6 for each in networks]
    trainings = sum(count for generation in sizes for count, _ in generation)
    epochs = sum(count * length for generation in sizes for count, length in generation)
    after = trainings_after(state)
    speeds = ", ".join(f"{rate:,.0f} ({each.cost.flops / 1e6:,.1f} MFLOPs)" for each, rate in measured.rates)
    last = f", and {after} after them" if after else ""
    whole = duration(run_seconds(state, networks, measured.time, len(devices), known or frozenset()))
    reused = [] if known is None else [f"reuse            {reuse_in_words(state, known)}"]
    return [
        f"space            {count_networks(space, networks)}",
        f"parameters       {spread([each.cost.parameters for each in networks])}",
        f"MFLOPs an image  {spread([each.cost.flops / 1e6 for each in networks], 1)}",
        f"memory in MB     {spread(memory)}, beside the process",
        f"trainings        up to {trainings:,} in {len(sizes)} generations, {epochs:,} epochs{last}",
        *reused,
        f"images/s         {speeds}",
        f"time             about {whole} on {', '.join(devices)}",
        f"disk             about {disk_bytes(state, networks, kept) / 1e6:,.0f} MB",
    ]


def reuse_in_words(state: RunState, known: frozenset[str]) -> str:
    """How much earlier runs save, as far as it can be known before the search."""
    count = len(state.population)
    return f"{len(known)} of the first {count} trainings are taken over; how many later ones, the search will show"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The least, the median and the most of some values."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:,.{digits}f} to {high:,.{digits}f}, median {middle:,.{digits}f} ({len(values)} networks at random)"


def taken_over(state: RunState, earlier: Sequence[RunDirectory]) -> frozenset[str]:
    """The individuals of the first generation whose first training earlier runs have done."""
    jobs = Jobs(state, NetworkSpace.of(state))
    keys = {each.name: jobs.job(each, jobs.rungs[0]).key for each in state.population}
    return frozenset(name for name, key in keys.items() if any(has_trained(run, key) for run in earlier))


def plan_run(request: Request, run: RunDirectory, stop: StopSignals, watcher: Watcher) -> list[str]:
    """Measures a few networks on the devices of a request, in an empty folder; the plan in words."""
    config = request.new(DataConfig)
    with open_workers(request, run, request.new(TrainingConfig).threads) as workers:
        watcher.said(f"reading the data set {config.dataset}")
        data = load_image_data(config)
        state = new_state(request, data, workers)
        earlier = earlier_runs(request.reuse, state)
        introduce(state, data, workers, watcher)
        workers.hold(fewer_images(data), state.training)
        networks = sample(NetworkSpace.of(state), state.search.seed)
        brief_state, slots = brief(state, data), workers.slots
        watcher.said(
            f"training {len(MEASURED)} networks for one epoch on {brief_state.facts.train_images:,} images, "
            f"after one to warm up each of {counted(len(slots), 'worker')}"
        )
        means = Means(workers=workers, stop=stop, limits=request.limits)
        measuring = MeasuringWatcher(watcher, len(slots) + len(MEASURED))
        measured = measure(Trainings(run, brief_state, means, measuring), brief_state, networks)
        names = [slot.name for slot in slots]
    known = taken_over(state, earlier) if earlier else None
    return plan_lines(state, networks, measured, names, request.limits.models_kept, known)
