"""Records of a run: its state, its data, its best model, its ablation."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from records.fields import optional
from records.individuals import Generation, Individual
from records.search_settings import EvolutionConfig
from records.settings import DataConfig
from records.texts import Chromosome, JobKey, NetworkText
from records.training_settings import TrainingConfig
from records.trainings import TrainingResult
from records.words import metric_in_words


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """How pictures became pixels, apart from their size and channels.

    `version` is that of the rules by which pictures in folders are found and prepared; records of
    before there were versions were made by the first. `pixel_range` holds the values that became 0
    and 255, where the type of the pixels does not say it.
    """

    version: int = 1
    pixel_range: tuple[float, float] | None = optional(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """Facts about the data: what a resumed run must find unchanged, and what decoding needs."""

    fingerprint: str
    input_shape: tuple[int, int, int]  # channels, height, width
    class_names: tuple[str, ...]
    train_images: int
    val_images: int
    test_images: int
    preparation: Preparation = optional(Preparation())  # noqa: RUF009 it is frozen


@dataclass(frozen=True, kw_only=True, slots=True)
class TestScore:
    """Results on the test images, on which no decision of the search depends."""

    accuracy: float
    loss: float
    images: int
    balanced_accuracy: float | None = None  # if that was the metric of the search


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """A network that was trained again with new seeds, and its validation scores."""

    individual: str
    chromosome: Chromosome
    accuracies: tuple[float, ...]  # of the trainings that succeeded

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean; None for a single training."""
        count = len(self.accuracies)
        return statistics.stdev(self.accuracies) / math.sqrt(count) if count > 1 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """A network that differs from the best in one bit, and the scores of its trainings with new seeds."""

    locus: int
    gene: str
    best_value: str  # of that gene, in words
    value: str
    chromosome: Chromosome
    is_same_network: bool  # the bit has no effect on this network, so nothing was trained
    accuracies: tuple[float, ...] = ()  # of the trainings that succeeded


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """The best network and its neighbours, each trained with the same number of new seeds."""

    individual: str
    chromosome: Chromosome
    accuracies: tuple[float, ...]
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """Description of a weights file: its network, data, origin and results."""

    version: str
    individual: Individual
    description: str
    phenotype: NetworkText
    data: DataConfig
    facts: DataFacts
    precision: str
    metric: str  # "accuracy" or "balanced_accuracy"
    split: str  # what the weights were trained on: "train", or "all" with the validation images
    weights: str | None  # path inside the run's folder
    result: TrainingResult | None
    finalists: tuple[Finalist, ...] = ()  # by mean, the best first
    test: TestScore | None = None

    @property
    def measure(self) -> str:
        """The name of the metric for people."""
        return metric_in_words(self.metric)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What a steady-state search did since its last checkpoint."""

    bred: tuple[Individual, ...]
    taken: tuple[Individual, ...]  # with their fitness, in the order in which their results were taken


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """All that is needed to resume a run after a generation, on any machine. At generation 0 nothing is trained yet.

    In a steady-state search `population` holds all individuals bred for later generations, with their
    fitness if they are trained; `results` includes theirs.
    """

    version: str
    search: EvolutionConfig
    training: TrainingConfig  # with no setting left open
    data: DataConfig
    facts: DataFacts
    gene_table: str  # canonical JSON, so that a resumed run does not need the file that it was read from
    generations: tuple[Generation, ...]
    results: dict[JobKey, TrainingResult]  # by key, of all individuals so far
    population: tuple[Individual, ...]  # to be trained next
    order: tuple[str, ...] = ()  # of results, as names of individuals; steady-state searches only

    @property
    def generation(self) -> int:
        """The number of evaluated generations."""
        return len(self.generations)
