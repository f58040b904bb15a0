"""What a person asks of a run, in one frozen record that is checked once, when it is made."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from records import DataConfig, EvolutionConfig, InputError, Limits, TrainingConfig
from records.command_line import require_package
from records.flags import at_home

SETTINGS: tuple[type[Any], ...] = (EvolutionConfig, TrainingConfig, DataConfig)
Record = TypeVar("Record", EvolutionConfig, TrainingConfig, DataConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class Devices:
    """Where networks train: on GPUs, on CPU cores, or on a Ray cluster. Raises `InputError` for what is contradictory.

    Without `gpus` and `cpu_workers` all visible GPUs are used, or one worker for each core where there is none.
    """

    gpus: tuple[int, ...] | None = None
    workers_per_gpu: int | None = 1  # None: as many as fit the memory and pay
    cpu_workers: int | None = None
    cluster: str | None = None  # HOST:PORT, auto or local

    def __post_init__(self) -> None:
        for name in ("workers_per_gpu", "cpu_workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1, but is {value}")
        if self.gpus is not None and self.cpu_workers is not None:
            raise InputError("--gpus and --cpu_workers exclude each other; leave one out")
        if self.cluster is not None:
            require_package("ray", "--cluster")
            if self.gpus is not None:
                raise InputError("--gpus names GPUs of this machine; a --cluster uses all that it has: leave it out")
            if self.workers_per_gpu is None:
                raise InputError("--workers_per_gpu auto is for the GPUs of this machine; on a --cluster name a number")

    def arguments(self) -> dict[str, Any]:
        """The flags that ask for these devices, by name."""
        found: dict[str, Any] = {"gpus": self.gpus, "cpu_workers": self.cpu_workers, "cluster": self.cluster}
        if self.workers_per_gpu != 1:
            found["workers_per_gpu"] = self.workers_per_gpu or "auto"
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A run to begin or to go on with.

    `settings` are those of search, training and data that were named, by the names of their flags.
    All others have their defaults in a new run; a run that is resumed keeps its own. Raises
    `InputError` for what is unknown, has no meaning, or does not go together.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    devices: Devices = field(default_factory=Devices)
    output_dir: Path | None = None  # the current folder, or that of the run which is resumed
    resume: Path | None = None  # a run's folder, or one of its states
    rewind: bool = False
    overwrite: bool = False
    reuse: tuple[Path, ...] = ()
    tensorboard: bool = False
    optuna_study: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", {name: at_home(value) for name, value in self.settings.items()})
        for name in ("output_dir", "resume", "reuse", "optuna_study"):
            object.__setattr__(self, name, at_home(getattr(self, name)))
        known = {item.name for record in SETTINGS for item in fields(record)}
        flags = known | {item.name for record in (Request, Limits, Devices) for item in fields(record)}
        for name in self.settings:
            if name not in known:
                close = difflib.get_close_matches(name, sorted(flags), n=1)
                raise InputError(f"there is no setting {name}" + (f"; did you mean {close[0]}?" if close else ""))
        if self.settings.get("scheme") == "steady_state":
            object.__setattr__(self, "settings", {"early_stopping": "none", **self.settings})
        if self.resume and self.overwrite:
            raise InputError("--resume and --overwrite exclude each other; leave one out")
        if self.rewind and not self.resume:
            raise InputError("--rewind needs the state to go back to; name it with --resume")
        if self.tensorboard:
            require_package("tensorboard", "--tensorboard")
        if self.optuna_study is not None:
            require_package("optuna", "--optuna_study")

    @classmethod
    def of(cls, **flags: Any) -> Request:
        """A request by the names of the command line's flags: `Request.of(dataset="digits", generations=3)`."""
        own = {item.name for item in fields(cls)} - {"settings", "limits", "devices"}
        limits = {item.name: flags.pop(item.name) for item in fields(Limits) if item.name in flags}
        devices = {item.name: flags.pop(item.name) for item in fields(Devices) if item.name in flags}
        others = {name: flags.pop(name) for name in own & flags.keys()}
        for name in ("output_dir", "resume", "optuna_study"):
            if others.get(name) is not None:
                others[name] = Path(others[name])
        others["reuse"] = tuple(map(Path, others.get("reuse", ())))
        if devices.get("gpus") is not None:
            devices["gpus"] = tuple(devices["gpus"])
        return cls(settings=flags, limits=Limits(**limits), devices=Devices(**devices), **others)

    def named(self, record: type) -> dict[str, Any]:
        """The fields of a settings record that were named."""
        return {item.name: self.settings[item.name] for item in fields(record) if item.name in self.settings}

    def new(self, record: type[Record]) -> Record:
        """The settings of a new run. Raises `InputError` for values without meaning."""
        return record(**self.named(record))
