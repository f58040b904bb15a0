"""How long writing the report of a large run takes, and how large it is, for a simulated run of the real engine.

usage: python benchmarks/report_speed.py --generations 30 --population 20
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from records import DataConfig, EvolutionConfig, Individual, RunState, TrainingConfig, TrainingResult
from records.canonical import content_hash
from records.costs import Cost
from records.runs import DataFacts
from records.texts import Chromosome, JobKey
from records.trainings import Epoch
from run.algorithms import new_search
from search.early_stopping import promoted, rungs
from search.ranking import rank
from search_space.space import NetworkSpace
from search_space.tables import encoding_of, gene_table, gene_table_text
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from storage.results import seal_result

EPOCHS, DEVICES, SECONDS = 9, 4, 20.0


def accuracy(chromosome: Chromosome, epoch: int) -> float:
    """A simulated learning curve: better with more ones, with noise of one percentage point, rising with the epochs."""
    noise = int(hashlib.sha256(f"{chromosome} {epoch}".encode()).hexdigest()[:8], 16) / 16**8 - 0.5
    share = chromosome.count("1") / len(chromosome)
    return min(1.0, max(0.0, (0.5 + 0.4 * share) * (1 - 0.7**epoch) + 0.02 * noise))


def made_up_run(search: EvolutionConfig) -> RunState:
    """A run as in its last checkpoint, of the real engine with halving, as if trained on four devices."""
    facts = DataFacts(
        fingerprint="0" * 64,
        input_shape=(3, 32, 32),
        class_names=tuple(map(str, range(10))),
        train_images=45000,
        val_images=5000,
        test_images=10000,
    )
    table = gene_table_text(gene_table(search.encoding))
    space = NetworkSpace(encoding_of(facts, table))
    engine = new_search(search, space)
    clocks, results = [1.0] * DEVICES, dict[JobKey, TrainingResult]()

    def train(individual: Individual, epochs: int) -> Individual:
        key = content_hash([space.phenotype(individual.chromosome), epochs])
        device = clocks.index(min(clocks))
        size = space.size(individual.chromosome)
        curve = [accuracy(individual.chromosome, epoch) for epoch in range(1, epochs + 1)]
        seconds = SECONDS * epochs / EPOCHS
        results[JobKey(key)] = TrainingResult(
            key=JobKey(key),
            status="done",
            epochs=tuple(Epoch(train_loss=1 - value, score=value, loss=1 - value) for value in curve),
            parameters=size.parameters,
            flops=size.flops,
            cost=Cost(started=clocks[device], seconds=seconds, device=f"gpu {device}", hardware="made up"),
        )
        clocks[device] += seconds + 0.1
        earlier = individual.earlier if individual.fitness is None else (*individual.earlier, individual.fitness)
        return replace(
            individual, jobs=(*individual.jobs, JobKey(key)), fitness=results[JobKey(key)].fitness, earlier=earlier
        )

    known: dict[str, Individual] = {}
    for _ in range(search.generations):
        asked = engine.ask()
        new = list({space.phenotype(each.chromosome): each for each in asked}.items())
        contenders = [each for network, each in new if network not in known]
        for rung, epochs in enumerate(rungs(EPOCHS, search.reduction_factor)):
            count = promoted(len(contenders), search.reduction_factor**rung) if rung else len(contenders)
            chosen = rank(contenders, search.objectives)[:count] if rung else contenders
            trained = [train(each, epochs) for each in chosen]
            known |= {space.phenotype(each.chromosome): each for each in trained}
            contenders = [known[space.phenotype(each.chromosome)] for each in contenders]
        clocks = [max(clocks)] * DEVICES
        outcomes = ((each, known[space.phenotype(each.chromosome)]) for each in asked)
        engine.tell([replace(each, jobs=was.jobs, fitness=was.fitness, earlier=was.earlier) for each, was in outcomes])
    protocol = TrainingConfig(
        epochs=EPOCHS, flip="on", crop_padding=2, precision="bfloat16", micro_batch=128, cuda_graph="off"
    )
    return RunState(
        version="made up",
        search=search,
        training=protocol,
        data=DataConfig(),
        facts=facts,
        gene_table=table,
        generations=tuple(engine.generations),
        results=results,
        population=tuple(engine.ask()),
    )


def write_run(folder: Path, state: RunState) -> None:
    run = RunDirectory(folder)
    for result in state.results.values():
        seal_result(run, result)
    save_state(run, state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=30)
    parser.add_argument("--population", type=int, default=20)
    parser.add_argument("--encoding", default="standard")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    search = EvolutionConfig(
        generations=options.generations,
        population=options.population,
        encoding=options.encoding,
        objectives=("accuracy", "parameters"),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder, made_up_run(search))
        clock = time.perf_counter()
        from reporting.pages.report_page import write_sections
        from reporting.run_view import read_run_view

        print(f"imports: {time.perf_counter() - clock:.1f} s")
        for _ in range(options.repeats):
            clock = time.perf_counter()
            view = read_run_view(*load_state(folder))
            write_sections(view)
            seconds = time.perf_counter() - clock
            print(
                f"{options.generations}×{options.population} {options.encoding}: {seconds:.1f} s, "
                f"{view.run.report.stat().st_size / 1e6:.2f} MB"
            )


if __name__ == "__main__":
    main()
