"""What a run knows and leaves behind: its state, its data, its best model, its ablation."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from records.individuals import Generation, Individual
from records.search_settings import EvolutionConfig
from records.settings import DataConfig
from records.texts import Chromosome, JobKey, NetworkText
from records.training_settings import TrainingConfig
from records.trainings import TrainingResult
from records.words import metric_in_words


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """What a run must find again in its data, and what decoding needs to know of them."""

    fingerprint: str
    input_shape: tuple[int, int, int]  # channels, height, width
    class_names: tuple[str, ...]
    train_images: int
    val_images: int
    test_images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TestScore:
    """What a network reached on the test images, which no decision ever saw."""

    accuracy: float
    loss: float
    images: int
    balanced_accuracy: float | None = None  # where that is what the search went by


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """A network that was trained again with fresh seeds, and the validation accuracies that it reached."""

    individual: str
    chromosome: Chromosome
    accuracies: tuple[float, ...]  # of the trainings that succeeded

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)

    @property
    def standard_error(self) -> float | None:
        """Of the mean; None for a single training."""
        count = len(self.accuracies)
        return statistics.stdev(self.accuracies) / math.sqrt(count) if count > 1 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbour:
    """A network that differs from the best in one bit, and what its trainings with fresh seeds came to."""

    locus: int
    gene: str
    best_value: str  # of that gene, in words
    value: str
    chromosome: Chromosome
    is_same_network: bool  # this bit makes no difference there, and nothing was trained
    accuracies: tuple[float, ...] = ()  # of the trainings that succeeded


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """The best network with fresh seeds, and its neighbours with equally many."""

    individual: str
    chromosome: Chromosome
    accuracies: tuple[float, ...]
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What goes with a weights file: the network, its data, where it came from, what it reached."""

    version: str
    individual: Individual
    description: str
    phenotype: NetworkText
    data: DataConfig
    facts: DataFacts
    precision: str
    metric: str  # what fitness is: "accuracy" or "balanced_accuracy"
    split: str  # what the weights were trained on: "train", or "all" with the validation images
    weights: str | None  # path inside the run's folder
    result: TrainingResult | None
    finalists: tuple[Finalist, ...] = ()  # the best by mean first
    test: TestScore | None = None

    @property
    def measure(self) -> str:
        """What fitness is, in words."""
        return metric_in_words(self.metric)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What a steady state did since its last checkpoint."""

    bred: tuple[Individual, ...]
    taken: tuple[Individual, ...]  # with their fitness, in the order in which their results were taken


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """All that is needed to go on after a generation, on any machine; generation 0 is the birth.

    In a steady state `population` are all that were bred for later generations, with their fitness
    where it is known already; `results` holds theirs, too.
    """

    version: str
    search: EvolutionConfig
    training: TrainingConfig  # with nothing left open
    data: DataConfig
    facts: DataFacts
    gene_table: str  # canonical JSON, so that a run goes on without the file that it may have come from
    generations: tuple[Generation, ...]
    results: dict[JobKey, TrainingResult]  # by key, of all individuals so far
    population: tuple[Individual, ...]  # asked for, to be trained next
    order: tuple[str, ...] = ()  # in which results were taken, as names of individuals; of a steady state alone

    @property
    def generation(self) -> int:
        """The number of evaluated generations."""
        return len(self.generations)
