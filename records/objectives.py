"""What a search can optimise. An entry here is all that a new objective needs, beside the code that measures it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from records.costs import Cost


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """A property of a network that a search can optimise.

    Its value is the attribute `name` of a `Fitness`, unless `measured` finds it in what the
    training cost; None is what a machine gives that cannot measure it.
    """

    name: str
    unit: str  # in which people read it
    axis: str  # label of an axis
    scale: float = 1  # a value times this is in `unit`
    digits: int = 0  # after the decimal point
    is_maximised: bool = False
    proxy: str | None = None  # the objective that is compared before training, if this one is unknown then
    limit: str | None = None  # the setting in `EvolutionConfig` that limits it
    limit_scale: float = 1  # the value of that setting, divided by this, is in the unit of the fitness
    unmeasured: str = "it was not measured"
    measured: Callable[[Cost], float | None] | None = None

    def words(self, value: float) -> str:
        """A value with its unit."""
        return f"{value * self.scale:,.{self.digits}f} {self.unit}"


ACCURACY = "accuracy"  # validation score of a network, whichever metric it is; the first objective of every search
OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(name=ACCURACY, unit="", axis="accuracy", digits=4, is_maximised=True),
        Objective(name="parameters", unit="parameters", axis="parameters", limit="max_parameters"),
        Objective(name="flops", unit="MFLOPs", axis="MFLOPs an image", scale=1e-6, digits=2, limit="max_flops"),
        Objective(
            name="latency",
            unit="ms",
            axis="ms an image",
            scale=1000,
            digits=2,
            proxy="flops",
            limit="max_latency",
            limit_scale=1000,
        ),
    )
}


def quantity(objective: str, value: float) -> str:
    """A value of an objective in words: 12,345 parameters, 1.20 MFLOPs, 0.53 ms."""
    return OBJECTIVES[objective].words(value)
