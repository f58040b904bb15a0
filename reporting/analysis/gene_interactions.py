"""Which genes interact: pairs whose joint effect differs from the sum of their separate effects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

Array = NDArray[np.float64]

CONFIDENCE = 0.95
SAME = 1e-9  # smaller differences count as none
SEED = 0
PERMUTATIONS, BATCH = 499, 50
MOST_CLEAR = 10  # clear interactions that are looked for
EMPTY = 1.0  # pseudo-networks without interaction that are added to each cell, to shrink it


def interactions(columns: Sequence[Array], accuracies: Array) -> tuple[Array, Array]:
    """(genes, genes) twice: the strength of each pair, and how often chance alone would look as clear.

    A clear interaction makes pairs that the search sampled together with it look clear, too. Pairs are
    therefore found one after another, the clearest first, and each is tested given those found before it.
    """
    genes, spread = len(columns), float(accuracies.std()) if len(accuracies) else 0.0
    strengths, chances = np.zeros((genes, genes)), np.ones((genes, genes))
    if genes < 2 or spread < SAME:
        return strengths, chances
    known, still = np.hstack([np.ones((len(accuracies), 1)), *columns]), np.triu(np.ones((genes, genes), bool), 1)
    for _ in range(MOST_CLEAR):
        found = _tested(columns, known, accuracies / spread)
        if found is None:
            break
        clearness, strength, chance = found
        strengths[still], chances[still] = spread * strength[still], chance[still]
        one, other = divmod(int(np.where(still, clearness, -np.inf).argmax()), genes)
        if chances[one, other] > 1 - CONFIDENCE:
            break
        still[one, other] = False
        cells = columns[one][:, :, None] * columns[other][:, None, :]
        known = np.hstack([known, cells.reshape(len(known), -1)])
    return strengths, chances


def _tested(columns: Sequence[Array], known: Array, targets: Array) -> tuple[Array, Array, Array] | None:
    """(genes, genes) each: clearness, strength and chance of the pairs given what is known; None if nothing is left.

    The columns of `known` (n, k) are projected out of the targets, whatever their effects are. The remaining
    n − rank coordinates are exchangeable if there is no interaction, so they are permuted (Huh & Jhun 2001).
    The clearness of a pair is its distance from its permutations, on the cube-root scale on which mean squares
    are about normal (Wilson & Hilferty 1931); it is compared with the clearest pair of each permutation
    (Westfall & Young 1993, sec. 2.6).
    """
    basis, triangle, _ = qr(known, pivoting=True)
    left = basis[:, int(np.count_nonzero(np.abs(np.diag(triangle)) > SAME)) :]  # (n, n - rank)
    parts = left.T @ targets
    if len(parts) < 2 or np.abs(parts).max() < SAME:
        return None
    rng = np.random.default_rng(SEED)
    orders = np.array([parts, *(rng.permutation(parts) for _ in range(PERMUTATIONS))])
    batches = [orders[start : start + BATCH] @ left.T for start in range(0, len(orders), BATCH)]
    squares = np.concatenate([_mean_squares(columns, residuals) for residuals in batches])  # (1 + m, genes, genes)
    roots = np.cbrt(squares)
    clearness = (roots - roots[1:].mean(axis=0)) / np.maximum(roots[1:].std(axis=0), SAME)
    clearness[:, *np.tril_indices(len(columns))] = -np.inf
    clearest = np.sort(clearness[1:].max(axis=(1, 2)))
    chances = (1 + PERMUTATIONS - np.searchsorted(clearest, clearness[0], "left")) / (1 + PERMUTATIONS)
    return clearness[0], np.sqrt(np.maximum(squares[0] - squares[1:].mean(axis=0), 0)), chances


def _mean_squares(columns: Sequence[Array], residuals: Array) -> Array:
    """(m, genes, genes): the mean square of residual accuracies (m, n) over the cells of each pair.

    Cells with few networks are shrunk; those without any count as free of interaction.
    """
    hot = np.hstack(columns)  # (n, p)
    gene = np.repeat(np.arange(len(columns)), [each.shape[1] for each in columns])
    mine = np.eye(len(columns))[gene] / np.bincount(gene)[gene, None]  # (p, genes), a mean over the values of each gene
    sums = (residuals[:, None, :] * hot.T) @ hot  # (m, p, p)
    means: Array = mine.T @ (sums / (hot.T @ hot + EMPTY)) ** 2 @ mine
    return means
