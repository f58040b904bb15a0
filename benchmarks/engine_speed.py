"""The engine alone on OneMax: generations to the optimum, and the time of 1,000 generations.

usage: python benchmarks/engine_speed.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from genetic_algorithm import BitStrings, GeneticAlgorithm
from records import EvolutionConfig

LENGTH, POPULATION, SEEDS, GENERATIONS = 100, 50, 20, 1000


def advance(engine: GeneticAlgorithm) -> None:
    engine.tell([individual.evaluated(individual.chromosome.count("1")) for individual in engine.ask()])


def generations_to_optimum(seed: int) -> int:
    engine = GeneticAlgorithm(EvolutionConfig(population=POPULATION, seed=seed), BitStrings(LENGTH))
    while engine.best is None or engine.best.fitness is None or engine.best.fitness.value < LENGTH:
        advance(engine)
    return len(engine.generations)


if __name__ == "__main__":
    needed = sorted(generations_to_optimum(seed) for seed in range(SEEDS))
    print(f"optimum after {needed[0]} to {needed[-1]} generations, median {needed[SEEDS // 2]} ({SEEDS} seeds)")
    engine = GeneticAlgorithm(EvolutionConfig(population=POPULATION), BitStrings(LENGTH))
    clock = time.perf_counter()
    for _ in range(GENERATIONS):
        advance(engine)
    print(f"{GENERATIONS} generations in {time.perf_counter() - clock:.1f} s")
