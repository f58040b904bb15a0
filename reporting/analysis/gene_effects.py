"""Which gene matters: what each value of each gene did to the accuracy of a run's networks, alone and with others.

A search samples what it likes: the gene that matters most is soon fixed, and then varies least among the
results. So nothing here is weighed by how often a value was tried. Effects are those of a ridge regression
on all results at once, importance is the spread of a gene's effects were each of its values as likely as
any other, and both say how unsure they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import t as student_t
from threadpoolctl import threadpool_limits

from records import Individual
from reporting.analysis.gene_interactions import CONFIDENCE, SAME, SEED, Array, interactions
from search.surrogate import Rungs
from search_space.space import NetworkSpace

Interval = tuple[float, float]

POOLED = 1.0  # values that a gene borrows from all genes, to say how much the values of a gene differ
NOISE = 0.1  # share of the variance that is luck, as far as one result could tell
SHARES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # variance of interactions to that of noise: those tried
LEAST_KEPT = 0.25  # share of a gene's variance that shrinkage may leave and still be made up for
STEPS, TOLERANCE = 300, 1e-3  # of the fixed point, and the relative change at which it has been reached
DRAWS = 2000  # of a gene's effects, for the interval of its importance


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueEffect:
    """One value of a gene: its networks, their accuracy as found, and its effect, all else equal.

    All are shares (0 to 1), None where there is nothing to tell. `effect` is against the mean over
    all values of the gene, each weighed alike. Intervals are of 95%.
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
    importance: float | None = None  # standard deviation of the effects of its values, each as likely: an accuracy
    importance_interval: Interval | None = None

    @property
    def varied(self) -> bool:
        """Whether the networks had more than one value of it."""
        return sum(each.count > 0 for each in self.values) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Interaction:
    """What two genes together do beyond what each does alone.

    `strength` is the standard deviation over all pairs of their values, an accuracy. `chance` is how
    often the strongest of all pairs would look as clear if there were no interaction anywhere.
    """

    first: str
    second: str
    strength: float
    chance: float

    @property
    def clear(self) -> bool:
        """Whether it is clearer than chance, with regard to how many pairs were looked at."""
        return self.chance <= 1 - CONFIDENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneEffects:
    """What the results of a run say of its genes, in the order of the table."""

    genes: tuple[GeneEffect, ...]
    interactions: tuple[Interaction, ...]  # of all pairs of genes that varied
    networks: int  # distinct ones, trained with success
    failures: int  # distinct networks that never were

    @property
    def ranked(self) -> tuple[GeneEffect, ...]:
        """The genes that varied, the most important first."""
        scored = [gene for gene in self.genes if gene.importance is not None]
        return tuple(sorted(scored, key=lambda gene: -(gene.importance or 0.0)))

    @property
    def never_varied(self) -> tuple[GeneEffect, ...]:
        return tuple(gene for gene in self.genes if not gene.varied)


def gene_effects(space: NetworkSpace, individuals: Sequence[Individual]) -> GeneEffects:
    """What the evaluated individuals of a run say of the genes of its space, in whatever order they come.

    Each network counts once, as it trained longest; accuracies after shorter trainings are brought to
    the scale of the longest.
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
        scored = dict(zip(varied, _scored([columns[place] for place in varied], accuracies), strict=True))
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
    """Each network once, as it trained longest, in an order of their own; and how many never succeeded."""
    best: dict[str, Individual] = {}
    for each in sorted(individuals, key=lambda each: (_epochs(each), each.generation, each.index)):
        best[space.phenotype(each.chromosome)] = each
    trained = [best[text] for text in sorted(best) if best[text].fitness is not None]
    return trained, len(best) - len(trained)


def _epochs(individual: Individual) -> int:
    return -1 if individual.fitness is None else individual.fitness.epochs


def _accuracies(trained: Sequence[Individual]) -> Array:
    """(n,): the accuracy of each network after a full training, measured or as its rung lets expect."""
    rungs = Rungs(trained)
    aligned = np.array([value for each in trained if (value := rungs.aligned(each)) is not None])
    return np.clip(rungs.restored(aligned), 0.0, 1.0)


def _distinct(values: Sequence[object]) -> list[object]:
    """Each value once; numbers in ascending order, words as the table has them."""
    numbers = [value for value in dict.fromkeys(values) if isinstance(value, int | float)]
    return [*sorted(numbers), *(value for value in dict.fromkeys(values) if not isinstance(value, int | float))]


def _described(options: Sequence[object], hot: Array, accuracies: Array) -> list[ValueEffect]:
    """The values of a gene with what was measured of their networks."""
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


@dataclass(frozen=True, slots=True)
class _Scores:
    """Of one gene: effects of its values and their standard errors (values,); importance and its interval."""

    effects: Array
    errors: Array
    importance: float
    interval: Interval


def _gene_effect(name: str, values: Sequence[ValueEffect], scores: _Scores | None) -> GeneEffect:
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


@dataclass(frozen=True, slots=True)
class _Fit:
    """Ridge effects of all p values (p,), their posterior covariance (p, p), and what noise alone adds to them."""

    effects: Array
    covariance: Array  # of the effects given the results
    response: Array  # what is estimated, on average, of true effects
    sampling: Array  # covariance of the estimates, were the results drawn again
    evidence: float


def _scored(columns: Sequence[Array], accuracies: Array) -> list[_Scores]:
    """Effects and importance of the genes that varied."""
    if not columns:
        return []
    sizes = np.array([hot.shape[1] for hot in columns])
    spread = float(accuracies.std())
    if spread < SAME:
        return [_Scores(np.zeros(size), np.zeros(size), 0.0, (0.0, 0.0)) for size in sizes]
    fit = _ridge(columns, (accuracies - accuracies.mean()) / spread)
    ends = np.cumsum(sizes)
    rng = np.random.default_rng(SEED)
    return [_gene_scores(fit, slice(end - size, end), spread, rng) for end, size in zip(ends, sizes, strict=True)]


def _gene_scores(fit: _Fit, gene: slice, spread: float, rng: np.random.Generator) -> _Scores:
    """The effects of one gene's values, and its importance.

    Importance is the finite-population standard deviation of the effects (Gelman 2005, sec. 3.5). Of
    its square, as it stands in the estimates, what noise adds on average is taken away (a method of
    moments, as Henderson 1953 has it for variance components), or genes of many values would look
    more important than they are; the rest is divided by the share that shrinkage leaves of it, or
    values tried rarely would look less so. The interval is of the effects given the results; its lower
    end, too, is freed of what their uncertainty adds, so that a gene that does nothing may reach zero.
    """
    effects = fit.effects[gene]
    count = len(effects)
    centre = np.eye(count) - 1 / count
    effects = centre @ effects
    covariance = centre @ fit.covariance[gene, gene] @ centre
    noise = float(np.trace(centre @ fit.sampling[gene, gene])) / count
    kept = max(LEAST_KEPT, float(np.sum((centre @ fit.response[gene, gene]) ** 2)) / (count - 1))
    importance = math.sqrt(max(0.0, (float(np.mean(effects**2)) - noise) / kept))
    drawn = effects + rng.standard_normal((DRAWS, count)) @ _root(covariance)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.mean(drawn**2, axis=1), [tail, 1 - tail])
    low = max(0.0, low - 2 * float(np.trace(covariance)) / count)
    return _Scores(
        effects=spread * effects,
        errors=spread * np.sqrt(np.maximum(np.diag(covariance), 0)),
        importance=spread * importance,
        interval=(spread * min(importance, math.sqrt(low)), spread * max(importance, math.sqrt(high))),
    )


def _root(covariance: Array) -> Array:
    """A symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _ridge(columns: Sequence[Array], targets: Array) -> _Fit:
    """The effects of all values of all genes at once, on standardised targets (n,).

    What genes do together is not in the effects, but no independent luck either: networks that
    share many genes share it, and a search tries the like again and again. So it is a part of the
    noise that is correlated, by the kernel of all pairs of genes; how large a part has the most evidence.
    """
    count = len(targets)
    shared = _pairwise_kernel(columns)
    inputs = np.column_stack([np.ones(count), targets, *columns])
    gene = np.repeat(np.arange(len(columns)), [hot.shape[1] for hot in columns])
    best: _Fit | None = None
    for share in SHARES:
        root = cholesky(np.eye(count) + share * shared, lower=True)
        white = solve_triangular(root, inputs, lower=True)
        one = white[:, 0]
        length = float(one @ one)
        white = white[:, 1:] - np.outer(one, one @ white[:, 1:] / length)  # any mean is as likely as any other
        fit = _fixed_point(white[:, 1:], white[:, 0], gene, -float(np.log(np.diag(root)).sum()) - math.log(length) / 2)
        if best is None or fit.evidence > best.evidence:
            best = fit
    assert best is not None  # noqa: S101 for the type checker: there are shares
    return best


def _pairwise_kernel(columns: Sequence[Array]) -> Array:
    """(n, n): how alike two networks are in what pairs of genes add to main effects, 1 for a network and itself.

    Products of kernels whose functions have mean zero over the values of a gene (Durrande et al. 2013,
    eq. 12), summed over all pairs.
    """
    kernels = [(hot @ hot.T - 1 / hot.shape[1]) / (1 - 1 / hot.shape[1]) for hot in columns]
    total, squares = sum(kernels), sum(kernel**2 for kernel in kernels)
    pairs: Array = (total**2 - squares) / max(1, len(columns) * (len(columns) - 1))
    return pairs


def _fixed_point(inputs: Array, targets: Array, gene: NDArray[np.int64], constant: float) -> _Fit:
    """Ridge regression with one penalty for each gene, penalties and noise by evidence (MacKay 1992, sec. 4).

    `inputs` (n, p) and `targets` (n,) are white and without their mean; `gene` (p,) says whose value a
    column is. The variance of a gene's values is pooled with that of all, so that none is cut off.
    """
    gram, product, square = inputs.T @ inputs, inputs.T @ targets, float(targets @ targets)
    count, sizes = len(targets), np.bincount(gene)
    noise, variances = square / count / 2, np.full(len(sizes), square / count / len(sizes) / 2)
    for _ in range(STEPS):
        covariance = np.asarray(np.linalg.inv(gram / noise + np.diag(1 / variances[gene])), np.float64)
        effects = covariance @ product / noise
        squares = np.bincount(gene, effects**2 + np.diag(covariance))
        freedom = len(gene) - float(np.sum(np.diag(covariance) / variances[gene]))
        residual = max(0.0, float(square - 2 * effects @ product + effects @ gram @ effects))
        before = np.log([noise, *variances])
        noise = (residual + NOISE * square / count) / (max(count - 1 - freedom, 0.0) + 1)
        variances = np.maximum((squares + POOLED * squares.sum() / len(gene)) / (sizes + POOLED), SAME)
        if np.abs(np.log([noise, *variances]) - before).max() < TOLERANCE:
            break
    precision = gram / noise + np.diag(1 / variances[gene])
    covariance = np.asarray(np.linalg.inv(precision), np.float64)
    effects = covariance @ product / noise
    response: Array = covariance @ gram / noise
    penalty = (count - 1) * math.log(noise) + np.log(variances[gene]).sum() + np.linalg.slogdet(precision)[1]
    evidence = constant - (penalty + square / noise - effects @ precision @ effects) / 2
    return _Fit(effects, covariance, response, response @ covariance, float(evidence))
