"""How busy 1 to 4,096 devices would be: the real engine and the real JobQueue, on a clock that is simulated.

usage: python benchmarks/simulate_scaling.py [--full | --devices N ...] [--early_stopping halving] [--json FILE]

No network is trained. The time that a training is expected to take is TrainingTime's, at the prices of training_time.py
(measured on one core with AMX), for 9 epochs of 45,000 images of 3×32×32. It really takes that times lognormal noise of
σ = .16: a median error of 11%, which docs/performance.md gives for CIFAR-10. Accuracies are made up: every coding bit
has a weight of its own, drawn anew for each seed, and a training adds noise; how long a network takes says nothing of
how good it is. The surrogate is off. Efficiency is the sum of the training times / (devices × makespan), the end of the
run, when devices run out of work, included.

- longest first: a generation ends before the next one is bred; the longest expected training starts first.
- first come: the same generations, in the order of the population.
- steady state: whenever a device falls free, the engine's operators breed one offspring from the best results so far;
  as many trainings in all. (It has no halving.)

Where a run would train more than half of the 12,672 networks of the standard encoding, it takes the extended one.
"""

from __future__ import annotations

import argparse
import bisect
import heapq
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from genetic_algorithm import GeneticAlgorithm
from job_queue import JobQueue
from records import (
    DataConfig,
    EvolutionConfig,
    Fitness,
    Individual,
    RunState,
    TrainingConfig,
    TrainingJob,
    TrainingResult,
)
from records.costs import Cost
from records.machine import cores, processor_name
from records.runs import DataFacts
from records.texts import Chromosome, JobKey, NetworkText
from records.trainings import Epoch
from run.training_time import Effort, TrainingTime
from search.early_stopping import promoted, rungs
from search.operators import random_bits
from search.ranking import rank
from search_space.architecture import architecture_of
from search_space.space import NetworkSpace
from search_space.tables import encoding_of, gene_table, gene_table_text
from storage.checkpoint import save_state
from storage.directory import RunDirectory
from storage.results import seal_result

EPOCHS, IMAGES, BATCH = 9, 45_000, 128
TIME_NOISE = 0.16  # σ of the logarithm; a median error of 11%
ACCURACY_NOISE = 0.25  # in standard deviations of the networks' true worth
STANDARD_NETWORKS = 12_672
QUICK, FULL = (1, 4, 16, 64), (1, 4, 16, 64, 256, 1024, 4096)
COST_JOBS, COST_WORKERS = 10_000, 1024
FACTS = DataFacts(
    fingerprint="0" * 64,
    input_shape=(3, 32, 32),
    class_names=tuple(map(str, range(10))),
    train_images=IMAGES,
    val_images=5000,
    test_images=10000,
)
PROTOCOL = TrainingConfig(epochs=EPOCHS, batch_size=BATCH)


@dataclass(frozen=True, slots=True)
class Training:
    """A job, the seconds that it is expected to take, and those that it takes."""

    job: TrainingJob
    name: str
    expected: float
    seconds: float


class World:
    """What would happen on devices: how long trainings take, and how good networks are."""

    def __init__(self, encoding: str, seed: int) -> None:
        self.space = NetworkSpace(encoding_of(FACTS, gene_table_text(gene_table(encoding))))
        self.rng, self.time = np.random.default_rng([seed, 1]), TrainingTime()
        weights = np.zeros(self.space.length)
        loci = list(self.space.coding_loci)
        weights[loci] = self.rng.standard_normal(len(loci))
        self.weights = weights / np.sqrt((weights**2).sum() / 4)  # a random network's worth has a variance of 1

    def worth(self, chromosome: Chromosome) -> float:
        """How good a network truly is, in standard deviations above a random one."""
        bits = np.frombuffer(chromosome.encode(), dtype=np.uint8) - ord("0")
        return float((bits - 0.5) @ self.weights)

    def training(self, individual: Individual, epochs: int) -> Training:
        protocol = PROTOCOL if epochs == EPOCHS else replace(PROTOCOL, epochs=epochs)
        phenotype = self.space.phenotype(individual.chromosome)
        job = TrainingJob(phenotype=NetworkText(phenotype), protocol=protocol, data_fingerprint=FACTS.fingerprint)
        architecture = architecture_of(self.space.network(individual.chromosome))
        expected = self.time.seconds(Effort(architecture, IMAGES * epochs, BATCH))
        seconds = expected * float(np.exp(TIME_NOISE * self.rng.standard_normal()))
        return Training(job, individual.name, expected, seconds)

    def trained(self, individual: Individual, epochs: int) -> Individual:
        """The individual with an accuracy, which the logistic function makes of its worth and of noise."""
        seen = self.worth(individual.chromosome) + ACCURACY_NOISE * self.rng.standard_normal()
        return replace(individual, fitness=Fitness(value=1 / (1 + float(np.exp(-seen))), epochs=epochs))


def result_of(key: str, accuracy: float = 0.0, seconds: float = 0.0) -> TrainingResult:
    epochs = (Epoch(train_loss=0.0, score=accuracy, loss=0.0),) * EPOCHS
    return TrainingResult(key=JobKey(key), status="done", epochs=epochs, cost=Cost(seconds=seconds))


def makespan(trainings: Sequence[Training], devices: int, longest_first: bool) -> float:
    """Seconds until the last training has ended, by the real queue."""
    queue, seconds = JobQueue(), dict[str, float]()
    for place, each in enumerate(trainings):
        attempt = queue.add(each.job, name=each.name, work=each.expected if longest_first else -place)
        seconds[attempt.key] = each.seconds
    last = 0.0
    devices_free = [(0.0, "")] * min(devices, len(trainings))  # when, and the key of the job that ends then
    while not queue.is_finished:
        moment, key = heapq.heappop(devices_free)
        last = max(last, moment)
        if key:
            queue.finish(result_of(key))
        if (started := queue.start()) is not None:
            heapq.heappush(devices_free, (moment + seconds[started.key], started.key))
    return last


@dataclass
class Outcome:
    """What came of a run: the seconds of all trainings, those until its end, and the worth of its best network."""

    trainings: int
    work: float
    longest_first: float
    first_come: float
    worth: float


def by_generations(search: EvolutionConfig, devices: int, world: World) -> Outcome:
    """A search that waits for the end of each generation, and with halving for the end of each rung."""
    engine, space = GeneticAlgorithm(search, world.space), world.space
    known: dict[str, Individual] = {}
    outcome = Outcome(0, 0.0, 0.0, 0.0, 0.0)
    for _ in range(search.generations):
        asked = engine.ask()
        distinct = {space.phenotype(each.chromosome): each for each in asked}
        networks = [network for network in distinct if network not in known]
        lengths = rungs(EPOCHS, search.reduction_factor) if search.early_stopping == "halving" else (EPOCHS,)
        for rung, epochs in enumerate(lengths):
            if rung:
                best = rank([known[network] for network in networks], search.objectives)
                best = best[: promoted(len(networks), search.reduction_factor)]
                networks = [space.phenotype(each.chromosome) for each in best]
            trainings = [world.training(distinct[network], epochs) for network in networks]
            if trainings:
                outcome.longest_first += makespan(trainings, devices, longest_first=True)
                outcome.first_come += makespan(trainings, devices, longest_first=False)
            outcome.trainings += len(trainings)
            outcome.work += sum(each.seconds for each in trainings)
            known |= {network: world.trained(distinct[network], epochs) for network in networks}
        engine.tell([replace(each, fitness=known[space.phenotype(each.chromosome)].fitness) for each in asked])
    if engine.best is not None:
        outcome.worth = world.worth(engine.best.chromosome)
    return outcome


class SteadyState(GeneticAlgorithm):
    """Offspring one at a time, from the best `population` results so far; the operators are the engine's."""

    def __init__(self, search: EvolutionConfig, space: NetworkSpace) -> None:
        super().__init__(search, space)
        self.rng, self.pool, self.asked = np.random.default_rng(search.seed), list[Individual](), 0

    def _parents(self) -> list[Individual]:
        return self.pool

    def ask_one(self) -> Individual:
        """The next to be trained; the first `population` are random, as those of the first generation are."""
        first, self.asked = self.asked < self.config.population, self.asked + 1
        bred = random_bits(self.rng, self.space.length) if first else self._breed(self.rng, self._known)
        made = self._make_new(self.rng, bred, self._known)
        self._known.add(self.space.phenotype(made.chromosome))
        return Individual(
            generation=1, index=self.asked, chromosome=made.chromosome, origin=made.origin, parents=made.parents
        )

    def tell_one(self, individual: Individual) -> None:
        bisect.insort(self.pool, individual, key=lambda each: each.rank)
        del self.pool[self.config.population :]


def steady_state(search: EvolutionConfig, devices: int, world: World, trainings: int) -> Outcome:
    """A search that never waits: a device that falls free is given a new offspring at once."""
    engine, queue, work = SteadyState(search, world.space), JobQueue(), 0.0
    running: list[tuple[float, int, str, Individual | None]] = [(0.0, -n, "", None) for n in range(devices)]
    moment = 0.0
    while running:
        moment, _, key, individual = heapq.heappop(running)
        if individual is not None:
            queue.finish(result_of(key))
            engine.tell_one(world.trained(individual, EPOCHS))
        if engine.asked < trainings:
            asked = engine.ask_one()
            training = world.training(asked, EPOCHS)
            queue.add(training.job, name=asked.name, work=training.expected)
            attempt = queue.start()
            if attempt is not None:
                work += training.seconds
                heapq.heappush(running, (moment + training.seconds, engine.asked, attempt.key, asked))
    return Outcome(trainings, work, moment, moment, world.worth(engine.pool[0].chromosome))


@dataclass(frozen=True)
class Row:
    """Means over the seeds: efficiencies, and by how much the best network is better than a random one."""

    devices: int
    population: int
    encoding: str
    seeds: int
    trainings: int
    longest_first: float
    first_come: float
    steady_state: float | None
    worth: float
    steady_worth: float | None


def simulate(devices: int, population: int, generations: int, early_stopping: str, seeds: int) -> Row:
    encoding = "standard" if population * generations <= STANDARD_NETWORKS / 2 else "extended"
    pairs: list[tuple[Outcome, Outcome | None]] = []
    for seed in range(seeds):
        search = EvolutionConfig(
            generations=generations,
            population=population,
            encoding=encoding,
            seed=seed,
            early_stopping=early_stopping,
            surrogate="off",
        )
        outcome = by_generations(search, devices, World(encoding, seed))
        halving = early_stopping == "halving"
        steady = None if halving else steady_state(search, devices, World(encoding, seed), outcome.trainings)
        pairs.append((outcome, steady))
    barrier, steady_ones = [each for each, _ in pairs], [each for _, each in pairs if each is not None]
    return Row(
        devices,
        population,
        encoding,
        seeds,
        round(statistics.fmean(each.trainings for each in barrier)),
        statistics.fmean(each.work / (devices * each.longest_first) for each in barrier),
        statistics.fmean(each.work / (devices * each.first_come) for each in barrier),
        statistics.fmean(each.work / (devices * each.longest_first) for each in steady_ones) if steady_ones else None,
        statistics.fmean(each.worth for each in barrier),
        statistics.fmean(each.worth for each in steady_ones) if steady_ones else None,
    )


def now() -> NDArray[np.float64]:
    """(2,): seconds by the clock, and those of the processor, without waiting for the disk or for other processes."""
    return np.array([time.perf_counter(), time.process_time()])


def main_process_cost(folder: Path) -> dict[str, float]:
    """What the main process itself spends on 10,000 jobs of 1,024 simulated workers, in five generations.

    Engine, keys, expected times, queue; then, apart, results sealed and a checkpoint for each generation, on disk.
    """
    search = EvolutionConfig(
        generations=5, population=COST_JOBS // 5, encoding="extended", elitism=0, early_stopping="none", surrogate="off"
    )
    world, run = World("extended", 0), RunDirectory(folder)
    engine, results = GeneticAlgorithm(search, world.space), dict[JobKey, TrainingResult]()
    parts = ("engine", "jobs and queue", "results sealed", "checkpoints")
    spent = {part: np.zeros(2) for part in parts}  # (2,) seconds by the clock, and of the processor
    state = RunState(
        version="simulated",
        search=search,
        training=PROTOCOL,
        data=DataConfig(),
        facts=FACTS,
        gene_table=gene_table_text(gene_table("extended")),
        generations=(),
        results={},
        population=(),
    )
    for _ in range(search.generations):
        clock = now()
        asked = engine.ask()
        spent["engine"] += now() - clock
        clock = now()
        trainings = [world.training(each, EPOCHS) for each in asked]
        makespan(trainings, COST_WORKERS, longest_first=True)
        spent["jobs and queue"] += now() - clock
        told = [world.trained(each, EPOCHS) for each in asked]
        told = [replace(each, jobs=(training.job.key,)) for each, training in zip(told, trainings, strict=True)]
        clock = now()
        for each in told:
            value = 0.0 if each.fitness is None else each.fitness.value
            results[each.jobs[0]] = result_of(each.jobs[0], value)
            seal_result(run, results[each.jobs[0]])
        spent["results sealed"] += now() - clock
        clock = now()
        engine.tell(told)
        spent["engine"] += now() - clock
        clock = now()
        save_state(run, replace(state, generations=tuple(engine.generations), results=results))
        spent["checkpoints"] += now() - clock
    spent["all"] = np.sum(list(spent.values()), axis=0)
    cost: dict[str, float] = {}
    for name, (clock_seconds, processor_seconds) in spent.items():
        cost[f"{name}, ms a job"] = 1000 * float(clock_seconds) / COST_JOBS
        cost[f"{name}, ms a job, processor"] = 1000 * float(processor_seconds) / COST_JOBS
    cost["peak memory, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return cost


def populations(devices: int) -> list[int]:
    few = [10, 20] if devices <= 16 else []
    shares = (1, 2, 4, 8) if devices <= 64 else (1, 2, 4)
    return sorted({*few, *(k * devices for k in shares if k * devices >= 4)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=QUICK)
    parser.add_argument("--full", action="store_true", help=f"1 to {FULL[-1]:,} devices")
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5, help="for up to 64 devices; beyond that a run is large")
    parser.add_argument("--early_stopping", choices=("none", "halving"), default="none")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    options = parser.parse_args()
    print(f"{processor_name()}, {cores()} cores; {options.generations} generations, {options.early_stopping}\n")
    with tempfile.TemporaryDirectory() as name:  # first, so that its peak of memory is its own
        cost = main_process_cost(Path(name))
    print("\n".join(f"{name:40}{value:8.2f}" for name, value in cost.items()) + "\n", flush=True)
    heads = ("devices", "population", "encoding", "seeds", "trainings", "longest first", "first come", "steady state")
    print("".join(f"{head:>14}" for head in (*heads, "best", "best, steady")))
    rows = []
    for devices in FULL if options.full else options.devices:
        for population in populations(devices):
            seeds = options.seeds if devices <= 64 else 1
            row = simulate(devices, population, options.generations, options.early_stopping, seeds)
            rows.append(row)
            values = asdict(row).values()
            cells = [f"{value:.3f}" if isinstance(value, float) else str(value or "-") for value in values]
            print("".join(f"{cell:>14}" for cell in cells), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"cost": cost, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
