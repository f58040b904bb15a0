"""The frozen records that flow through the program: what is asked for, and what comes out."""

from records.errors import InputError, RunFault
from records.individuals import Fitness, Generation, Individual
from records.runs import RunState
from records.search_settings import EvolutionConfig
from records.settings import DataConfig, Limits
from records.training_settings import TrainingConfig
from records.trainings import TrainingJob, TrainingResult

__all__ = [
    "DataConfig",
    "EvolutionConfig",
    "Fitness",
    "Generation",
    "Individual",
    "InputError",
    "Limits",
    "RunFault",
    "RunState",
    "TrainingConfig",
    "TrainingJob",
    "TrainingResult",
]
