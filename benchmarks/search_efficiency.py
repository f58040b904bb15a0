"""How many trainings a search needs: this engine and others on NAS-Bench-Macro and on pseudo-Boolean functions.

usage: python benchmarks/search_efficiency.py TABLE.json [--seeds 100] [--only NAME ...] [--json FILE]
       python benchmarks/search_efficiency.py --ioh [--seeds 10] [--only NAME ...] [--json FILE]
       python benchmarks/search_efficiency.py --show FILE ...
needs: pip install -r benchmarks/requirements.txt

TABLE.json is NAS-Bench-Macro (Su et al. 2021): 6,561 CNNs (8 layers, 3 choices each), each trained three times on
CIFAR-10. A search that trains a network is given the test accuracy of one of the three runs, drawn once for each seed
and network: a network is trained once, and all searches are subject to the same noise. Its true accuracy is the mean of
the three. After 50, 100 and 200 distinct trainings a search hands over one network: the one with the highest accuracy
it saw, unless the search has its own rule. Reported are

- the regret: the best true accuracy in the table minus that of the network handed over, in percentage points
  (mean ± standard error over seeds);
- the distinct trainings until one of the best 0.1 % was trained (the 7 = ceil(6.561) with the highest true
  accuracy), as the median over seeds; a search that trained none within its budget counts as more than that.

The searches use the settings that their documentation shows, or their defaults; there is a further row with 10
individuals if the default would spend the budget on its first generation or two:

- random search: networks without replacement;
- aging evolution (Real et al. 2019, algorithm 1): populations of 50 with samples of 10 and of 10 with samples of 3
  (with replacement), each child one layer away from its parent;
- DEAP: eaSimple as in the One Max example: cxTwoPoint, mutFlipBit 0.05, selTournament 3, cxpb 0.5, mutpb 0.2,
  population 300;
- pymoo: GA with BinaryRandomSampling, TwoPointCrossover, BitflipMutation, without duplicates, population 100;
- Optuna: TPESampler, NSGAIISampler and GPSampler, one categorical parameter of 3 choices for each layer (after about
  100 networks GPSampler asks more and more often for known ones: run it with --only GPSampler --seeds 10 --budget 100);
- this engine, with the defaults of EvolutionConfig, in generations of 10 whose networks could train in parallel. It
  hands over what a run of that budget would: from 90 trainings on, 9 of them are fresh trainings of three finalists
  (each again one of the three runs, drawn independently); with fewer, the network with the highest accuracy seen;
- this engine with TPESampler as its --algorithm, in the same generations of 10, without finalists.

Searches that breed bit strings use 16 bits, two for each layer: 00, 01 and 10 are the choices 0, 1 and 2, and 11 is
also the choice 1. Only distinct networks are counted, so a search does not pay for networks that it asks for again.

--ioh: the 25 functions of the class PBO of IOHexperimenter (Doerr et al. 2020), 64 bits, instance 1, 2,000 evaluations:
the median over seeds of the best value found, which is maximised. Every evaluation that a search requests is counted,
repeated or not; this engine repeats none.
"""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import itertools
import json
import math
import multiprocessing
import os
import random
import statistics
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # each process is one search; read when numpy and torch are imported

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Fitness
from records.machine import cores, processor_name
from records.texts import Chromosome
from run.algorithms import new_search
from search.base import BitStrings, SearchAlgorithm, SearchSpace

LAYERS, CHOICES, BITS_PER_LAYER = 8, 3, 2
CODES = {"00": "0", "01": "1", "10": "2", "11": "1"}
POINTS = (50, 100, 200)  # distinct trainings after which a network is handed over
BUDGET, TOP_SHARE, SEEDS = 300, 0.001, 100
FUNCTIONS, DIMENSION, INSTANCE, EVALUATIONS, FUNCTION_SEEDS = 25, 64, 1, 2000, 10
PATIENCE = 20  # multiples of the budget for which a search may ask before it counts as going in circles

T = TypeVar("T")
Search = Callable[["Oracle", int], None]  # with a seed; ends when BudgetSpent is raised


class BudgetSpent(Exception):
    """No training is left."""


@dataclass(frozen=True, slots=True)
class LayerCodes:
    """Chromosomes of NAS-Bench-Macro; a phenotype is the network's name in the table, one digit for each layer."""

    @property
    def length(self) -> int:
        return LAYERS * BITS_PER_LAYER

    @property
    def coding_loci(self) -> tuple[int, ...]:
        return tuple(range(self.length))

    @property
    def alleles(self) -> tuple[tuple[object, ...], ...]:
        return (tuple("012"),) * LAYERS

    def traits(self, chromosome: Chromosome) -> tuple[object, ...]:
        return tuple(self.phenotype(chromosome))

    def chromosome_of(self, traits: Sequence[object]) -> Chromosome:
        bits = {digit: code for code, digit in reversed(CODES.items())}
        return Chromosome("".join(bits[str(trait)] for trait in traits))

    def phenotype(self, chromosome: Chromosome) -> str:
        return "".join(CODES[chromosome[start : start + 2]] for start in range(0, self.length, BITS_PER_LAYER))

    def size(self, chromosome: Chromosome) -> Fitness:
        return Fitness(value=0.0)


class Oracle:
    """Evaluates phenotypes for one search and counts what it costs.

    `observed` holds the value of each phenotype asked for so far, in order; `spent` the evaluations paid for, of
    distinct phenotypes or, with `count_repeats`, of all. A search may set `recommend`, which chooses the phenotype
    to hand over; it is called right after an evaluation and may look at anything seen up to then.
    """

    def __init__(
        self,
        space: SearchSpace,
        value: Callable[[str], float],
        budget: int,
        *,
        count_repeats: bool = False,
        again: Callable[[str, np.random.Generator], float] | None = None,
    ) -> None:
        self.space, self.budget = space, budget
        self.observed: dict[str, float] = {}
        self.spent = self.asks = 0
        self.handed_over: list[str] = []  # after each evaluation paid for
        self.chosen: dict[int, str] = {}  # by evaluations paid for, if a search has its own rule for choosing
        self.recommend: Callable[[], str] = lambda: max(self.observed, key=self.observed.__getitem__)
        self.value, self._count_repeats = value, count_repeats
        self.again = again or (lambda phenotype, rng: value(phenotype))  # the value of a fresh training

    def evaluate(self, chromosome: Chromosome) -> float:
        """The value of the chromosome's phenotype. Raises BudgetSpent if the budget does not allow it."""
        return self.train(self.space.phenotype(chromosome))

    def train(self, phenotype: str) -> float:
        """The value of a phenotype. Raises BudgetSpent if the budget does not allow it."""
        self.asks += 1
        if self.asks > PATIENCE * self.budget:
            raise BudgetSpent
        if phenotype in self.observed and not self._count_repeats:
            return self.observed[phenotype]
        if self.spent == self.budget:
            raise BudgetSpent
        self.spent += 1
        self.observed[phenotype] = self.value(phenotype)
        self.handed_over.append(self.recommend())
        return self.observed[phenotype]


def run_engine(engine: SearchAlgorithm, oracle: Oracle) -> None:
    """Asks and tells until the budget is spent; networks known already, such as elites, cost nothing."""

    def value(chromosome: Chromosome) -> float:
        known = oracle.observed.get(oracle.space.phenotype(chromosome))
        return oracle.evaluate(chromosome) if known is None else known

    while True:
        engine.tell([individual.evaluated(value(individual.chromosome)) for individual in engine.ask()])


def this_engine(oracle: Oracle, seed: int, **settings: Any) -> None:
    """The genetic algorithm alone; `settings` override defaults of EvolutionConfig."""
    config = EvolutionConfig(generations=1000, seed=seed, **settings)
    run_engine(GeneticAlgorithm(config, oracle.space), oracle)


def whole_runs(oracle: Oracle, seed: int, **settings: Any) -> None:
    """The engine as `evolution.py` runs it; for each of `POINTS`, the network that a run of that budget hands over."""
    rng = np.random.default_rng([seed, 1])
    for point in (point for point in POINTS if point <= oracle.budget):
        config = EvolutionConfig(generations=1000, seed=seed, budget=point, **settings)
        finalists = config.finalists_trained
        own = Oracle(oracle.space, oracle.value, point - finalists * config.final_seeds)
        engine = new_search(config, own.space)
        while own.spent < own.budget:
            asked = engine.ask(own.budget - own.spent)
            engine.tell([individual.evaluated(own.evaluate(individual.chromosome)) for individual in asked])
        candidates = [own.space.phenotype(each.chromosome) for each in engine.finalists(finalists)]
        if finalists:
            means = [np.mean([oracle.again(each, rng) for _ in range(config.final_seeds)]) for each in candidates]
            oracle.chosen[point] = candidates[int(np.argmax(means))]
        elif engine.best is not None:
            oracle.chosen[point] = own.space.phenotype(engine.best.chromosome)
    config = EvolutionConfig(generations=1000, seed=seed, **settings)
    run_engine(new_search(config, oracle.space), oracle)


@functools.cache
def deap_individual() -> Any:
    from deap import base, creator

    creator.create("FitnessMax", base.Fitness, weights=(1.0,))
    creator.create("Individual", list, fitness=creator.FitnessMax)
    return creator.Individual


def deap_simple(oracle: Oracle, seed: int, *, population: int) -> None:
    """DEAP's eaSimple, as in its examples/ga/onemax_short.py."""
    from deap import algorithms, base, tools

    random.seed(seed)
    toolbox = base.Toolbox()
    toolbox.register("attr_bool", random.randint, 0, 1)  # noqa: S311 nothing is secret
    toolbox.register("individual", tools.initRepeat, deap_individual(), toolbox.attr_bool, oracle.space.length)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", lambda individual: (oracle.evaluate(Chromosome("".join(map(str, individual)))),))
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
    toolbox.register("select", tools.selTournament, tournsize=3)
    first = toolbox.population(n=population)
    algorithms.eaSimple(first, toolbox, cxpb=0.5, mutpb=0.2, ngen=sys.maxsize, verbose=False)


def pymoo_ga(oracle: Oracle, seed: int, *, population: int) -> None:
    """GA with the operators that pymoo's documentation shows for binary variables."""
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.operators.crossover.pntx import TwoPointCrossover
    from pymoo.operators.mutation.bitflip import BitflipMutation
    from pymoo.operators.sampling.rnd import BinaryRandomSampling
    from pymoo.optimize import minimize
    from pymoo.problems.functional import FunctionalProblem

    def objective(bits: Sequence[bool]) -> float:
        return -oracle.evaluate(Chromosome("".join("1" if bit else "0" for bit in bits)))

    algorithm = GA(
        pop_size=population,
        sampling=BinaryRandomSampling(),
        crossover=TwoPointCrossover(),
        mutation=BitflipMutation(),
        eliminate_duplicates=True,
    )
    minimize(FunctionalProblem(oracle.space.length, objective), algorithm, ("n_gen", sys.maxsize), seed=seed)


def random_search(oracle: Oracle, seed: int) -> None:
    """Networks in random order, none twice."""
    for number in np.random.default_rng(seed).permutation(CHOICES**LAYERS):
        oracle.train(np.base_repr(number, CHOICES).zfill(LAYERS))


def aging_evolution(oracle: Oracle, seed: int, *, population: int, sample: int) -> None:
    """Real et al. 2019, algorithm 1; a mutation changes the choice of one layer."""
    rng = np.random.default_rng(seed)
    living: deque[tuple[float, tuple[int, ...]]] = deque()
    while True:
        if len(living) < population:
            layers = rng.integers(0, CHOICES, LAYERS)
        else:
            drawn = [living[index] for index in rng.integers(0, population, sample)]
            layers = np.array(max(drawn, key=lambda member: member[0])[1])
            layer = rng.integers(LAYERS)
            layers[layer] = (layers[layer] + rng.integers(1, CHOICES)) % CHOICES
            living.popleft()
        living.append((oracle.train("".join(map(str, layers))), tuple(layers)))


def optuna_search(oracle: Oracle, seed: int, *, sampler: str) -> None:
    """One of Optuna's samplers with its defaults."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)

    def objective(trial: optuna.Trial) -> float:
        choices = [trial.suggest_categorical(f"layer {layer}", list(range(CHOICES))) for layer in range(LAYERS)]
        return oracle.train("".join(map(str, choices)))

    study = optuna.create_study(direction="maximize", sampler=getattr(optuna.samplers, sampler)(seed=seed))
    study.optimize(objective)


OF_BITS: dict[str, Search] = {
    "this engine, without the predictor": this_engine,
    "DEAP, 300 individuals": partial(deap_simple, population=300),
    "DEAP, 10 individuals": partial(deap_simple, population=10),
    "pymoo, 100 individuals": partial(pymoo_ga, population=100),
    "pymoo, 10 individuals": partial(pymoo_ga, population=10),
}
OF_NETWORKS: dict[str, Search] = {
    "this engine": whole_runs,
    "this engine, without finalists": partial(whole_runs, finalists=0),
    "this engine, optuna:TPESampler": partial(whole_runs, algorithm="optuna:TPESampler", finalists=0),
    "random search": random_search,
    "aging evolution, 50 individuals": partial(aging_evolution, population=50, sample=10),
    "aging evolution, 10 individuals": partial(aging_evolution, population=10, sample=3),
    "Optuna TPESampler": partial(optuna_search, sampler="TPESampler"),
    "Optuna NSGAIISampler": partial(optuna_search, sampler="NSGAIISampler"),
    "Optuna GPSampler": partial(optuna_search, sampler="GPSampler"),
}
SEARCHES = OF_NETWORKS | OF_BITS


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome of one search of NAS-Bench-Macro."""

    search: str
    seed: int
    budget: int
    trainings: int  # distinct ones
    asks: int
    regrets: tuple[float, ...]  # in percentage points, at each of POINTS within the budget
    top_after: int | None  # trainings until one of the best was trained
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionOutcome:
    """The outcome of one search of a pseudo-Boolean function."""

    search: str
    function: str
    optimum: float | None  # None if it is not known
    seed: int
    best: float
    seconds: float


class NetworkTable:
    """NAS-Bench-Macro."""

    def __init__(self, path: Path) -> None:
        entries = json.loads(path.read_text(encoding="utf-8"))
        self.accuracy: dict[str, float] = {name: entry["mean_acc"] for name, entry in entries.items()}
        self.runs: dict[str, list[float]] = {name: entry["test_acc"] for name, entry in entries.items()}
        ranked = sorted(self.accuracy, key=self.accuracy.__getitem__, reverse=True)
        self.best = self.accuracy[ranked[0]]
        self.top = frozenset(ranked[: math.ceil(TOP_SHARE * len(ranked))])

    def observe(self, seed: int, network: str) -> float:
        """The accuracy that training the network reaches; a function of seed and network alone."""
        runs = self.runs[network]
        run: int = np.random.default_rng([seed, int(network, CHOICES)]).integers(len(runs)).item()
        return runs[run]

    def observe_again(self, network: str, rng: np.random.Generator) -> float:
        """The accuracy of a further training of the network."""
        run: float = rng.choice(self.runs[network])
        return run


load_table = functools.cache(NetworkTable)  # once in each process


def timed(search: Search, oracle: Oracle, seed: int) -> float:
    """Seconds of a search until its budget was spent."""
    clock = time.perf_counter()
    with contextlib.suppress(BudgetSpent):
        search(oracle, seed)
    return time.perf_counter() - clock


def search_table(path: Path, budget: int, name: str, seed: int) -> Outcome:
    table = load_table(path)
    oracle = Oracle(LayerCodes(), partial(table.observe, seed), budget, again=table.observe_again)
    seconds = timed(SEARCHES[name], oracle, seed)
    # A search that went in circles before a point hands over the network that it had by then.
    handed_over = [
        oracle.chosen.get(point) or oracle.handed_over[min(point, oracle.spent) - 1]
        for point in POINTS
        if point <= budget
    ]
    return Outcome(
        search=name,
        seed=seed,
        budget=budget,
        trainings=oracle.spent,
        asks=oracle.asks,
        regrets=tuple(table.best - table.accuracy[network] for network in handed_over),
        top_after=next((count for count, network in enumerate(oracle.observed, 1) if network in table.top), None),
        seconds=seconds,
    )


def search_function(number: int, name: str, seed: int) -> FunctionOutcome:
    import ioh

    problem = ioh.get_problem(number, INSTANCE, DIMENSION, ioh.ProblemClass.PBO)

    def value(bits: str) -> float:
        return float(problem([int(bit) for bit in bits]))

    oracle = Oracle(BitStrings(DIMENSION), value, EVALUATIONS, count_repeats=True)
    seconds = timed(OF_BITS[name], oracle, seed)
    optimum = problem.optimum.y
    return FunctionOutcome(
        search=name,
        function=f"{number} {problem.meta_data.name}",
        optimum=optimum if math.isfinite(optimum) else None,
        seed=seed,
        best=max(oracle.observed.values()),
        seconds=seconds,
    )


def by(key: str, outcomes: Iterable[T]) -> dict[str, list[T]]:
    """Outcomes by one of their parts, in order of first appearance."""
    groups: dict[str, list[T]] = {}
    for outcome in outcomes:
        groups.setdefault(getattr(outcome, key), []).append(outcome)
    return groups


def median_until_top(outcomes: Sequence[Outcome]) -> str:
    """The median number of trainings until one of the best was trained; ">" if that is beyond the budget."""
    budget = min(outcome.budget for outcome in outcomes)
    counts = [outcome.top_after if outcome.top_after is not None else math.inf for outcome in outcomes]
    median = statistics.median(counts)
    return f"{median:g}" if median <= budget else f"> {budget}"


def print_networks(outcomes: Sequence[Outcome]) -> None:
    heads = [f"regret at {point}" for point in POINTS]
    print(f"{'search':36}{'seeds':>6}" + "".join(f"{head:>16}" for head in [*heads, "to the top 0.1%", "s per run"]))
    for name, group in by("search", outcomes).items():
        cells = []
        for index in range(max(len(outcome.regrets) for outcome in group)):
            values = [outcome.regrets[index] for outcome in group if index < len(outcome.regrets)]
            error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
            cells.append(f"{statistics.mean(values):.3f} ± {error:.3f}")
        cells += ["–"] * (len(POINTS) - len(cells))
        cells += [median_until_top(group), f"{statistics.median(outcome.seconds for outcome in group):.2f}"]
        print(f"{name:36}{len(group):>6}" + "".join(f"{cell:>16}" for cell in cells))
        stuck = [outcome for outcome in group if outcome.trainings < outcome.budget]
        if stuck:
            print(f"    {len(stuck)} runs went in circles: {PATIENCE} times the budget asked, not all of it spent")


def print_functions(outcomes: Sequence[FunctionOutcome]) -> None:
    medians: dict[str, list[float]] = {}
    width = 24
    names = list(by("search", outcomes))
    for first, second, part in (("", "", 0), ("function", "optimum", 2)):
        print(f"{first:26}{second:>8}" + "".join(f"{name.partition(', ')[part]:>{width}}" for name in names))
    for function, group in by("function", outcomes).items():
        best = {name: statistics.median(outcome.best for outcome in runs) for name, runs in by("search", group).items()}
        for name, value in best.items():
            medians.setdefault(name, []).append(value)
        known = group[0].optimum
        if known is not None and max(outcome.best for outcome in group) > known:
            known = None  # ioh 0.4.2 understates that of function 24, as 64 is not a multiple of its traps' length
        optimum = "–" if known is None else f"{known:g}"
        print(f"{function:26}{optimum:>8}" + "".join(f"{best[name]:>{width}.6g}" for name in names))
    for name, group in by("search", outcomes).items():
        seconds = statistics.median(outcome.seconds for outcome in group)
        print(f"{name}: {len(by('seed', group))} seeds, {seconds:.2f} s per run")
    for other in names[1:]:
        pairs = list(zip(medians[names[0]], medians[other], strict=True))
        equal, better = sum(own >= theirs for own, theirs in pairs), sum(own > theirs for own, theirs in pairs)
        print(f"{names[0]}: at least as good as {other} on {equal} of {len(pairs)} (better on {better})")


def machine() -> str:
    packages = ("numpy", "deap", "pymoo", "optuna", "torch", "ioh")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    return f"{processor_name()}, {cores()} cores; Python {sys.version.split()[0]}, {versions}"


def run_all(function: Callable[..., T], calls: Sequence[tuple[Any, ...]], processes: int) -> list[T]:
    """The results of all calls, in their order, from processes that each take one call at a time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return [pending.result() for pending in [pool.submit(function, *call) for call in calls]]


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, nargs="?", help="JSON file of NAS-Bench-Macro")
    parser.add_argument("--ioh", action="store_true", help="search the pseudo-Boolean functions instead")
    parser.add_argument("--show", type=Path, nargs="+", metavar="FILE", help="print what --json wrote, in one table")
    parser.add_argument("--seeds", type=int, help=f"default: {SEEDS}, with --ioh {FUNCTION_SEEDS}")
    parser.add_argument("--budget", type=int, default=BUDGET, help=f"distinct trainings (default: {BUDGET})")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="searches whose names contain one of these words")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each run's outcome")
    options = parser.parse_args()
    if sum((options.table is not None, options.ioh, options.show is not None)) != 1:
        parser.error("expected one of TABLE.json, --ioh and --show")
    if options.budget < POINTS[0]:
        parser.error(f"--budget must be at least {POINTS[0]}, but is {options.budget}")
    if options.seeds is not None and options.seeds < 1:
        parser.error(f"--seeds must be at least 1, but is {options.seeds}")
    words = [word.lower() for word in options.only or [""]]
    options.names = [name for name in (OF_BITS if options.ioh else SEARCHES) if any(w in name.lower() for w in words)]
    if not options.names:
        parser.error(f"no search has one of {words} in its name; there are: {'; '.join(SEARCHES)}")
    return options


def main() -> None:
    options = parse_options()
    names, seeds = options.names, range(options.seeds or (FUNCTION_SEEDS if options.ioh else SEEDS))
    networks: list[Outcome] = []
    functions: list[FunctionOutcome] = []
    shown: list[dict[str, Any]] = []
    if options.show:
        shown = [json.loads(file.read_text()) for file in options.show]
        networks = [Outcome(**record) for part in shown for record in part["networks"]]
        functions = [FunctionOutcome(**record) for part in shown for record in part["functions"]]
    elif options.ioh:
        calls = list(itertools.product(range(1, FUNCTIONS + 1), names, seeds))
        functions = run_all(search_function, calls, options.processes)
    else:
        pairs = list(itertools.product([options.table], [options.budget], names, seeds))
        networks = run_all(search_table, pairs, options.processes)
    if options.json:
        records = {"networks": list(map(asdict, networks)), "functions": list(map(asdict, functions))}
        options.json.write_text(json.dumps({"machine": machine(), **records}, indent=0))
    print("\n".join(sorted({part["machine"] for part in shown} or {machine()})), end="\n\n")
    if networks:
        print_networks(networks)
    if functions:
        print_functions(functions)


if __name__ == "__main__":
    main()
