"""Settings of the data, and limits on which no result depends."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from records.fields import require, require_sound, setting

MOST_HOURS, MOST_SECONDS = 1_000_000, 1e9  # a timer that the system takes: a century
MINIMUM_SIDE = 8  # pixels; three poolings leave one
MAXIMUM_IMAGE_SIDE = 224  # pixels; larger images are not tested


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which images are used, and how the training data is split."""

    dataset: str = setting(
        "cifar10",
        "the name of a data set, a folder of class folders, or a file of images",
        resume=True,  # to the same images in another place
    )
    data_dir: str = setting("data", "folder where data sets are kept and downloaded to", resume=True)
    val_fraction: float | None = setting(
        None, "share of the training data held out for fitness (default: as the data set says)"
    )
    train_limit: int | None = setting(None, "train on a stratified subset of at most this many images (default: all)")
    image_size: str | None = setting(
        None,
        "pixels to which the images of a folder or a file are resized: a side, or HEIGHTxWIDTH "
        "(default: their own, or 64 where the pictures of a folder differ)",
    )

    def __post_init__(self) -> None:
        require_sound(self)
        require(bool(self.dataset), "dataset", "the name of a data set or a path", "empty")
        if self.val_fraction is not None:
            require(0 < self.val_fraction < 1, "val_fraction", "over 0 and under 1", self.val_fraction)
        if self.train_limit is not None:
            require(self.train_limit >= 1, "train_limit", "at least 1", self.train_limit)
        if self.image_size is not None:
            sides = self.image_size.split("x")
            sound = len(sides) <= 2 and all(re.fullmatch("[0-9]{1,4}", each) for each in sides)
            sound = sound and all(MINIMUM_SIDE <= int(each) <= MAXIMUM_IMAGE_SIDE for each in sides)
            expected = f"{MINIMUM_SIDE} to {MAXIMUM_IMAGE_SIDE} pixels, as 64 or (height, width) as 48x64"
            require(sound, "image_size", expected, self.image_size)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width to which images are resized; None if they are not."""
        if self.image_size is None:
            return None
        height, *width = map(int, self.image_size.split("x"))
        return height, width[0] if width else height


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits that may change whenever a run is resumed, because no result depends on them."""

    job_timeout: str = setting(
        "auto",
        "seconds after which a training is stopped and retried; none: never; auto: when nothing was heard of it for "
        "ten times as long as it was expected to take, and at least for 10 minutes",
    )
    max_retries: int = setting(2, "number of retries of a failed training", most=1_000_000)
    max_hours: float | None = setting(
        None, "stop cleanly after this many hours; the run can be resumed (default: never)", most=MOST_HOURS
    )
    keep_models: str = setting(
        "3", "how many networks of each generation keep their weights, besides the best of all: a number, all, none"
    )
    min_free_disk: float = setting(1.0, "stop the run before free disk space falls below this many GB")

    def __post_init__(self) -> None:
        object.__setattr__(self, "job_timeout", str(self.job_timeout))  # a number, from Python
        require_sound(self)
        hours = self.max_hours
        require(hours is None or (math.isfinite(hours) and hours > 0), "max_hours", "a number over 0", hours)
        sound = self.job_timeout in ("auto", "none") or 0 <= _number(self.job_timeout) <= MOST_SECONDS
        require(sound, "job_timeout", "a number over 0, none or auto", self.job_timeout)
        require(self.max_retries >= 0, "max_retries", "0 or more", self.max_retries)
        sound = self.keep_models in ("all", "none") or re.fullmatch("[0-9]{1,9}", self.keep_models) is not None
        require(sound, "keep_models", "a number, all or none", repr(self.keep_models))
        require(
            math.isfinite(self.min_free_disk) and self.min_free_disk >= 0,
            "min_free_disk",
            "0 or more",
            self.min_free_disk,
        )

    @property
    def timeout(self) -> float | None:
        """Seconds after which a training is stopped: infinity for never, None for auto."""
        if self.job_timeout == "auto":
            return None
        return math.inf if self.job_timeout == "none" else _number(self.job_timeout) or math.inf

    @property
    def models_kept(self) -> int | None:
        """The number of networks of each generation that keep their weights; None for all."""
        return None if self.keep_models == "all" else 0 if self.keep_models == "none" else int(self.keep_models)


def _number(text: str) -> float:
    """A number as it was typed; nan for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
