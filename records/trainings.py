"""Training jobs and their results."""

from __future__ import annotations

from dataclasses import dataclass, field

from records.canonical import content_hash, shown, to_json
from records.costs import Cost
from records.errors import FAILURES
from records.individuals import Fitness
from records.objectives import OBJECTIVES
from records.texts import WEIGHTS_PATH, JobKey, NetworkText
from records.training_settings import TrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """The specification of one training: equal jobs have equal keys and are trained once.

    `phenotype` is the text of the network: the genes' hyperparameters are in `protocol`. `split` is
    what it trains on: "train", or "all" for training and validation images together (which leaves
    none to measure an accuracy on).
    """

    phenotype: NetworkText
    protocol: TrainingConfig
    data_fingerprint: str
    replicate: int = 0
    split: str = "train"
    stop_below: tuple[float, ...] = ()  # by epoch: a training with a lower score is stopped

    @property
    def key(self) -> JobKey:
        """SHA-256 of the job's content in hex; the name of its result's file."""
        return JobKey(content_hash(to_json(self)))

    @property
    def seed(self) -> int:
        """The 63-bit training seed, a function of the key alone."""
        return int(self.key[:16], 16) >> 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """Results of one epoch. Losses are cross-entropies in nats.

    `score` is what the protocol's `metric` gives for the validation images, 0 to 1: the accuracy or
    the balanced accuracy. In JSON it is called accuracy.
    """

    train_loss: float
    score: float | None = field(default=None, metadata={"json": "accuracy"})
    loss: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """The result of a job: `status` is "done" or one of `FAILURES`, `reason` explains a failure."""

    key: JobKey
    status: str
    reason: str = ""
    epochs: tuple[Epoch, ...] = ()
    parameters: int = 0
    flops: int = 0  # of one forward pass of one image
    micro_batch: int = 0
    weights: str | None = None  # path inside the run's folder
    weights_sha256: str | None = None
    cost: Cost = field(default=Cost())

    def __post_init__(self) -> None:
        if self.status != "done" and self.status not in FAILURES:
            raise ValueError(f"status must be 'done' or one of {', '.join(FAILURES)}, but is {shown(self.status)}")
        if self.weights is not None and WEIGHTS_PATH.fullmatch(self.weights) is None:
            raise ValueError(
                f"weights must lie inside the run's folder, as results/…/best_model.pt, but are {shown(self.weights)}"
            )
        if self.status == "done" and not self.epochs:
            raise ValueError(f"result {self.key}: a finished training has at least one epoch, but this has none")

    @property
    def fitness(self) -> Fitness | None:
        """Fitness of the network after its last epoch; None for a failure or without validation images."""
        if self.status != "done" or self.epochs[-1].score is None or self.epochs[-1].loss is None:
            return None
        return Fitness(
            value=self.epochs[-1].score,
            loss=self.epochs[-1].loss,
            parameters=self.parameters,
            flops=self.flops,
            epochs=len(self.epochs),
            measured=tuple(
                (name, value)
                for name, objective in OBJECTIVES.items()
                if objective.measured is not None and (value := objective.measured(self.cost)) is not None
            ),
        )
