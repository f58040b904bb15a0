"""Which early-stopping rule finds better networks with an equal number of epochs: searches replayed on a table.

usage: python benchmarks/stopping_rules.py train --dataset NAME --out FILE.json [--data_dir DIR] [--networks N]
       python benchmarks/stopping_rules.py replay FILE.json [--searches N] [--draw]

`train` fills a table of learning curves: all networks of a subspace of the standard encoding (digits: 128, batch size
32; fashion_mnist: 64 on 4,500 images, multiplier 1), each trained for 1, 3 and 9 epochs with a complete schedule for
each length (replicate 0, which a search sees), and twice more for 9 epochs (replicates 1 and 2, whose mean is the true
accuracy). Networks are trained in a seeded random order; the file is complete at any time, and a second call continues
it.

`replay` runs the real GeneticAlgorithm (with its defaults, without a predictor) over the subspace, N searches (default
50, seeds 0 to N-1) for each rule, and reads trainings from the table. The cost is the number of epochs trained, with
each training counted once:

- none: 9 epochs each.
- halving: successive halving within each generation (Jamieson and Talwalkar 2016): all new networks 1 epoch, the
  best third 3 epochs from scratch, the best third of those 9.
- median: 9 epochs each, ended after an epoch in which the validation accuracy is below the median of those trainings of
  earlier generations that reached this epoch (after Golovin et al. 2017).
- short: 3 epochs each, and 9 once for the network handed over (whose seconds are not in the table).

More epochs rank above fewer, whatever the accuracy. Searches end within a generation when the budget is spent. Errors
are standard errors over searches; differences are paired by seed. All searches share one table, and the noise of its
trainings, which can be several times as large, is not part of the errors. With --draw, each search draws for each
network which of the three trainings of 9 epochs it sees, and the mean of the other two is the true accuracy; the
trainings of 1 and 3 epochs exist only once. Rows marked * have seen more than half of the subspace, so more networks
would help them little.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from accuracy import kendall

from genetic_algorithm import GeneticAlgorithm
from image_data import ImageData, load_image_data
from image_data.tensors import TrainingData, to_device
from records import DataConfig, EvolutionConfig, Fitness, Individual, TrainingConfig, TrainingJob
from records.canonical import canonical_json, from_json
from records.machine import processor_name
from records.texts import Chromosome, NetworkText
from search.base import BitStrings
from search.early_stopping import median_curve, promoted, rungs
from search_space.architecture import network_text
from search_space.encoding import Encoding, decode
from search_space.genes import STANDARD_LENGTH
from storage.files import write_durably
from train_model import train_model
from training.device import prepare_device
from training.protocol import resolve_protocol

EPOCHS, FACTOR, SHORT = 9, 3, 3
TRUTH = (1, 2)  # replicates that no search sees
BUDGETS = tuple(EPOCHS * trainings for trainings in (5, 10, 15, 20, 30, 45))
FIXED = Chromosome(
    "0000000000011111111"
)  # multiplier 1, kernel 1, ReLU, early max pooling, one convolution in each block
LOCI = {  # multiplier 1 or 2, kernel 1 or 3, ReLU or ELU, kind and place of pooling, blocks 1 and 5
    "digits": (1, 4, 6, 9, 10, 12, 16),
    "fashion_mnist": (4, 6, 9, 10, 12, 16),
}
TASKS = {
    "digits": (DataConfig(dataset="digits"), TrainingConfig(epochs=EPOCHS, batch_size=32)),
    "fashion_mnist": (DataConfig(dataset="fashion_mnist", train_limit=5000), TrainingConfig(epochs=EPOCHS)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One training, epoch by epoch: validation accuracies (0 to 1) and losses (nats)."""

    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    seconds: float
    parameters: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Learning curves of a subspace, by `place`: the free bits, the epochs of the schedule, the replicate."""

    dataset: str
    loci: tuple[int, ...]  # the free ones; the others are those of FIXED
    protocol: str  # JSON, as it was at the time: the settings may change in later versions
    fingerprint: str
    made_with: str
    curves: dict[str, Curve]

    @property
    def networks(self) -> list[str]:
        """The free bits of each network with all its trainings, in ascending order."""
        return sorted({key.split("/")[0] for key in self.curves if key.endswith(f"/{EPOCHS}/{TRUTH[-1]}")})

    def curve(self, bits: str, epochs: int) -> Curve:
        """The learning curve of a training that a search sees."""
        return self.curves[place(bits, epochs, 0)]

    def truth(self, bits: str) -> float:
        """Mean accuracy of the replicates that no search sees."""
        return statistics.mean(self.curves[place(bits, EPOCHS, replicate)].accuracies[-1] for replicate in TRUTH)


def drawn(table: Table, seed: int) -> Table:
    """The table with the replicates of 9 epochs of each network in a random order."""
    rng, curves = np.random.default_rng([seed, EPOCHS]), dict(table.curves)
    for bits in table.networks:
        for replicate, source in enumerate(rng.permutation(1 + len(TRUTH)).tolist()):
            curves[place(bits, EPOCHS, replicate)] = table.curves[place(bits, EPOCHS, source)]
    return replace(table, curves=curves)


def place(bits: str, epochs: int, replicate: int) -> str:
    return f"{bits}/{epochs}/{replicate}"


def every_network(length: int) -> list[str]:
    return [f"{number:0{length}b}" for number in range(2**length)]


def chromosome_of(bits: str, loci: Sequence[int]) -> Chromosome:
    """The chromosome with the free bits at their loci."""
    chromosome = list(FIXED)
    for locus, bit in zip(loci, bits, strict=True):
        chromosome[locus] = bit
    return Chromosome("".join(chromosome))


def epochs_until_stopped(accuracies: Sequence[float], least: Sequence[float]) -> int:
    """The epochs that are trained: up to the first whose accuracy is below the threshold, or all."""
    pairs = zip(accuracies, least, strict=False)  # no training went further than the shorter of the two
    return next((epoch for epoch, (found, bar) in enumerate(pairs, start=1) if found < bar), len(accuracies))


@dataclass(frozen=True, slots=True)
class Trial:
    """A training under a rule: `epochs` of a schedule of `schedule` epochs."""

    individual: Individual
    schedule: int
    epochs: int

    @property
    def bits(self) -> str:
        return self.individual.chromosome


def evaluated(individual: Individual, trial: Trial, table: Table) -> Individual:
    """The individual with the fitness of a trial: more epochs rank above fewer, then accuracy counts."""
    curve, last = table.curve(trial.bits, trial.schedule), trial.epochs - 1
    fitness = Fitness(
        value=curve.accuracies[last], loss=curve.losses[last], parameters=curve.parameters, epochs=trial.epochs
    )
    return replace(individual, fitness=fitness)


Rule = Callable[[Sequence[Individual], Sequence[Trial], Table], Iterator[Trial]]


def train_all(epochs: int) -> Rule:
    def rule(new: Sequence[Individual], earlier: Sequence[Trial], table: Table) -> Iterator[Trial]:
        yield from (Trial(individual, epochs, epochs) for individual in new)

    return rule


def halve(new: Sequence[Individual], earlier: Sequence[Trial], table: Table) -> Iterator[Trial]:
    contenders = list(new)
    for epochs in rungs(EPOCHS, FACTOR):
        trials = [Trial(individual, epochs, epochs) for individual in contenders]
        yield from trials
        trials.sort(key=lambda trial: evaluated(trial.individual, trial, table).rank)
        contenders = [trial.individual for trial in trials[: promoted(len(trials), FACTOR)]]


def stop_under_median(new: Sequence[Individual], earlier: Sequence[Trial], table: Table) -> Iterator[Trial]:
    past = [table.curve(trial.bits, EPOCHS).accuracies[: trial.epochs] for trial in earlier]
    least = median_curve(past)
    for individual in new:
        accuracies = table.curve(individual.chromosome, EPOCHS).accuracies
        yield Trial(individual, EPOCHS, epochs_until_stopped(accuracies, least))


RULES: dict[str, Rule] = {
    "none": train_all(EPOCHS),
    "halving": halve,
    "median": stop_under_median,
    "short": train_all(SHORT),
}


@dataclass(frozen=True, slots=True)
class Step:
    """The state of a search after a training: what it has spent, and what it would hand over."""

    epochs: int
    seconds: float
    seen: int  # networks
    best: str


def search(table: Table, rule: Rule, seed: int, budget: int) -> list[Step]:
    """One search, up to the generation in which `budget` epochs are spent or the subspace is exhausted."""
    engine = GeneticAlgorithm(EvolutionConfig(seed=seed), BitStrings(len(table.loci)))
    known: dict[str, Trial] = {}
    steps: list[Step] = []
    best: Individual | None = None
    epochs, seconds = 0, 0.0
    while epochs < budget and len(known) < len(table.networks):
        individuals = engine.ask()
        new = [individual for individual in individuals if individual.chromosome not in known]
        for trial in rule(new, list(known.values()), table):
            known[trial.bits] = trial
            found = evaluated(trial.individual, trial, table)
            best = found if best is None or found.rank < best.rank else best
            epochs += trial.epochs
            seconds += table.curve(trial.bits, trial.schedule).seconds * trial.epochs / trial.schedule
            steps.append(Step(epochs, seconds, len(known), best.chromosome))
        engine.tell([evaluated(individual, known[individual.chromosome], table) for individual in individuals])
    return steps


def at_budget(steps: Sequence[Step], name: str, budget: int) -> Step:
    """The last step of a search within the budget."""
    left = budget - (EPOCHS if name == "short" else 0)  # for the network handed over
    return [step for step in steps if step.epochs <= left][-1]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def print_rules(tables: Sequence[Table]) -> None:
    """The rules at each budget; the search of seed n sees the table at n."""
    top = statistics.mean(max(table.truth(bits) for bits in table.networks) for table in tables)
    half = len(tables[0].networks) / 2
    traces = {
        name: [search(table, rule, seed, BUDGETS[-1]) for seed, table in enumerate(tables)]
        for name, rule in RULES.items()
    }
    print(f"\n{'epochs':>6}  {'rule':8}{'true accuracy':>17}{'regret':>9}{'minus none':>19}{'in errors':>11}"
          f"{'networks':>10}{'seconds':>9}")  # fmt: skip
    for budget in BUDGETS:
        plain: list[float] = []
        for name, runs in traces.items():
            steps = [at_budget(steps, name, budget) for steps in runs]
            values = [table.truth(step.best) for table, step in zip(tables, steps, strict=True)]
            plain = plain or values
            mean, error = mean_and_error(values)
            seen = statistics.mean(step.seen for step in steps)
            gap, gap_error = mean_and_error([value - base for value, base in zip(values, plain, strict=True)])
            cells = (f"{gap:+.4f} ± {gap_error:.4f}", f"{gap / gap_error:+.1f}") if gap_error else ("", "")
            print(f"{budget:6}  {name:8}{f'{mean:.4f} ± {error:.4f}':>17}{top - mean:9.4f}{cells[0]:>19}{cells[1]:>11}"
                  f"{seen:10.1f}{statistics.mean(step.seconds for step in steps):9.0f}"
                  f"{' *' if seen > half else ''}")  # fmt: skip


def print_correlations(table: Table) -> None:
    """How well short trainings predict the true accuracy, over all networks and over the better half."""
    order = sorted(table.networks, key=table.truth, reverse=True)
    print(f"\n{'Kendall τ with the truth':32}{'all':>8}{'better half':>13}")
    rows: dict[str, Callable[[str], float]] = {
        f"{epochs} of {schedule} epochs": lambda bits, epochs=epochs, schedule=schedule: (  # type: ignore[misc]
            table.curve(bits, schedule).accuracies[epochs - 1]
        )
        for epochs, schedule in ((1, 1), (3, 3), (9, 9), (1, 9), (3, 9))
    }
    for name, value in rows.items():
        taus = [
            kendall([value(bits) for bits in group], [table.truth(bits) for bits in group])
            for group in (order, order[: len(order) // 2])
        ]
        print(f"{name:32}{taus[0]:8.3f}{taus[1]:13.3f}")


def replay(file: Path, searches: int, draw: bool) -> None:
    table = from_json(Table, json.loads(file.read_text(encoding="utf-8")))
    if len(table.networks) < 2 ** len(table.loci):
        sys.exit(f"{file} has {len(table.networks)} of {2 ** len(table.loci)} networks; continue with train")
    truths = sorted((table.truth(bits) for bits in table.networks), reverse=True)
    print(f"{table.dataset}, table made with: {table.made_with}")
    print(f"replayed on {processor_name()}, Python {platform.python_version()}, numpy {np.__version__}; "
          f"{searches} searches, seeds 0 to {searches - 1}, {time.strftime('%Y-%m-%d')}")  # fmt: skip
    print(f"{len(truths)} networks; true accuracy: best {truths[0]:.4f}, tenth {truths[9]:.4f}, "
          f"median {statistics.median(truths):.4f}, worst {truths[-1]:.4f}")  # fmt: skip
    print_correlations(table)
    if draw:
        print("\neach search draws the training of 9 epochs that it sees of a network:", end="")
    print_rules([drawn(table, seed) if draw else table for seed in range(searches)])


def empty_table(dataset: str, protocol: TrainingConfig, images: ImageData) -> Table:
    return Table(
        dataset=dataset,
        loci=LOCI[dataset],
        protocol=canonical_json(asdict(protocol)),
        fingerprint=images.fingerprint,
        made_with=f"{processor_name()}, one thread; Python {platform.python_version()}, torch {torch.__version__}",
        curves={},
    )


def networks_of(table: Table, images: ImageData) -> dict[str, NetworkText]:
    """The text of each network in the subspace. Raises ValueError if two are the same."""
    encoding = Encoding(images.input_shape, images.classes)
    if len(FIXED) != STANDARD_LENGTH:
        raise ValueError(f"FIXED must have {STANDARD_LENGTH} bits, but has {len(FIXED)}")
    texts = {
        bits: network_text(decode(encoding, chromosome_of(bits, table.loci))) for bits in every_network(len(table.loci))
    }
    if len(set(texts.values())) < len(texts):
        raise ValueError(f"loci {table.loci} give {len(set(texts.values()))} different networks, not {len(texts)}")
    return texts


def train_one(job: TrainingJob, data: TrainingData, device: torch.device) -> Curve:
    result, _ = train_model(job, data, device)
    return Curve(
        accuracies=tuple(epoch.score for epoch in result.epochs if epoch.score is not None),
        losses=tuple(epoch.loss for epoch in result.epochs if epoch.loss is not None),
        seconds=round(result.cost.seconds, 3),
        parameters=result.parameters,
    )


def train(dataset: str, file: Path, data_dir: str, most: int | None) -> None:
    """Continues the table in `file`, or begins it."""
    config = replace(TASKS[dataset][0], data_dir=data_dir)
    images = load_image_data(config)
    protocol = resolve_protocol(TASKS[dataset][1], config, images.input_shape, gpu=False)
    table = empty_table(dataset, protocol, images)
    if file.exists():
        found = from_json(Table, json.loads(file.read_text(encoding="utf-8")))
        if replace(found, curves={}) != table:
            sys.exit(f"{file} was made with other settings, data, versions or hardware: {replace(found, curves={})}")
        table = found
    device = prepare_device("cpu", 1, deterministic=False)
    data, texts, curves = to_device(images, device), networks_of(table, images), dict(table.curves)
    order = [list(texts)[index] for index in np.random.default_rng(0).permutation(len(texts))][:most]
    plan = [(epochs, 0) for epochs in rungs(EPOCHS, FACTOR)] + [(EPOCHS, replicate) for replicate in TRUTH]
    clock = time.perf_counter()
    for number, bits in enumerate(order, start=1):
        for epochs, replicate in plan:
            if place(bits, epochs, replicate) not in curves:
                job = TrainingJob(
                    phenotype=texts[bits],
                    protocol=replace(protocol, epochs=epochs),
                    data_fingerprint=table.fingerprint,
                    replicate=replicate,
                )
                curves[place(bits, epochs, replicate)] = train_one(job, data, device)
        table = replace(table, curves=curves)
        write_durably(file, json.dumps(asdict(table)).encode())
        ends = [f"{table.curve(bits, epochs).accuracies[-1]:.3f}" for epochs in rungs(EPOCHS, FACTOR)]
        print(f"{number}/{len(order)} {bits}: {' '.join(ends)}, truth {table.truth(bits):.3f}, "
              f"{time.perf_counter() - clock:.0f} s", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="fill a table of learning curves")
    training.add_argument("--dataset", choices=TASKS, required=True)
    training.add_argument("--out", type=Path, required=True)
    training.add_argument("--data_dir", default="data", help="where torchvision's data sets are")
    training.add_argument("--networks", type=int, help="stop after this many (default: all)")
    replaying = commands.add_parser("replay", help="replay searches on a table")
    replaying.add_argument("file", type=Path)
    replaying.add_argument("--searches", type=int, default=50)
    replaying.add_argument("--draw", action="store_true", help="each search draws at random which training it sees")
    options = parser.parse_args()
    if options.command == "train":
        train(options.dataset, options.out, options.data_dir, options.networks)
    else:
        replay(options.file, options.searches, options.draw)


if __name__ == "__main__":
    main()
