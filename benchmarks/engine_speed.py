"""The engine alone on OneMax: generations to the optimum, and the time of 1,000 generations; then with the predictor.

With the predictor, the time of one generation is measured when 100 generations of 10 are known, with chromosomes of the
standard and of the extended encoding at 32×32 pixels and random fitness.

usage: python benchmarks/engine_speed.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from genetic_algorithm import GeneticAlgorithm
from records import EvolutionConfig, Generation, Individual
from run.algorithms import new_search
from search.base import BitStrings
from search.operators import random_bits
from search_space.encoding import Encoding
from search_space.space import NetworkSpace
from search_space.tables import gene_table

LENGTH, POPULATION, SEEDS, GENERATIONS = 100, 50, 20, 1000


def advance(engine: GeneticAlgorithm) -> None:
    engine.tell([individual.evaluated(individual.chromosome.count("1")) for individual in engine.ask()])


def generations_to_optimum(seed: int) -> int:
    engine = GeneticAlgorithm(EvolutionConfig(population=POPULATION, seed=seed), BitStrings(LENGTH))
    while engine.best is None or engine.best.fitness is None or engine.best.fitness.value < LENGTH:
        advance(engine)
    return len(engine.generations)


def seconds_of_a_screened_generation(encoding: str, generations: int = 100, population: int = 10) -> float:
    space, rng = NetworkSpace(Encoding((3, 32, 32), 10, gene_table(encoding))), np.random.default_rng(0)
    known = [
        Generation(
            number=number,
            individuals=tuple(
                Individual(
                    generation=number,
                    index=index,
                    chromosome=random_bits(rng, space.length).chromosome,
                    origin="random",
                ).evaluated(rng.random())
                for index in range(1, population + 1)
            ),
        )
        for number in range(1, generations + 1)
    ]
    search = new_search(EvolutionConfig(generations=generations + 1, population=population), space, known)
    clock = time.perf_counter()
    search.ask()
    return time.perf_counter() - clock


if __name__ == "__main__":
    needed = sorted(generations_to_optimum(seed) for seed in range(SEEDS))
    print(f"optimum after {needed[0]} to {needed[-1]} generations, median {needed[SEEDS // 2]} ({SEEDS} seeds)")
    engine = GeneticAlgorithm(EvolutionConfig(population=POPULATION), BitStrings(LENGTH))
    clock = time.perf_counter()
    for _ in range(GENERATIONS):
        advance(engine)
    print(f"{GENERATIONS} generations in {time.perf_counter() - clock:.1f} s")
    for encoding in ("standard", "extended"):
        seconds = [seconds_of_a_screened_generation(encoding) for _ in range(3)]
        print(
            f"{encoding} encoding, 1,000 results: a screened generation in {min(seconds):.2f} to {max(seconds):.2f} s"
        )
