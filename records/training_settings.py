"""The training protocol: every setting besides network and data that can change the result of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from records.fields import require, require_sound, setting
from records.words import metric_in_words

OPTIMIZERS = ("sgd", "adamw")
AUGMENTATIONS = ("none", "basic", "cutout", "strong")  # each with all of the one before
METRICS = ("accuracy", "balanced_accuracy")
MOST_EPOCHS, MOST_BATCH, MOST_THREADS = 1_000_000, 10_000_000, 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """The protocol of a training: every setting besides network and data that can change its result.

    `precision`, `flip`, `crop_padding`, `micro_batch`, `metric` and `cuda_graph` may be left open ("auto" or None);
    a run resolves them once, before its first job, so that a job's key never depends on the machine.
    """

    epochs: int = setting(5, "epochs of each training", most=MOST_EPOCHS)
    batch_size: int = setting(128, "images in a batch", most=MOST_BATCH)
    micro_batch: int | None = setting(
        None, "images in one forward pass; if smaller than a batch, gradients are accumulated (default: the batch size)"
    )
    optimizer: str = setting(
        "sgd",
        "Nesterov SGD or AdamW; learning_rate and weight_decay are on the scale of SGD for both: "
        "AdamW takes a hundredth of the rate and a hundred times the (decoupled) decay",
        OPTIMIZERS,
    )
    learning_rate: float = setting(0.2, "peak of the one-cycle learning rate")
    momentum: float = setting(0.9, "Nesterov momentum, or the first beta of AdamW; 0 to under 1")
    weight_decay: float = setting(5e-4, "weight decay, on weights only")
    label_smoothing: float = setting(0.1, "label smoothing, 0 to under 1")
    augmentation: str = setting(
        "basic",
        "how training images are varied: none, basic (flips and crops), cutout (also a random square of half the "
        "image's side set to 0), strong (also brightness and contrast)",
        AUGMENTATIONS,
    )
    flip: str = setting(
        "auto", "random horizontal flips; auto: on, unless the named data set rules it out", ("auto", "on", "off")
    )
    crop_padding: int | None = setting(None, "pixels of padding for random crops (default: a sixteenth of the image)")
    precision: str = setting(
        "auto", "arithmetic; auto: bfloat16 where the hardware has it", ("auto", "float32", "bfloat16")
    )
    metric: str = setting(
        "auto",
        "what fitness measures: accuracy, or balanced_accuracy (the mean recall over classes); "
        "auto: balanced for your own data if its classes are imbalanced",
        ("auto", *METRICS),
    )
    threads: int = setting(1, "CPU threads of one training", most=MOST_THREADS)
    training_seed: int = setting(0, "part of the seed of every training")
    deterministic: bool = setting(
        False, "on GPUs: bit-identical results on the same card and versions, but slower (always so on CPUs)"
    )
    cuda_graph: str = setting(
        "auto",
        "on GPUs: capture the training step once and replay it; auto: on, unless compiled",
        ("auto", "on", "off"),
    )
    compile: str = setting("off", "torch.compile each network (worthwhile for long trainings only)", ("off", "on"))

    def __post_init__(self) -> None:
        require_sound(self)
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.batch_size >= 2, "batch_size", "at least 2", self.batch_size)
        if self.micro_batch is not None:
            require(
                2 <= self.micro_batch <= self.batch_size,
                "micro_batch",
                f"between 2 and the batch ({self.batch_size})",
                self.micro_batch,
            )
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            require(math.isfinite(value) and value >= 0, name, "a finite number, 0 or more", value)
        for name in ("learning_rate", "momentum", "weight_decay", "label_smoothing"):
            # 1 and 1.0, 0.0 and -0.0 are equal, and so must be their text, of which keys are made.
            object.__setattr__(self, name, getattr(self, name) + 0.0)
        for name in ("momentum", "label_smoothing"):
            value = getattr(self, name)
            require(0 <= value < 1, name, "at least 0 and under 1", value)
        if self.crop_padding is not None:
            require(self.crop_padding >= 0, "crop_padding", "0 or more", self.crop_padding)
        require(self.threads >= 1, "threads", "at least 1", self.threads)
        require(self.training_seed >= 0, "training_seed", "0 or more", self.training_seed)

    @property
    def measure(self) -> str:
        """The name of the metric for people."""
        return metric_in_words(self.metric)
