"""Ridge regression of accuracy on the values of genes: their main effects, and the importance of each gene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from reporting.analysis.gene_interactions import CONFIDENCE, SAME, SEED, Array

Interval = tuple[float, float]

POOLED = 1.0  # pseudo-values from the pool of all genes that the variance of each gene is estimated with
NOISE = 0.1  # prior share of noise in the variance of accuracies, with the weight of one result
SHARES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # ratios tried of the variance of interactions to that of noise
LEAST_KEPT = 0.25  # smallest share of a gene's variance kept by shrinkage that the correction assumes
STEPS, TOLERANCE = 300, 1e-3  # at most, of the fixed-point iteration; relative change at which it has converged
DRAWS = 2000  # samples of a gene's effects, for the interval of its importance


@dataclass(frozen=True, slots=True)
class Scores:
    """For one gene: the effects of its values and their standard errors (values,); its importance with interval."""

    effects: Array
    errors: Array
    importance: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class _Fit:
    """Ridge effects of all p values (p,), their posterior covariance (p, p), and the contribution of noise to them."""

    effects: Array
    covariance: Array  # of the effects, given the results
    response: Array  # expected estimates as a linear function of the true effects
    sampling: Array  # covariance of the estimates if the results were drawn again
    evidence: float


def scored_genes(columns: Sequence[Array], accuracies: Array) -> list[Scores]:
    """Effects and importance of the genes that varied."""
    if not columns:
        return []
    sizes = np.array([hot.shape[1] for hot in columns])
    spread = float(accuracies.std())
    if spread < SAME:
        return [Scores(np.zeros(size), np.zeros(size), 0.0, (0.0, 0.0)) for size in sizes]
    fit = _ridge(columns, (accuracies - accuracies.mean()) / spread)
    ends = np.cumsum(sizes)
    rng = np.random.default_rng(SEED)
    return [_gene_scores(fit, slice(end - size, end), spread, rng) for end, size in zip(ends, sizes, strict=True)]


def _gene_scores(fit: _Fit, gene: slice, spread: float, rng: np.random.Generator) -> Scores:
    """The effects of one gene's values, and its importance.

    Importance is the finite-population standard deviation of the effects (Gelman 2005, sec. 3.5). From its
    square, as estimated, the average contribution of noise is subtracted (a method of moments, as in
    Henderson 1953 for variance components); otherwise genes of many values would look more important than
    they are. The rest is divided by the share that shrinkage keeps of it; otherwise genes whose values were
    rarely tried would look less important. The interval is that of the effects given the results; the
    contribution of their uncertainty is subtracted from its lower end as well, so that the interval of a gene
    without any effect can reach zero.
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
    return Scores(
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

    Interactions of genes are not part of the effects, but they are no independent noise either: networks
    that share many genes share them, and a search tries similar networks again and again. They are therefore
    modelled as correlated noise, with the kernel of all pairs of genes; its share is the one of highest evidence.
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
        white = white[:, 1:] - np.outer(one, one @ white[:, 1:] / length)  # flat prior on the mean
        fit = _fixed_point(white[:, 1:], white[:, 0], gene, -float(np.log(np.diag(root)).sum()) - math.log(length) / 2)
        if best is None or fit.evidence > best.evidence:
            best = fit
    assert best is not None  # noqa: S101 for the type checker: SHARES is not empty
    return best


def _pairwise_kernel(columns: Sequence[Array]) -> Array:
    """(n, n): the kernel of pairwise interactions, 1 for a network and itself.

    Products of kernels whose functions have mean zero over the values of a gene (Durrande et al. 2013,
    eq. 12), summed over all pairs.
    """
    kernels = [(hot @ hot.T - 1 / hot.shape[1]) / (1 - 1 / hot.shape[1]) for hot in columns]
    total, squares = sum(kernels), sum(kernel**2 for kernel in kernels)
    pairs: Array = (total**2 - squares) / max(1, len(columns) * (len(columns) - 1))
    return pairs


def _fixed_point(inputs: Array, targets: Array, gene: NDArray[np.int64], constant: float) -> _Fit:
    """Ridge regression with one penalty for each gene; penalties and noise maximise the evidence (MacKay 1992, sec. 4).

    `inputs` (n, p) and `targets` (n,) are whitened and centred; `gene` (p,) is the gene of each column. The
    variance of a gene's values is pooled with that of all genes, so that no gene is pruned away.
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
