"""Selection, crossover and mutation: pure functions, each with the random generator as its first argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from records import Individual
from records.texts import Chromosome

Bits = NDArray[np.uint8]  # (length,) of 0 and 1
Crossover = Callable[[np.random.Generator, Bits, Bits], Bits]


@dataclass(frozen=True, slots=True)
class Offspring:
    """A new chromosome, the operators that made it, and the names of its parents."""

    chromosome: Chromosome
    origin: str
    parents: tuple[str, ...] = ()


def tournament_selection(rng: np.random.Generator, ranked: Sequence[Individual], size: int) -> Individual:
    """The best of `size` individuals drawn without replacement; `ranked` is sorted, best first."""
    return ranked[int(rng.choice(len(ranked), size, replace=False, shuffle=False).min())]


def uniform_crossover(rng: np.random.Generator, first: Bits, second: Bits) -> Bits:
    """Each bit from either parent with probability 1/2 (Syswerda 1989)."""
    return np.where(rng.random(len(first)) < 0.5, first, second)


def one_point_crossover(rng: np.random.Generator, first: Bits, second: Bits) -> Bits:
    """The first parent up to a random cut, the second from there (Holland 1975)."""
    cut = rng.integers(1, len(first)) if len(first) > 1 else 1
    return np.concatenate([first[:cut], second[cut:]])


def two_point_crossover(rng: np.random.Generator, first: Bits, second: Bits) -> Bits:
    """The second parent between two random cuts, the first outside (De Jong 1975)."""
    start, end = np.sort(rng.integers(0, len(first) + 1, 2))
    return np.concatenate([first[:start], second[start:end], first[end:]])


CROSSOVERS: dict[str, Crossover] = {
    "uniform": uniform_crossover,
    "one_point": one_point_crossover,
    "two_point": two_point_crossover,
}


def mutate(rng: np.random.Generator, bits: Bits, probability: float) -> Bits:
    """Flips each bit independently with this probability."""
    return bits ^ (rng.random(len(bits)) < probability)


def flip(chromosome: Chromosome, locus: int) -> Chromosome:
    """The chromosome with one bit changed."""
    return Chromosome(f"{chromosome[:locus]}{'10'[int(chromosome[locus])]}{chromosome[locus + 1 :]}")


def to_bits(chromosome: Chromosome) -> Bits:
    return np.frombuffer(chromosome.encode(), dtype=np.uint8) - ord("0")


def to_chromosome(bits: Bits) -> Chromosome:
    return Chromosome((bits + np.uint8(ord("0"))).tobytes().decode())


def random_bits(rng: np.random.Generator, length: int) -> Offspring:
    return Offspring(to_chromosome(rng.integers(0, 2, length, dtype=np.uint8)), "random")
