"""How busy devices are with each scheme: whole runs with real workers, files and predictor, whose trainings sleep.

usage: python benchmarks/schemes.py [--devices 2 4] [--each 1 2 4] [--budget 48] [--repeat 3]

A training sleeps in proportion to the time that `TrainingTime` expects for the network (one second on average for a
random network), times lognormal noise of σ = .16; so there may be more devices than cores. Accuracies are drawn at
random. Everything else is as in a real run: search, predictor, queue, worker processes, sealed results, checkpoints,
figures. `--each` is the number of individuals for each device. Printed are, for every run, the share of the time
between the first start and the last end in which the devices trained, and the length of that time in seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from simulate_scaling import BATCH, EPOCHS, FACTS, IMAGES, TIME_NOISE

from records import DataConfig, EvolutionConfig, Limits, RunState, TrainingConfig, TrainingJob, TrainingResult
from records.canonical import VERSION, from_json, to_json
from records.costs import Cost
from records.trainings import Epoch
from reporting.analysis.devices import timeline
from reporting.watcher import Watcher
from run.algorithms import new_search
from run.scheme import loop_of
from run.stop_signals import StopSignals
from run.training_time import Effort, TrainingTime
from run.trainings import Means
from run.work import Work
from search.operators import random_bits
from search_space.architecture import architecture_of
from search_space.encoding import Encoding
from search_space.genes import STANDARD
from search_space.space import NetworkSpace
from search_space.tables import gene_table_text
from storage.checkpoint import save_state
from storage.directory import RunDirectory
from worker_manager import Slot, WorkerManager

SPACE = NetworkSpace(Encoding(FACTS.input_shape, len(FACTS.class_names)))
# (scheme, early stopping)
WAYS = (("generations", "halving"), ("generations", "none"), ("steady_state", "none"))


def expected_seconds(network: str, epochs: int) -> float:
    return TrainingTime().seconds(Effort(architecture_of(network), IMAGES * epochs, BATCH))


def start_trainer(setup: Mapping[str, Any]) -> Callable[..., dict[str, Any]]:
    """The trainer of a worker process, which only sleeps."""

    def train(task: Mapping[str, Any], report: object) -> dict[str, Any]:
        started, job = time.time(), from_json(TrainingJob, task["job"])
        rng, epochs = np.random.default_rng(job.seed), job.protocol.epochs
        time.sleep(setup["scale"] * expected_seconds(job.phenotype, epochs) * rng.lognormal(0, TIME_NOISE))
        last = Epoch(train_loss=0.0, score=float(rng.random()), loss=float(rng.random()))
        cost = Cost(seconds=time.time() - started, started=started, hardware="sleep")
        return to_json(TrainingResult(key=job.key, status="done", epochs=(last,) * epochs, parameters=1, cost=cost))

    return train


def birth(scheme: str, early_stopping: str, population: int, budget: int, seed: int) -> RunState:
    search = EvolutionConfig(
        scheme=scheme,
        early_stopping=early_stopping,
        population=population,
        budget=budget,
        finalists=0,
        elitism=1,
        tournament_size=min(3, population),
        seed=seed,
    )
    return RunState(
        version=VERSION,
        search=search,
        training=TrainingConfig(
            epochs=EPOCHS, precision="float32", flip="on", crop_padding=2, micro_batch=BATCH, cuda_graph="off"
        ),
        data=DataConfig(),
        facts=FACTS,
        gene_table=gene_table_text(STANDARD),
        generations=(),
        results={},
        population=tuple(new_search(search, SPACE).ask()),
    )


def run(state: RunState, devices: int, scale: float) -> tuple[float, float, int]:
    """A whole run: the share of the devices' time in which they trained, its seconds, and its networks."""
    slots = [Slot(name=f"cpu {number}") for number in range(devices)]
    with (
        tempfile.TemporaryDirectory() as folder,
        StopSignals() as stop,
        WorkerManager(slots, "schemes:start_trainer", {"scale": scale}) as workers,
    ):
        directory = RunDirectory(Path(folder))
        save_state(directory, state)
        work = Work(directory, state, Means(workers=workers, stop=stop, limits=Limits(min_free_disk=0.0)), Watcher())
        loop_of(work).evolve()
        results = work.trainings.results.values()
        costs = [result.cost for result in results]
    span = max(cost.started + cost.seconds for cost in costs) - min(cost.started for cost in costs)
    networks = len({each.jobs[0] for each in work.individuals()})
    return timeline(results).utilisation, span, networks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--each", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--budget", type=int, default=48, help="full trainings of a run")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    sample = [SPACE.network(random_bits(rng, SPACE.length).chromosome) for _ in range(500)]
    scale = 1 / float(np.mean([expected_seconds(network, EPOCHS) for network in sample]))
    for devices in options.devices:
        for population in sorted({max(2, devices * each) for each in options.each}):
            for seed in range(options.repeat):
                for scheme, stopping in WAYS:
                    state = birth(scheme, stopping, population, options.budget, seed)
                    busy, seconds, networks = run(state, devices, scale)
                    words = f"{devices} devices, population {population}, seed {seed}, {scheme}, {stopping}"
                    load = f"load {os.getloadavg()[0]:.1f}"
                    print(f"{words:60}{busy:6.3f} busy{seconds:8.1f} s{networks:5} networks, {load}", flush=True)


if __name__ == "__main__":
    main()
