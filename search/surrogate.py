"""Predicts the fitness of untrained networks from those of trained ones, with its uncertainty.

A Gaussian process (Rasmussen & Williams 2006, algorithm 2.1) over the genes: two networks are the
more alike the fewer genes tell them apart. The engine asks it which offspring to train.
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

OPTIMISM = 1.0  # standard deviations above the mean by which a network that is not trained yet is judged
SHORT_LIST = 200  # the most promising, among which a generation is chosen with regard to one another
FITTED = 200  # results, spread over the ranks, of which length scale and noise are learned
RUNG_DISTANCE = 0.5  # of twice as many epochs, where one gene that differs has the distance 1
OWN = 1 / 3  # share of what a network's own result says beyond the model, that is taken to be its own and not luck


class FitnessPredictor:
    """What the results so far say of every network of a space: `Model` to the engine.

    A pure function of the space and the individuals, on one thread. Failures count as the worst.
    Results below the median are cut off as far below it as the best is above: how bad a bad network
    is says nothing of the good ones.
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
        """(n,): the upper confidence bound of each network (Srinivas et al. 2010), in no unit."""
        return _upper_bound(*self._expected(chromosomes))

    def choose(self, chromosomes: Sequence[Chromosome], count: int) -> list[int]:
        """The indices of `count` networks to train side by side, the most promising first.

        Each is chosen as if those before it were trained already: what they would tell is no longer
        uncertain (Desautels et al. 2014).
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
            covariance = covariance - np.outer(shared, shared) / covariance[best, best]
        return [int(listed[n]) for n in chosen]

    def forecasts(self, chromosomes: Sequence[Chromosome]) -> list[Forecast]:
        """What is expected of these networks after a full training."""
        mean, deviation = self._expected(chromosomes)
        centres = self._rungs.restored(self._mean + self._spread * mean)
        widths = self._rungs.slope * self._spread * np.sqrt(deviation**2 + self._noise)
        return [Forecast(mean=float(m), deviation=float(d)) for m, d in zip(centres, widths, strict=True)]

    def estimates(self, individuals: Sequence[Individual]) -> list[float]:
        """The fitness of trained networks, freed of some of the luck of their training, at the last rung."""
        expected = [forecast.mean for forecast in self.forecasts([each.chromosome for each in individuals])]
        return [
            value if each.fitness is None else value + OWN * (each.fitness.value - value)
            for each, value in zip(individuals, expected, strict=True)
        ]

    def _expected(self, chromosomes: Sequence[Chromosome]) -> tuple[Array, Array]:
        """Mean and standard deviation of the true fitness of each network, standardised."""
        with threadpool_limits(1):
            mean, deviation = self._process.predict(self._inputs(chromosomes), return_std=True)
        return mean, np.sqrt(np.maximum(deviation**2 - self._noise, 0.0))

    def _inputs(self, chromosomes: Sequence[Chromosome], epochs: Sequence[int] | None = None) -> Array:
        """(n, alleles + 1): each gene one-hot, so that one that differs is a squared distance of 1; and the rung."""
        inputs = np.zeros((len(chromosomes), len(self._columns) + 1))
        for row, chromosome in enumerate(chromosomes):
            for pair in enumerate(self.space.traits(chromosome)):
                inputs[row, self._columns[pair]] = math.sqrt(0.5)
        lengths = np.array(epochs or [self._rungs.last] * len(chromosomes), float)
        inputs[:, -1] = RUNG_DISTANCE * np.log2(np.maximum(lengths, 1))
        return inputs


class Rungs:
    """Brings the accuracies after trainings of different lengths to one scale, that of the shortest.

    Networks that trained for both of two neighbouring lengths tell how mean and spread change from
    one to the other.
    """

    def __init__(self, individuals: Sequence[Individual]) -> None:
        curves = [
            {fitness.epochs: fitness.value for fitness in (*each.earlier, each.fitness) if fitness is not None}
            for each in individuals
        ]
        lengths = sorted({epochs for curve in curves for epochs in curve}) or [0]
        self.last = lengths[-1]
        self._lines = {lengths[0]: (0.0, 1.0)}  # by epochs: aligned = offset + slope × accuracy
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
        """Accuracy at the last rung for one unit of the common scale."""
        return 1 / self._lines[self.last][1]

    def epochs(self, individual: Individual) -> int:
        return self.last if individual.fitness is None else individual.fitness.epochs

    def aligned(self, individual: Individual) -> float | None:
        if individual.fitness is None:
            return None
        offset, slope = self._lines[individual.fitness.epochs]
        return offset + slope * individual.fitness.value

    def restored(self, aligned: Array) -> Array:
        """The accuracies at the last rung."""
        offset, slope = self._lines[self.last]
        return (aligned - offset) / slope


def _upper_bound(mean: Array, deviation: Array) -> Array:
    return mean + OPTIMISM * deviation


def _fit(inputs: Array, targets: Array) -> tuple[GaussianProcessRegressor, float]:
    """The process given all results, and the variance of their noise; both on the targets' scale."""
    ranks = np.argsort(targets, kind="stable")
    some = ranks[np.unique(np.linspace(0, len(ranks) - 1, FITTED).round().astype(int))]
    kernel = ConstantKernel(1.0, "fixed") + ConstantKernel(1.0, (0.1, 10.0)) * RBF(2.0, (0.7, 20.0))
    kernel += WhiteKernel(0.05, (0.003, 1.0))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a value at its bound is meant
        learned = GaussianProcessRegressor(kernel).fit(inputs[some], targets[some]).kernel_
        process = GaussianProcessRegressor(learned, optimizer=None).fit(inputs, targets)
    return process, float(learned.k2.noise_level)
