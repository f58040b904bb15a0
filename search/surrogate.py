"""A surrogate model: predicts the fitness of untrained networks, with uncertainty, from the results of trained ones.

A Gaussian process over the genes. Equation numbers are those of Rasmussen & Williams 2006, "Gaussian
Processes for Machine Learning".
"""

from __future__ import annotations

import itertools
import math
import statistics
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from threadpoolctl import threadpool_limits

from records import Individual
from records.individuals import Forecast
from records.texts import Chromosome
from search.base import SearchSpace

Array = NDArray[np.float64]

OPTIMISM = 1.0  # standard deviations by which the upper confidence bound exceeds the mean
SHORT_LIST = 200  # the networks with the highest bounds, among which a batch is chosen
FITTED = 200  # results, spread evenly over the ranks, to which the kernel is fitted
RUNG_DISTANCE = 0.5  # between trainings of n and 2n epochs; a differing gene is a distance of 1
OWN = 1 / 3  # share of a network's residual that is attributed to the network; the rest is noise


class FitnessPredictor:
    """A Gaussian process fitted to the results so far; implements `search.base.Model`.

    A pure function of the space and the individuals, on one thread. Failures count as the worst
    result. Results are clipped at as far below the median as the best is above it, so that very poor
    networks do not distort the model of good ones.
    """

    def __init__(self, space: SearchSpace, individuals: Sequence[Individual]) -> None:
        self.space = space
        alleles = [dict.fromkeys(values) for values in space.alleles]
        self._columns = {pair: n for n, pair in enumerate((g, v) for g, values in enumerate(alleles) for v in values)}
        trained = list({space.phenotype(each.chromosome): each for each in individuals}.values())
        self._rungs = Rungs(trained)
        values = [self._rungs.aligned(each) for each in trained]
        worst = min((value for value in values if value is not None), default=0.0)
        found = np.array([worst if value is None else value for value in values])  # (n,)
        middle, best = float(np.median(found)), float(found.max())
        cut = np.maximum(found, 2 * middle - best)
        self._mean, self._spread = float(cut.mean()), float(cut.std()) or 1.0
        inputs = self._inputs([each.chromosome for each in trained], [self._rungs.epochs(each) for each in trained])
        self._process, self._noise = _fit(inputs, (cut - self._mean) / self._spread)

    def optimism(self, chromosomes: Sequence[Chromosome]) -> Array:
        """(n,): the upper confidence bound of each network, standardised."""
        return _upper_bound(*self._expected(chromosomes))

    def choose(self, chromosomes: Sequence[Chromosome], count: int) -> list[int]:
        """The indices of `count` networks to train in parallel, the most promising first.

        Each is chosen as if those before it had been trained with their predicted result, which
        lowers the variance of similar networks (GP-BUCB, Desautels et al. 2014).
        """
        mean, deviation = self._expected(chromosomes)
        listed = np.argsort(-_upper_bound(mean, deviation), kind="stable")[:SHORT_LIST]
        mean = mean[listed]
        with threadpool_limits(1):
            _, covariance = self._process.predict(self._inputs([chromosomes[n] for n in listed]), return_cov=True)
        chosen: list[int] = []
        for _ in range(min(count, len(listed))):
            bound = _upper_bound(mean, np.sqrt(np.maximum(np.diag(covariance) - self._noise, 0)))
            bound[chosen] = -np.inf
            best = int(bound.argmax())
            chosen.append(best)
            shared = covariance[:, best] - self._noise * (np.arange(len(listed)) == best)
            covariance = covariance - np.outer(shared, shared) / covariance[best, best]  # eq. 2.26 for one more input
        return [int(listed[n]) for n in chosen]

    def forecasts(self, chromosomes: Sequence[Chromosome]) -> list[Forecast]:
        """The predicted fitness of networks after a full training, including the noise of the training."""
        mean, deviation = self._expected(chromosomes)
        centres = self._rungs.restored(self._mean + self._spread * mean)
        widths = self._rungs.slope * self._spread * np.sqrt(deviation**2 + self._noise)
        return [Forecast(mean=float(m), deviation=float(d)) for m, d in zip(centres, widths, strict=True)]

    def estimates(self, individuals: Sequence[Individual]) -> list[float]:
        """The denoised fitness of trained networks, on the scale of the last rung."""
        expected = [forecast.mean for forecast in self.forecasts([each.chromosome for each in individuals])]
        return [
            value if each.fitness is None else value + OWN * (each.fitness.value - value)
            for each, value in zip(individuals, expected, strict=True)
        ]

    def _expected(self, chromosomes: Sequence[Chromosome]) -> tuple[Array, Array]:
        """Mean and standard deviation of each network's noise-free fitness, standardised (eq. 2.25 and 2.26)."""
        with threadpool_limits(1):
            mean, deviation = self._process.predict(self._inputs(chromosomes), return_std=True)
        return mean, np.sqrt(np.maximum(deviation**2 - self._noise, 0.0))

    def _inputs(self, chromosomes: Sequence[Chromosome], epochs: Sequence[int] | None = None) -> Array:
        """(n, alleles + 1): genes one-hot, so that a differing gene is a squared distance of 1; then the rung."""
        inputs = np.zeros((len(chromosomes), len(self._columns) + 1))
        for row, chromosome in enumerate(chromosomes):
            for pair in enumerate(self.space.traits(chromosome)):
                inputs[row, self._columns[pair]] = math.sqrt(0.5)
        lengths = np.array(epochs or [self._rungs.last] * len(chromosomes), float)
        inputs[:, -1] = RUNG_DISTANCE * np.log2(np.maximum(lengths, 1))
        return inputs


class Rungs:
    """Maps scores after trainings of different lengths to a common scale, that of the shortest.

    The map between two neighbouring lengths matches mean and standard deviation of the networks that
    trained for both.
    """

    def __init__(self, individuals: Sequence[Individual]) -> None:
        curves = [
            {fitness.epochs: fitness.value for fitness in (*each.earlier, each.fitness) if fitness is not None}
            for each in individuals
        ]
        lengths = sorted({epochs for curve in curves for epochs in curve}) or [0]
        self.last = lengths[-1]
        self._lines = {lengths[0]: (0.0, 1.0)}  # by epochs: aligned = offset + slope × score
        for shorter, longer in itertools.pairwise(lengths):
            offset, slope = self._lines[shorter]
            pairs = [(curve[shorter], curve[longer]) for curve in curves if shorter in curve and longer in curve]
            before = [offset + slope * value for value, _ in pairs]
            after = [value for _, value in pairs]
            wide = len(pairs) > 2 and statistics.pstdev(after) > 0 and statistics.pstdev(before) > 0
            slope = statistics.pstdev(before) / statistics.pstdev(after) if wide else slope
            offset = statistics.fmean(before) - slope * statistics.fmean(after) if pairs else offset
            self._lines[longer] = (offset, slope)

    @property
    def slope(self) -> float:
        """The change of the score at the last rung for one unit of the common scale."""
        return 1 / self._lines[self.last][1]

    def epochs(self, individual: Individual) -> int:
        return self.last if individual.fitness is None else individual.fitness.epochs

    def aligned(self, individual: Individual) -> float | None:
        if individual.fitness is None:
            return None
        offset, slope = self._lines[individual.fitness.epochs]
        return offset + slope * individual.fitness.value

    def restored(self, aligned: Array) -> Array:
        """The scores at the last rung."""
        offset, slope = self._lines[self.last]
        return (aligned - offset) / slope


def _upper_bound(mean: Array, deviation: Array) -> Array:
    """The upper confidence bound, the acquisition function of GP-UCB."""
    return mean + OPTIMISM * deviation  # Srinivas et al. 2010, eq. 6, with a constant β


def _fit(inputs: Array, targets: Array) -> tuple[GaussianProcessRegressor, float]:
    """The process conditioned on all results, and the variance of their noise."""
    ranks = np.argsort(targets, kind="stable")
    some = ranks[np.unique(np.linspace(0, len(ranks) - 1, FITTED).round().astype(int))]
    kernel = ConstantKernel(1.0, "fixed") + ConstantKernel(1.0, (0.1, 10.0)) * RBF(2.0, (0.7, 20.0))
    kernel += WhiteKernel(0.05, (0.003, 1.0))  # the noise of eq. 2.20
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a hyperparameter at its bound is acceptable
        learned = GaussianProcessRegressor(kernel).fit(inputs[some], targets[some]).kernel_  # maximises eq. 5.8
        process = GaussianProcessRegressor(learned, optimizer=None).fit(inputs, targets)  # algorithm 2.1
    return process, float(learned.k2.noise_level)
