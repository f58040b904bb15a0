"""What the predictor expected of networks, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from records import Individual
from records.individuals import Forecast
from reporting.analysis.accuracies import comparable, longest_epochs


@dataclass(frozen=True, slots=True)
class Outcome:
    """The forecast for a network before its training, and its accuracy after it."""

    individual: Individual
    forecast: Forecast
    accuracy: float
    in_full: bool  # whether it trained for all epochs, as the forecast assumes

    @property
    def within(self) -> bool:
        """Whether the outcome lies within the forecast's 95% interval."""
        return abs(self.accuracy - self.forecast.mean) <= 1.96 * self.forecast.deviation


def outcomes(individuals: Sequence[Individual]) -> list[Outcome]:
    """Forecasts and outcomes; accuracies after shorter trainings are rescaled to that of the longest."""
    longest = longest_epochs(individuals)
    values = comparable(individuals)
    return [
        Outcome(each, each.forecast, values[each.name], each.fitness.epochs == longest)
        for each in individuals
        if each.forecast is not None and each.fitness is not None
    ]
