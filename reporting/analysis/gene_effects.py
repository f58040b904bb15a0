"""Which gene matters: the effect of each value of each gene on the accuracy of a run's networks, alone and in pairs.

A search samples what it prefers: the gene that matters most is soon fixed, and then varies least among the
results. Nothing here is therefore weighted by how often a value was tried. Effects are those of a ridge
regression on all results at once; the importance of a gene is the spread of its effects if each of its values
were equally likely. Both come with their uncertainty.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t
from threadpoolctl import threadpool_limits

from records import Individual
from reporting.analysis.gene_interactions import CONFIDENCE, Array, interactions
from reporting.analysis.gene_regression import Interval, Scores, scored_genes
from search.surrogate import Rungs
from search_space.space import NetworkSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueEffect:
    """One value of a gene: its networks, their observed accuracy, and its effect, all else equal.

    All are shares (0 to 1), or None where they are unknown. `effect` is relative to the mean over all values
    of the gene, each weighted equally. Intervals are 95% intervals.
    """

    value: object
    count: int
    mean: float | None = None
    interval: Interval | None = None  # of the mean; None for fewer than two networks
    effect: float | None = None
    effect_interval: Interval | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneEffect:
    """A gene, its distinct values (numbers in ascending order), and its importance; None where it never varied."""

    name: str
    values: tuple[ValueEffect, ...]
    importance: float | None = None  # standard deviation of the effects of its values, each equally likely
    importance_interval: Interval | None = None

    @property
    def varied(self) -> bool:
        """Whether the networks had more than one of its values."""
        return sum(each.count > 0 for each in self.values) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Interaction:
    """The joint effect of two genes beyond the sum of their separate effects.

    `strength` is the standard deviation of that effect over all pairs of their values, in units of accuracy.
    `chance` is how often the clearest of all pairs would look as clear if no genes interacted.
    """

    first: str
    second: str
    strength: float
    chance: float

    @property
    def clear(self) -> bool:
        """Whether it is clearer than chance, corrected for the number of pairs that were tested."""
        return self.chance <= 1 - CONFIDENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneEffects:
    """What the results of a run say about its genes, in the order of the table."""

    genes: tuple[GeneEffect, ...]
    interactions: tuple[Interaction, ...]  # of all pairs of genes that varied
    networks: int  # distinct networks that trained successfully
    failures: int  # distinct networks that never did

    @property
    def ranked(self) -> tuple[GeneEffect, ...]:
        """The genes that varied, the most important first."""
        scored = [gene for gene in self.genes if gene.importance is not None]
        return tuple(sorted(scored, key=lambda gene: -(gene.importance or 0.0)))

    @property
    def never_varied(self) -> tuple[GeneEffect, ...]:
        return tuple(gene for gene in self.genes if not gene.varied)


def gene_effects(space: NetworkSpace, individuals: Sequence[Individual]) -> GeneEffects:
    """The effects of all genes, by the evaluated individuals of a run; their order does not matter.

    Each network counts once, by its longest training; accuracies after shorter trainings are rescaled to
    that of the longest.
    """
    trained, failures = _networks(space, individuals)
    accuracies = _accuracies(trained)
    genes = space.encoding.table.genes
    values = [_distinct(gene.values) for gene in genes]
    found = [[gene.value(each.chromosome) for each in trained] for gene in genes]
    columns = [
        np.array([[value == other for other in options] for value in row], float).reshape(len(row), len(options))
        for row, options in zip(found, values, strict=True)
    ]  # of each gene (n, values), one-hot
    varied = [place for place, hot in enumerate(columns) if np.count_nonzero(hot.sum(axis=0)) > 1]
    described = [_described(options, hot, accuracies) for options, hot in zip(values, columns, strict=True)]
    with threadpool_limits(1):
        scored = dict(zip(varied, scored_genes([columns[place] for place in varied], accuracies), strict=True))
        strengths, chances = interactions([columns[place] for place in varied], accuracies)
    return GeneEffects(
        genes=tuple(_gene_effect(gene.name, described[place], scored.get(place)) for place, gene in enumerate(genes)),
        interactions=tuple(
            Interaction(
                first=genes[varied[one]].name,
                second=genes[varied[other]].name,
                strength=float(strengths[one, other]),
                chance=float(chances[one, other]),
            )
            for one, other in itertools.combinations(range(len(varied)), 2)
        ),
        networks=len(trained),
        failures=failures,
    )


def _networks(space: NetworkSpace, individuals: Sequence[Individual]) -> tuple[list[Individual], int]:
    """Each network once, by its longest training, sorted by network; and how many never succeeded."""
    best: dict[str, Individual] = {}
    for each in sorted(individuals, key=lambda each: (_epochs(each), each.generation, each.index)):
        best[space.phenotype(each.chromosome)] = each
    trained = [best[text] for text in sorted(best) if best[text].fitness is not None]
    return trained, len(best) - len(trained)


def _epochs(individual: Individual) -> int:
    return -1 if individual.fitness is None else individual.fitness.epochs


def _accuracies(trained: Sequence[Individual]) -> Array:
    """(n,): the accuracy of each network after a full training, measured or extrapolated from its rung."""
    rungs = Rungs(trained)
    aligned = np.array([value for each in trained if (value := rungs.aligned(each)) is not None])
    return np.clip(rungs.restored(aligned), 0.0, 1.0)


def _distinct(values: Sequence[object]) -> list[object]:
    """Each value once; numbers in ascending order, words in the order of the table."""
    numbers = [value for value in dict.fromkeys(values) if isinstance(value, int | float)]
    return [*sorted(numbers), *(value for value in dict.fromkeys(values) if not isinstance(value, int | float))]


def _described(options: Sequence[object], hot: Array, accuracies: Array) -> list[ValueEffect]:
    """The values of a gene with the measured accuracy of their networks."""
    groups = [accuracies[hot[:, place] > 0] for place in range(len(options))]
    return [
        ValueEffect(
            value=value,
            count=len(group),
            mean=float(group.mean()) if len(group) else None,
            interval=_mean_interval(group) if len(group) > 1 else None,
        )
        for value, group in zip(options, groups, strict=True)
    ]


def _mean_interval(sample: Array) -> Interval:
    """Student's interval of the mean of a sample of two or more."""
    reach = student_t.ppf((1 + CONFIDENCE) / 2, len(sample) - 1) * sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() - reach), float(sample.mean() + reach)


def _gene_effect(name: str, values: Sequence[ValueEffect], scores: Scores | None) -> GeneEffect:
    if scores is None:
        return GeneEffect(name=name, values=tuple(values))
    reach = 1.96 * scores.errors
    effects = tuple(
        ValueEffect(
            value=each.value,
            count=each.count,
            mean=each.mean,
            interval=each.interval,
            effect=float(scores.effects[place]) if each.count else None,
            effect_interval=(float(scores.effects[place] - reach[place]), float(scores.effects[place] + reach[place]))
            if each.count
            else None,
        )
        for place, each in enumerate(values)
    )
    return GeneEffect(name=name, values=effects, importance=scores.importance, importance_interval=scores.interval)
