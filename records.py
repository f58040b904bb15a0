"""The frozen records that flow through the program, each validated once, when it is made."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import statistics
import sys
import types
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

VERSION = "0.1.0"
T = TypeVar("T")

FAILURES = ("out_of_memory", "diverged", "crashed", "timed_out", "error")
OPTIMIZERS = ("sgd", "adamw")
AUGMENTATIONS = ("none", "basic", "cutout", "strong")  # each with all of the one before


class InputError(ValueError):
    """Bad input from a person: shown as one line, without a traceback, with exit status 2."""


class RunFault(Exception):
    """The run cannot go on, through no fault of what was typed; it can be resumed."""


class SaveError(RunFault):
    """A file could not be written; the message carries its path and the reason."""


class TrainingFailure(Exception):
    """A training that ended without a result: one of `FAILURES`, and the reason in words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. What is hashed is this text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def from_json(kind: type[T], value: object) -> T:
    """The record of type `kind` that `dataclasses.asdict` and JSON made `value` of, checked in every part.

    Raises ValueError that names the part that does not fit.
    """
    record: T = _parse(kind, value, kind.__name__)
    return record


def _parse(kind: Any, value: Any, where: str) -> Any:
    """`kind` is a record, a plain type, a tuple, a dict with text keys, or one of these or None."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        options = [option for option in arguments if option is not type(None)]
        return None if value is None else _parse(options[0], value, where)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            odd = sorted(set(hints) ^ set(value)) if isinstance(value, dict) else value
            raise ValueError(f"{where}: the parts of {kind.__name__} were expected, odd are {odd!r}")
        return kind(**{name: _parse(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})
    if origin is tuple and isinstance(value, list):
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) == len(value):
            parts = zip(inner, value, strict=True)
            return tuple(_parse(part, item, f"{where}[{index}]") for index, (part, item) in enumerate(parts))
    elif origin is dict and isinstance(value, dict):
        return {name: _parse(arguments[1], item, f"{where}[{name!r}]") for name, item in value.items()}
    elif kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    elif kind in (int, str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {value!r}")


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _setting(default: Any, help: str, choices: tuple[str, ...] | None = None, resume: bool = False) -> Any:
    """A dataclass field that is also a command-line flag; `resume` marks what a resumed run may change."""
    return field(default=default, metadata={"help": help, "choices": choices, "resume": resume})


def _require_choices(record: Any) -> None:
    for item in fields(record):
        choices, value = item.metadata["choices"], getattr(record, item.name)
        for each in value if isinstance(value, tuple) else (value,):
            _require(choices is None or each in choices, item.name, f"one of {', '.join(choices or ())}", repr(each))


def in_words(metric: str) -> str:
    """A metric, as it is called where people read it; one that was left open is the accuracy."""
    return "balanced accuracy" if metric == "balanced_accuracy" else "accuracy"


def _require(holds: bool, name: str, expected: str, found: object) -> None:
    if not holds:
        raise InputError(f"--{name} must be {expected}, but is {found}")


ALGORITHMS = ("genetic", "aging", "random", "local_search")
OPTUNA = "optuna:"  # and the name of a sampler
MINIMUM_SIDE = 8  # pixels of an image: three poolings must leave one
MAXIMUM_IMAGE_SIDE = 224  # pixels: up to here networks are tested
METRICS = ("accuracy", "balanced_accuracy")
OBJECTIVES = ("accuracy", "parameters", "flops", "latency")
AUTO_FINALISTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class EvolutionConfig:
    """The settings of the search. Raises `InputError` for values that have no meaning."""

    generations: int = _setting(20, "generations to evolve, counted from 1", resume=True)
    budget: int | None = _setting(
        None, "end after so many full trainings instead; shorter ones count by their epochs (default: no)", resume=True
    )
    population: int = _setting(10, "individuals in each generation")
    algorithm: str = _setting(
        "genetic",
        f"how networks are proposed: {', '.join(ALGORITHMS)}, or a sampler of Optuna, such as {OPTUNA}TPESampler",
    )
    scheme: str = _setting(
        "generations",
        "generations: each is bred when the one before has ended; steady_state: whenever a device falls free an "
        "offspring is bred for it, so the search depends on which training ends first",
        ("generations", "steady_state"),
    )
    crossover: str = _setting("uniform", "crossover operator", ("uniform", "one_point", "two_point"))
    crossover_prob: float = _setting(0.9, "probability that two parents are crossed, 0 to 1")
    mutation_prob: float | None = _setting(None, "probability that a bit is flipped, 0 to 1 (default: 1/length)")
    tournament_size: int = _setting(3, "individuals drawn for each tournament")
    elitism: int = _setting(2, "best individuals carried over unchanged; none with --scheme steady_state")
    surrogate: str = _setting(
        "auto",
        "auto: a model of the results so far screens the offspring of the genetic algorithm",
        ("auto", "off"),
    )
    early_stopping: str = _setting(
        "halving",
        "halving: all train for few epochs, the best go on to more; median: a training under the median ends; "
        "none with --scheme steady_state",
        ("none", "halving", "median"),
    )
    reduction_factor: int = _setting(3, "of halving: one in so many goes on, to so many times the epochs")
    objectives: tuple[str, ...] = _setting(
        ("accuracy",), "what to optimise: accuracy, and any of the others", OBJECTIVES
    )
    max_parameters: int | None = _setting(
        None, "a limit: networks of more parameters lose to all that keep it (default: none)"
    )
    max_flops: int | None = _setting(None, "the same for FLOPs of one image (default: none)")
    max_latency: float | None = _setting(
        None, "the same for milliseconds to classify one image, as measured (default: none)"
    )
    finalists: int | None = _setting(
        None,
        f"train so many of the best again with fresh seeds, and pick by the mean (default: {AUTO_FINALISTS}, "
        "where their trainings are at most a tenth of the run's individuals)",
        resume=True,
    )
    final_seeds: int = _setting(3, "fresh seeds for each finalist", resume=True)
    final_epochs: int | None = _setting(
        None,
        "train the best once more for this many epochs, on training and validation data (default: no)",
        resume=True,
    )
    ablation: bool = _setting(
        False,
        "after the last generation, train every network that differs from the best in one bit, with --final_seeds "
        "fresh seeds each (beyond --budget)",
        resume=True,
    )
    seed: int = _setting(0, "seed of the search (splits and trainings do not depend on it)")
    encoding: str = _setting(
        "standard",
        "what the bits of a chromosome mean: standard (19 bits), extended (33 bits: also residual connections, "
        "learning rate, ...), or a JSON file with a gene table of your own (see docs/encoding.md)",
    )

    def __post_init__(self) -> None:
        _require_choices(self)
        _require(
            self.algorithm in ALGORITHMS or (self.sampler or "").isidentifier(),
            "algorithm",
            f"one of {', '.join(ALGORITHMS)}, or {OPTUNA}NAME with a sampler of Optuna, such as {OPTUNA}TPESampler",
            repr(self.algorithm),
        )
        _require(bool(self.encoding), "encoding", "standard, extended or a JSON file", "empty")
        _require(self.generations >= 1, "generations", "at least 1", self.generations)
        _require(self.population >= 2, "population", "at least 2", self.population)
        _require(0 <= self.crossover_prob <= 1, "crossover_prob", "between 0 and 1", self.crossover_prob)
        if self.mutation_prob is not None:
            _require(0 <= self.mutation_prob <= 1, "mutation_prob", "between 0 and 1", self.mutation_prob)
        _require(
            1 <= self.tournament_size <= self.population,
            "tournament_size",
            f"between 1 and the population ({self.population})",
            self.tournament_size,
        )
        _require(
            0 <= self.elitism < self.population,
            "elitism",
            f"at least 0 and under the population ({self.population})",
            self.elitism,
        )
        _require(self.reduction_factor >= 2, "reduction_factor", "at least 2", self.reduction_factor)
        if self.scheme == "steady_state":
            why = "with --scheme steady_state, whose networks wait for no others (or use --scheme generations)"
            _require(self.early_stopping == "none", "early_stopping", f"none {why}", self.early_stopping)
            _require(self.algorithm == "genetic", "algorithm", f"genetic {why}", self.algorithm)
        if self.objectives[:1] != ("accuracy",) or len(set(self.objectives)) < len(self.objectives):
            expected = "accuracy and then any of " + ", ".join(OBJECTIVES[1:]) + ", each once"
            _require(False, "objectives", expected, " ".join(self.objectives))
        for name in ("budget", "max_parameters", "max_flops", "max_latency", "final_seeds", "final_epochs"):
            value = getattr(self, name)
            if name == "max_latency":
                _require(value is None or (math.isfinite(value) and value > 0), name, "a number over 0", value)
            else:
                _require(value is None or value >= 1, name, "at least 1", value)
        if self.finalists is not None:
            most = self.budget or self.generations * self.population
            expected = f"between 0 and the number of individuals ({most})"
            _require(0 <= self.finalists <= most, "finalists", expected, self.finalists)
        if self.budget is not None:
            expected = f"more than what the finalists take ({self.finalists_trained} × {self.final_seeds})"
            _require(self.budget > self.final_trainings, "budget", expected, self.budget)
        _require(self.seed >= 0, "seed", "0 or more", self.seed)

    @property
    def sampler(self) -> str | None:
        """The name of the sampler of Optuna that proposes the networks; None where none does."""
        return self.algorithm.removeprefix(OPTUNA) if self.algorithm.startswith(OPTUNA) else None

    @property
    def finalists_trained(self) -> int:
        """How many finalists there are; where nobody said, none in a run of few individuals."""
        if self.finalists is not None:
            return self.finalists
        run = self.budget or self.generations * self.population
        return AUTO_FINALISTS if 10 * AUTO_FINALISTS * self.final_seeds <= run else 0

    @property
    def final_trainings(self) -> int:
        """How many trainings the finalists take together."""
        return self.finalists_trained * self.final_seeds

    def trainings_after(self, loci: int) -> int:
        """How many trainings follow the last generation, at most, where so many loci code for something."""
        return self.final_trainings + (self.final_seeds * (loci + 1) if self.ablation else 0)

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by objective; latency in seconds."""
        latency = None if self.max_latency is None else self.max_latency / 1000
        found = {"parameters": self.max_parameters, "flops": self.max_flops, "latency": latency}
        return {name: limit for name, limit in found.items() if limit is not None}

    @property
    def size_limits(self) -> dict[str, float]:
        """The limits that a network is known to keep, or not, before it is trained."""
        return {name: limit for name, limit in self.limits.items() if name != "latency"}

    @property
    def needs_latency(self) -> bool:
        return "latency" in self.objectives or self.max_latency is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """The protocol of a training: everything beside network and data that can change its outcome.

    `precision`, `flip`, `crop_padding`, `micro_batch`, `metric` and `cuda_graph` may be left open ("auto" or None);
    a run resolves them once, before its first job, so that a job's key never depends on the machine.
    """

    epochs: int = _setting(5, "epochs of each training")
    batch_size: int = _setting(128, "images in a batch")
    micro_batch: int | None = _setting(
        None, "images in one forward pass; less than a batch accumulates gradients (default: the batch)"
    )
    optimizer: str = _setting(
        "sgd",
        "Nesterov SGD or AdamW; learning_rate and weight_decay are on the scale of SGD for both: "
        "AdamW takes a hundredth of the rate and a hundred times the (decoupled) decay",
        OPTIMIZERS,
    )
    learning_rate: float = _setting(0.2, "peak of the one-cycle learning rate")
    momentum: float = _setting(0.9, "Nesterov momentum, or the first beta of AdamW; 0 to under 1")
    weight_decay: float = _setting(5e-4, "weight decay, on weights only")
    label_smoothing: float = _setting(0.1, "label smoothing, 0 to under 1")
    augmentation: str = _setting(
        "basic",
        "how training images are varied: none, basic (flips and crops), cutout (also a random square of half the "
        "image's side set to 0), strong (also brightness and contrast)",
        AUGMENTATIONS,
    )
    flip: str = _setting(
        "auto", "random horizontal flips; auto: not for digits, MNIST-likes and SVHN", ("auto", "on", "off")
    )
    crop_padding: int | None = _setting(None, "pixels of padding for random crops (default: a sixteenth of the image)")
    precision: str = _setting(
        "auto", "arithmetic; auto: bfloat16 where the hardware has it", ("auto", "float32", "bfloat16")
    )
    metric: str = _setting(
        "auto",
        "what fitness is: accuracy, or balanced_accuracy (the mean over classes of the share that is found); "
        "auto: balanced for data of one's own whose classes are uneven",
        ("auto", *METRICS),
    )
    threads: int = _setting(1, "CPU threads of one training")
    training_seed: int = _setting(0, "enters the seed of every training")
    deterministic: bool = _setting(
        False, "on GPUs: same bits on the same card and versions, slower (CPU trainings always are)"
    )
    cuda_graph: str = _setting(
        "auto",
        "on GPUs: capture the training step once and replay it; auto: on, unless compiled",
        ("auto", "on", "off"),
    )
    compile: str = _setting("off", "torch.compile each network (takes longer than a short training)", ("off", "on"))

    def __post_init__(self) -> None:
        _require_choices(self)
        _require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _require(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        if self.micro_batch is not None:
            _require(
                2 <= self.micro_batch <= self.batch_size,
                "micro_batch",
                f"between 2 and the batch ({self.batch_size})",
                self.micro_batch,
            )
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, name, "a finite number, 0 or more", value)
        for name in ("learning_rate", "momentum", "weight_decay", "label_smoothing"):
            # 1 and 1.0, 0.0 and -0.0 are equal, and so must be their text, of which keys are made.
            object.__setattr__(self, name, getattr(self, name) + 0.0)
        for name in ("momentum", "label_smoothing"):
            value = getattr(self, name)
            _require(0 <= value < 1, name, "at least 0 and under 1", value)
        if self.crop_padding is not None:
            _require(self.crop_padding >= 0, "crop_padding", "0 or more", self.crop_padding)
        _require(self.threads >= 1, "threads", "at least 1", self.threads)
        _require(self.training_seed >= 0, "training_seed", "0 or more", self.training_seed)

    @property
    def measure(self) -> str:
        """What fitness is, in words."""
        return in_words(self.metric)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which images are used, and how the training data is split."""

    dataset: str = _setting(
        "cifar10",
        "digits, cifar10, cifar100, mnist, fashion_mnist, kmnist, svhn, a folder of class folders, or an .npz file",
        resume=True,  # to the same images in another place
    )
    data_dir: str = _setting("data", "folder where data sets are kept and downloaded to", resume=True)
    val_fraction: float | None = _setting(
        None, "share of the training data held out for fitness (default: 0.1, digits 0.2)"
    )
    train_limit: int | None = _setting(
        None, "use a stratified subset of at most this many training images (default: all)"
    )
    image_size: str | None = _setting(
        None,
        "pixels to which the images of a folder or an .npz file are resized: a side, or HEIGHTxWIDTH "
        "(default: their own, or 64 where the pictures of a folder differ)",
    )

    def __post_init__(self) -> None:
        _require(bool(self.dataset), "dataset", "the name of a data set or a path", "empty")
        if self.val_fraction is not None:
            _require(0 < self.val_fraction < 1, "val_fraction", "over 0 and under 1", self.val_fraction)
        if self.train_limit is not None:
            _require(self.train_limit >= 1, "train_limit", "at least 1", self.train_limit)
        if self.image_size is not None:
            sides = self.image_size.split("x")
            sound = len(sides) <= 2 and all(each.isdecimal() and each.isascii() for each in sides)
            sound = sound and all(MINIMUM_SIDE <= int(each) <= MAXIMUM_IMAGE_SIDE for each in sides)
            expected = f"{MINIMUM_SIDE} to {MAXIMUM_IMAGE_SIDE} pixels, as 64 or (height, width) as 48x64"
            _require(sound, "image_size", expected, self.image_size)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width to which images are resized, where they are."""
        if self.image_size is None:
            return None
        height, *width = map(int, self.image_size.split("x"))
        return height, width[0] if width else height


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What may be set anew whenever a run is started or resumed, because no result depends on it."""

    job_timeout: float | None = _setting(
        None, "seconds after which a training is ended and tried again (default: never)"
    )
    max_retries: int = _setting(2, "further tries of a failed training")
    max_hours: float | None = _setting(None, "stop in good order after so many hours, to be resumed (default: never)")
    keep_models: str = _setting("3", "weights to keep of each generation, beside the best of all: a number, all, none")
    min_free_disk: float = _setting(1.0, "stop before less than so many GB are free on the disk")

    def __post_init__(self) -> None:
        for name in ("job_timeout", "max_hours"):
            value = getattr(self, name)
            _require(value is None or (math.isfinite(value) and value > 0), name, "a number over 0", value)
        _require(self.max_retries >= 0, "max_retries", "0 or more", self.max_retries)
        sound = self.keep_models in ("all", "none") or self.keep_models.isdecimal()
        _require(sound, "keep_models", "a number, all or none", repr(self.keep_models))
        _require(
            math.isfinite(self.min_free_disk) and self.min_free_disk >= 0,
            "min_free_disk",
            "0 or more",
            self.min_free_disk,
        )

    @property
    def models_kept(self) -> int | None:
        """How many of each generation keep their weights; None for all."""
        return None if self.keep_models == "all" else 0 if self.keep_models == "none" else int(self.keep_models)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """One training that may be asked for: equal jobs have equal keys and are trained once.

    `phenotype` is the canonical JSON of the network, `split` is what it trains on: "train", or
    "all" for training and validation images together (which leaves no accuracy to validate).
    """

    phenotype: str
    protocol: TrainingConfig
    data_fingerprint: str
    replicate: int = 0
    split: str = "train"
    stop_below: tuple[float, ...] = ()  # accuracies by epoch, under which the training ends early

    @property
    def key(self) -> str:
        """SHA-256 of the job's content in hex; the name of its result's file."""
        return content_hash(asdict(self))

    @property
    def seed(self) -> int:
        """The 63-bit training seed, a function of the key alone."""
        return int(self.key[:16], 16) >> 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """What one epoch came to. Losses are cross-entropies in nats.

    `accuracy` is a share (0 to 1): of the validation images, or its mean over classes where the
    protocol's `metric` says so.
    """

    train_loss: float
    accuracy: float | None = None
    loss: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """What the counter of a GPU said before and after a training, in joules since its driver was loaded."""

    gpu: str  # its UUID
    before: float
    after: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a training cost, as measured: never the same twice, and never part of a result's identity."""

    seconds: float = 0.0
    images_per_second: float = 0.0
    peak_memory: int | None = None  # bytes, of the worker process (CPU) or of the allocator (GPU)
    device: str = ""
    reused: str = ""  # the folder of the run that paid for it
    hardware: str = ""  # the processor or GPU in words
    note: str = ""  # what a person should know of how it ran
    started: float = 0.0  # seconds since 1970
    attempts: int = 1
    energy: Energy | None = None  # of the whole GPU, whatever else ran on it; None where no counter could be read


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """How a job ended: `status` is "done" or one of `FAILURES`, with the `reason` in words."""

    key: str
    status: str
    reason: str = ""
    epochs: tuple[Epoch, ...] = ()
    parameters: int = 0
    flops: int = 0  # of one forward pass of one image
    micro_batch: int = 0
    weights: str | None = None  # path inside the run's folder
    weights_sha256: str | None = None
    cost: Cost = Cost()

    def __post_init__(self) -> None:
        if self.status != "done" and self.status not in FAILURES:
            raise ValueError(f"status must be 'done' or one of {', '.join(FAILURES)}, but is {self.status!r}")
        if self.weights is not None and (self.weights.startswith("/") or ".." in self.weights.split("/")):
            raise ValueError(f"weights must lie inside the run's folder, but are {self.weights!r}")
        if self.status == "done" and not self.epochs:
            raise ValueError(f"result {self.key}: a finished training has at least one epoch, but this has none")

    @property
    def fitness(self) -> Fitness | None:
        """Fitness of the network after its last epoch; None for a failure or without validation images."""
        if self.status != "done" or self.epochs[-1].accuracy is None or self.epochs[-1].loss is None:
            return None
        return Fitness(
            value=self.epochs[-1].accuracy,
            loss=self.epochs[-1].loss,
            parameters=self.parameters,
            flops=self.flops,
            epochs=len(self.epochs),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitness:
    """What selection compares: who keeps the limits first, then who trained longer, then higher `value`.

    Ties go to the lower `loss`, then to fewer `parameters`. `violation` sums the shares by which
    limits are passed (Deb 2000: of two that pass them, the lesser violation wins). `latency` is in
    seconds for one image, None where it was not measured.
    """

    value: float
    loss: float = 0.0
    parameters: int = 0
    flops: int = 0
    latency: float | None = None
    epochs: int = 0
    violation: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.loss)):
            raise ValueError(f"fitness must be finite, but is {self}; a failed training has None")

    @property
    def rank(self) -> tuple[float, int, float, float, int]:
        """Sort key, best first."""
        return (self.violation, -self.epochs, -self.value, self.loss, self.parameters)

    def objective(self, name: str) -> float:
        """An objective, to be minimised. Raises ValueError for a latency that was not measured."""
        value: float | None = -self.value if name == "accuracy" else getattr(self, name)
        if value is None:
            raise ValueError(f"the {name} of {self} was not measured")
        return value

    def within(self, limits: dict[str, float], latency: float | None) -> Fitness:
        """The same with its latency, and with what it passes the limits by."""
        measured = replace(self, latency=latency)
        passed = (measured.objective(name) / limit - 1 for name, limit in limits.items())
        return replace(measured, violation=sum(max(0.0, share) for share in passed))


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The fitness that the predictor expected of a network before it was trained, and its standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Individual:
    """One member of one generation: what it is, where it came from, and what came out."""

    generation: int
    index: int
    chromosome: str
    origin: str  # random, elite, crossover, mutation, crossover+mutation, known, SAMPLER, SAMPLER+mutation
    parents: tuple[str, ...] = ()  # names of individuals, as `name` gives them
    jobs: tuple[str, ...] = ()  # keys
    fitness: Fitness | None = None
    failure: str | None = None  # the status and reason of a failed training
    earlier: tuple[Fitness, ...] = ()  # after the shorter trainings that came before the last
    forecast: Forecast | None = None

    @property
    def name(self) -> str:
        return f"gen{self.generation}/ind{self.index}"

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sort key, best first; ties are broken to the last bit, so that no order is left to chance."""
        place = (self.chromosome, self.generation, self.index)
        return (True, *place) if self.fitness is None else (False, *self.fitness.rank, *place)

    def evaluated(self, value: float | None, loss: float = 0.0, parameters: int = 0) -> Individual:
        """This individual with its fitness; None stands for a failed evaluation."""
        return replace(self, fitness=None if value is None else Fitness(value=value, loss=loss, parameters=parameters))


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One evaluated generation."""

    number: int
    individuals: tuple[Individual, ...]

    @property
    def best(self) -> Individual:
        return min(self.individuals, key=lambda individual: individual.rank)


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
    chromosome: str
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
    chromosome: str
    is_same_network: bool  # this bit makes no difference there, and nothing was trained
    accuracies: tuple[float, ...] = ()  # of the trainings that succeeded


@dataclass(frozen=True, kw_only=True, slots=True)
class Ablation:
    """The best network with fresh seeds, and its neighbours with equally many."""

    individual: str
    chromosome: str
    accuracies: tuple[float, ...]
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """What goes with a weights file: the network, its data, where it came from, what it reached."""

    version: str
    individual: Individual
    description: str
    phenotype: str
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
        return in_words(self.metric)


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
    results: dict[str, TrainingResult]  # by key, of all individuals so far
    population: tuple[Individual, ...]  # asked for, to be trained next
    order: tuple[str, ...] = ()  # in which results were taken, as names of individuals; of a steady state alone

    @property
    def generation(self) -> int:
        """The number of evaluated generations."""
        return len(self.generations)
