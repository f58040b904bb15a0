"""What a run's records say of its course: progress, population, descent, savings, forecasts, devices."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from records import Fitness, Generation, Individual, RunState, TrainingResult
from records.individuals import Forecast, all_individuals
from records.runs import Ablation, Neighbour
from records.texts import JobKey
from records.trainings import Cost, Energy
from search.surrogate import Rungs
from search_space.genes import GeneTable

PAUSE = 60.0  # seconds in which no device trains, from which on the run counts as stopped


def accuracies_by_epochs(individual: Individual) -> dict[int, float]:
    """The accuracy after each length of training that an individual went through."""
    fitnesses: tuple[Fitness | None, ...] = (*individual.earlier, individual.fitness)
    return {fitness.epochs: fitness.value for fitness in fitnesses if fitness is not None}


def common_epochs(individuals: Iterable[Individual]) -> int:
    """The longest training that all individuals have gone through; 0 if none has succeeded.

    With early stopping it is the only one after which all can be compared.
    """
    lengths = [set(curve) for each in individuals if (curve := accuracies_by_epochs(each))]
    return max(set.intersection(*lengths), default=0) if lengths else 0


def longest_epochs(individuals: Sequence[Individual]) -> int:
    """The epochs of the longest training that has succeeded; 0 for none."""
    return max((each.fitness.epochs for each in individuals if each.fitness), default=0)


@dataclass(frozen=True, slots=True)
class Spent:
    """An individual as it came in, and what the run had spent by then."""

    individual: Individual
    trainings: float  # of the full number of epochs; shorter ones count by their share
    device_hours: float


def spending(state: RunState) -> list[Spent]:
    """Every individual with what its trainings, and those of all before it, have cost."""
    seen: set[str] = set()
    found: list[Spent] = []
    trainings = hours = 0.0
    for individual in all_individuals(state.generations):
        for key in individual.jobs:
            if key not in seen:
                seen.add(key)
                result = state.results[key]
                # A failed training counts as a whole, as it does for a budget.
                trainings += (len(result.epochs) or state.training.epochs) / state.training.epochs
                hours += 0.0 if result.cost.reused else result.cost.seconds / 3600
        found.append(Spent(individual, trainings, hours))
    return found


def best_so_far(individuals: Iterable[Individual]) -> Iterator[float | None]:
    """The accuracy of the best individual up to each one, as selection ranks them; None before the first success."""
    best: Individual | None = None
    for individual in individuals:
        if individual.fitness is not None and (best is None or individual.rank < best.rank):
            best = individual
        yield None if best is None or best.fitness is None else best.fitness.value


@dataclass(frozen=True, slots=True)
class Level:
    """How good a generation is, by the accuracies of all that did not fail after equally many epochs."""

    generation: int
    mean: float
    quartiles: tuple[float, float, float]


def levels(generations: Sequence[Generation], epochs: int) -> list[Level]:
    """The level of each generation after so many epochs; generations of failures alone are left out."""
    found = []
    for generation in generations:
        curves = [accuracies_by_epochs(individual) for individual in generation.individuals]
        values = [curve[epochs] for curve in curves if epochs in curve]
        if values:
            low, middle, high = (float(value) for value in np.percentile(values, [25, 50, 75]))
            found.append(Level(generation.number, statistics.fmean(values), (low, middle, high)))
    return found


def allele_frequencies(generations: Sequence[Generation]) -> NDArray[np.float64]:
    """(generations, loci): the share of individuals that have a 1 at the locus."""
    return np.array(
        [
            np.mean([[bit == "1" for bit in each.chromosome] for each in generation.individuals], axis=0)
            for generation in generations
        ]
    )


def entropy(frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits of uncertainty about an allele of this frequency: 0 where all agree, 1 at one half (Shannon 1948)."""
    shares = np.stack([frequencies, 1 - frequencies])
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(0))


@dataclass(frozen=True, slots=True)
class Diversity:
    """How much the members of a generation differ: in bits that code, and in networks."""

    generation: int
    distance: float  # mean share of coding bits in which two individuals differ
    entropy: float  # mean over coding loci, bits
    networks: int  # distinct ones, by their trainings


def diversity(generations: Sequence[Generation], table: GeneTable) -> list[Diversity]:
    found = []
    loci = list(table.coding_loci)
    for generation, row in zip(generations, allele_frequencies(generations), strict=True):
        count, shares = len(generation.individuals), row[loci]
        # Of all pairs of two individuals, those that differ at a locus: 2 n₀ n₁ / n (n − 1).
        pairs = 2 * shares * (1 - shares) * count / max(1, count - 1)
        networks = len({each.jobs[-1] if each.jobs else each.name for each in generation.individuals})
        found.append(Diversity(generation.number, float(pairs.mean()), float(entropy(shares).mean()), networks))
    return found


@dataclass(frozen=True, slots=True)
class Descent:
    """A step from parent to child: the coding bits and genes that changed, and what that brought."""

    parent: Individual
    child: Individual
    loci: tuple[int, ...]
    changes: tuple[tuple[str, object, object], ...]  # gene, value of the parent, value of the child
    gain: float | None  # of accuracy, after the longest training that both went through
    epochs: int  # of that training


def descent(parent: Individual, child: Individual, table: GeneTable) -> Descent:
    before, after = accuracies_by_epochs(parent), accuracies_by_epochs(child)
    epochs = max(before.keys() & after.keys(), default=0)
    values = [(gene.name, gene.value(parent.chromosome), gene.value(child.chromosome)) for gene in table.genes]
    return Descent(
        parent=parent,
        child=child,
        loci=tuple(locus for locus in table.coding_loci if parent.chromosome[locus] != child.chromosome[locus]),
        changes=tuple(change for change in values if change[1] != change[2]),
        gain=after[epochs] - before[epochs] if epochs else None,
        epochs=epochs,
    )


def lineage(individuals: Sequence[Individual], name: str, table: GeneTable) -> list[Descent]:
    """All steps that led to an individual, from the beginning on. Elites stand for whom they are copies of."""
    by_name = {individual.name: individual for individual in individuals}
    steps: list[Descent] = []
    open_names, seen = [original(by_name, name).name], set[str]()
    while open_names:
        child = by_name[open_names.pop()]
        if child.name not in seen:
            seen.add(child.name)
            parents = {original(by_name, parent).name for parent in child.parents}
            steps += [descent(by_name[parent], child, table) for parent in sorted(parents)]
            open_names += parents
    return sorted(steps, key=lambda step: (step.child.generation, step.child.index, step.parent.rank))


def original(by_name: Mapping[str, Individual], name: str) -> Individual:
    """The individual that an elite is a copy of; any other is its own."""
    individual = by_name[name]
    while individual.origin == "elite":
        individual = by_name[individual.parents[0]]
    return individual


def main_line(steps: Sequence[Descent], name: str) -> list[Descent]:
    """The steps to an individual through the parent nearer to each child: fewer bits changed, then the fitter."""
    by_child: dict[str, list[Descent]] = {}
    for step in steps:
        by_child.setdefault(step.child.name, []).append(step)
    line: list[Descent] = []
    while name in by_child:
        nearest = min(by_child[name], key=lambda step: (len(step.loci), step.parent.rank))
        line.append(nearest)
        name = nearest.parent.name
    return line[::-1]


def comparable(individuals: Sequence[Individual]) -> dict[str, float]:
    """By name: the accuracy of each individual, brought to the scale of the longest training."""
    rungs = Rungs(individuals)
    aligned = {each.name: rungs.aligned(each) for each in individuals}
    return {name: float(rungs.restored(np.array(value))) for name, value in aligned.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Savings:
    """What a run would have trained without memory and estimate, and what it trained."""

    individuals: int
    networks: int  # distinct ones; the others were known
    full_trainings: float  # in epochs of the full training, as spent
    reused: int  # trainings that earlier runs paid for
    screened: int  # networks that a model chose among many offspring

    @property
    def spared(self) -> float:
        """The share of full trainings that were not spent, if every individual were trained in full."""
        return 1 - self.full_trainings / self.individuals if self.individuals else 0.0


def savings(state: RunState) -> Savings:
    individuals = all_individuals(state.generations)
    spent = spending(state)
    return Savings(
        individuals=len(individuals),
        networks=len({each.jobs[-1] for each in individuals}),
        full_trainings=spent[-1].trainings if spent else 0.0,
        reused=sum(bool(result.cost.reused) for result in state.results.values()),
        screened=sum(each.forecast is not None for each in individuals),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was expected of a network before its training, and what came out."""

    individual: Individual
    forecast: Forecast
    accuracy: float
    in_full: bool  # whether it trained in full; the forecast is of that

    @property
    def within(self) -> bool:
        """Whether the outcome lies within the forecast's 95% interval."""
        return abs(self.accuracy - self.forecast.mean) <= 1.96 * self.forecast.deviation


def outcomes(individuals: Sequence[Individual]) -> list[Outcome]:
    """Forecasts and outcomes; shorter trainings are brought to the scale of the longest."""
    longest = longest_epochs(individuals)
    values = comparable(individuals)
    return [
        Outcome(each, each.forecast, values[each.name], each.fitness.epochs == longest)
        for each in individuals
        if each.forecast is not None and each.fitness is not None
    ]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two means lie apart, and half of the 95% interval of that; None where either has a single value."""

    mean: float
    half: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.half is not None and abs(self.mean) > self.half


def difference(values: Sequence[float], reference: Sequence[float]) -> Difference | None:
    """The mean of values less that of a reference, of unequal variances (Welch 1947); None without values."""
    if not values or not reference:
        return None
    mean = statistics.fmean(values) - statistics.fmean(reference)
    if min(len(values), len(reference)) < 2:
        return Difference(mean, None)
    parts = [(statistics.variance(each) / len(each), len(each) - 1) for each in (values, reference)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Difference(mean, 0.0)
    # Shares, not squares of the parts: those of variances below 1e-162 are zero.
    freedom = 1 / sum((part / variance) ** 2 / degrees for part, degrees in parts)
    return Difference(mean, float(stdtrit(freedom, 0.975)) * math.sqrt(variance))


def by_effect(ablation: Ablation) -> list[tuple[Neighbour, Difference]]:
    """The neighbours that are other networks and trained, with their difference to the best; the largest loss first."""
    found = [
        (each, apart)
        for each in ablation.neighbours
        if not each.is_same_network and (apart := difference(each.accuracies, ablation.accuracies)) is not None
    ]
    return sorted(found, key=lambda pair: pair[1].mean)


@dataclass(frozen=True, slots=True)
class Bar:
    """A training on its device. Times in seconds of work since the run began, pauses of the run taken out."""

    device: str
    start: float
    end: float
    key: JobKey
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the devices of a run did."""

    bars: tuple[Bar, ...]
    devices: tuple[str, ...]
    pauses: tuple[tuple[float, float], ...]  # where on that axis the run was stopped, and for how many seconds

    @property
    def seconds(self) -> float:
        """From the first training's start to the last one's end, without pauses."""
        return max((bar.end for bar in self.bars), default=0.0)

    @property
    def busy(self) -> float:
        """Seconds of all trainings together."""
        return sum(bar.end - bar.start for bar in self.bars)

    @property
    def utilisation(self) -> float:
        """The share of the devices' time in which they trained."""
        return self.busy / (self.seconds * len(self.devices)) if self.bars else 0.0


def timeline(results: Iterable[TrainingResult]) -> Timeline:
    """The trainings of a run by device.

    Left out are those that an earlier run paid for, and those that failed before their clock ran.
    """
    timed = [result for result in results if result.cost.started > 0 and not result.cost.reused]
    timed.sort(key=lambda result: result.cost.started)
    bars: list[Bar] = []
    pauses: list[tuple[float, float]] = []
    shift = timed[0].cost.started if timed else 0.0
    latest = 0.0
    for result in timed:
        start = result.cost.started - shift
        if start - latest > PAUSE:
            pauses.append((latest, start - latest))
            shift += start - latest
            start = latest
        bars.append(Bar(result.cost.device, start, start + result.cost.seconds, result.key, result.status == "done"))
        latest = max(latest, bars[-1].end)
    return Timeline(tuple(bars), tuple(sorted({bar.device for bar in bars}, key=_by_number)), tuple(pauses))


@dataclass(frozen=True, slots=True)
class EnergyUsed:
    """What the GPUs of a run used while they trained for it, by the names of the devices."""

    joules: Mapping[str, float]
    known: int  # trainings of which it is known
    trainings: int

    @property
    def words(self) -> str:
        """In kWh, of all and of each; which trainings are missing, if any are."""
        each = ", ".join(f"{device} {_kilowatt_hours(joules)}" for device, joules in self.joules.items())
        missing = "" if self.known == self.trainings else f"; {self.known} of {self.trainings} trainings"
        return f"{_kilowatt_hours(sum(self.joules.values()))} kWh ({each}{missing})"


def energy_used(results: Iterable[TrainingResult]) -> EnergyUsed | None:
    """The energy of a run; None if nothing is known of it.

    Left out are trainings that an earlier run paid for, and those that failed before their clock ran.
    Where several trained on one GPU at once, what its counter ran through is counted once.
    """
    timed = [result for result in results if result.cost.started > 0 and not result.cost.reused]
    by_gpu: dict[str, list[tuple[Cost, Energy]]] = {}
    for cost in sorted((result.cost for result in timed), key=lambda cost: cost.started):
        if cost.energy is not None:
            by_gpu.setdefault(cost.energy.gpu, []).append((cost, cost.energy))
    joules: dict[str, float] = {}
    for trainings in by_gpu.values():
        device = re.sub(r"(gpu \d+)\.\d+$", r"\1", trainings[0][0].device)  # "gpu 1.2" is the second worker of "gpu 1"
        joules[device] = joules.get(device, 0.0) + sum(map(covered, _unbroken(trainings)))
    ordered = {device: joules[device] for device in sorted(joules, key=_by_number)}
    known = sum(len(trainings) for trainings in by_gpu.values())
    return EnergyUsed(ordered, known, len(timed)) if known else None


def _unbroken(trainings: Iterable[tuple[Cost, Energy]]) -> Iterator[list[tuple[float, float]]]:
    """What the counter of a GPU ran through in trainings, which are in the order of their start.

    Apart for each load of its driver, which begins anew at zero: that can only be while nothing trains.
    """
    intervals: list[tuple[float, float]] = []
    latest = highest = 0.0
    for cost, energy in trainings:
        if intervals and cost.started >= latest and energy.before < highest:
            yield intervals
            intervals, highest = [], 0.0
        intervals.append((energy.before, energy.after))
        latest, highest = max(latest, cost.started + cost.seconds), max(highest, energy.before)
    yield intervals


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of all that lies in at least one interval; one that ends before it begins is empty."""
    length, reached = 0.0, -math.inf
    for start, end in sorted(intervals):
        length += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return length


def _kilowatt_hours(joules: float) -> str:
    value = joules / 3.6e6
    return f"{value:,.2f}" if value >= 1 else f"{value:.3g}"


def _by_number(device: str) -> list[tuple[int, str]]:
    """Sort key under which "gpu 10" comes after "gpu 9"."""
    parts = ("".join(group) for _, group in itertools.groupby(device, str.isdigit))
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]
