"""Settings: defaults, and which values are accepted and refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from records import (
    DataConfig,
    EvolutionConfig,
    InputError,
    Limits,
    TrainingConfig,
)

NAN, INFINITE = math.nan, math.inf
BAD_SETTINGS: list[tuple[type, dict[str, Any], str]] = [
    (EvolutionConfig, {"generations": 0}, "generations"),
    (EvolutionConfig, {"generations": -3}, "generations"),
    (EvolutionConfig, {"population": 1}, "population"),
    (EvolutionConfig, {"population": 0}, "population"),
    (EvolutionConfig, {"crossover_prob": -0.01}, "crossover_prob"),
    (EvolutionConfig, {"crossover_prob": 1.01}, "crossover_prob"),
    (EvolutionConfig, {"crossover_prob": NAN}, "crossover_prob"),
    (EvolutionConfig, {"mutation_prob": -0.01}, "mutation_prob"),
    (EvolutionConfig, {"mutation_prob": 1.01}, "mutation_prob"),
    (EvolutionConfig, {"mutation_prob": NAN}, "mutation_prob"),
    (EvolutionConfig, {"tournament_size": 0}, "tournament_size"),
    (EvolutionConfig, {"tournament_size": 11}, "tournament_size"),
    (EvolutionConfig, {"population": 2}, "tournament_size"),
    (EvolutionConfig, {"elitism": -1}, "elitism"),
    (EvolutionConfig, {"elitism": 10}, "elitism"),
    (EvolutionConfig, {"final_epochs": 0}, "final_epochs"),
    (EvolutionConfig, {"budget": 0}, "budget"),
    (EvolutionConfig, {"budget": 6, "finalists": 2, "final_seeds": 3}, "budget"),
    (EvolutionConfig, {"reduction_factor": 1}, "reduction_factor"),
    (EvolutionConfig, {"max_parameters": 0}, "max_parameters"),
    (EvolutionConfig, {"max_flops": -5}, "max_flops"),
    (EvolutionConfig, {"max_latency": 0.0}, "max_latency"),
    (EvolutionConfig, {"max_latency": INFINITE}, "max_latency"),
    (EvolutionConfig, {"max_latency": NAN}, "max_latency"),
    (EvolutionConfig, {"finalists": -1}, "finalists"),
    (EvolutionConfig, {"finalists": 201}, "finalists"),
    (EvolutionConfig, {"finalists": 31, "budget": 30}, "finalists"),
    (EvolutionConfig, {"final_seeds": 0}, "final_seeds"),
    (EvolutionConfig, {"seed": -1}, "seed"),
    (TrainingConfig, {"epochs": 0}, "epochs"),
    (TrainingConfig, {"batch_size": 1}, "batch_size"),
    (TrainingConfig, {"micro_batch": 1}, "micro_batch"),
    (TrainingConfig, {"micro_batch": 129}, "micro_batch"),
    (TrainingConfig, {"learning_rate": -0.1}, "learning_rate"),
    (TrainingConfig, {"learning_rate": INFINITE}, "learning_rate"),
    (TrainingConfig, {"learning_rate": NAN}, "learning_rate"),
    (TrainingConfig, {"momentum": -0.1}, "momentum"),
    (TrainingConfig, {"momentum": NAN}, "momentum"),
    (TrainingConfig, {"momentum": 1.0}, "momentum"),
    (TrainingConfig, {"weight_decay": -1e-9}, "weight_decay"),
    (TrainingConfig, {"weight_decay": INFINITE}, "weight_decay"),
    (TrainingConfig, {"label_smoothing": 1.0}, "label_smoothing"),
    (TrainingConfig, {"label_smoothing": -0.1}, "label_smoothing"),
    (TrainingConfig, {"label_smoothing": NAN}, "label_smoothing"),
    (TrainingConfig, {"crop_padding": -1}, "crop_padding"),
    (TrainingConfig, {"threads": 0}, "threads"),
    (TrainingConfig, {"training_seed": -1}, "training_seed"),
    (DataConfig, {"dataset": ""}, "dataset"),
    (DataConfig, {"val_fraction": 0.0}, "val_fraction"),
    (DataConfig, {"val_fraction": 1.0}, "val_fraction"),
    (DataConfig, {"val_fraction": NAN}, "val_fraction"),
    (DataConfig, {"train_limit": 0}, "train_limit"),
    (DataConfig, {"image_size": "7"}, "image_size"),
    (Limits, {"job_timeout": -1.0}, "job_timeout"),
    (Limits, {"job_timeout": INFINITE}, "job_timeout"),
    (Limits, {"job_timeout": "never"}, "job_timeout"),
    (Limits, {"job_timeout": NAN}, "job_timeout"),
    (Limits, {"max_retries": -1}, "max_retries"),
    (Limits, {"max_hours": -1.0}, "max_hours"),
    (Limits, {"max_hours": INFINITE}, "max_hours"),
    (Limits, {"min_free_disk": -0.1}, "min_free_disk"),
    (Limits, {"min_free_disk": NAN}, "min_free_disk"),
]
BOUNDARY_SETTINGS: list[tuple[type, dict[str, Any]]] = [
    (EvolutionConfig, {"generations": 1}),
    (EvolutionConfig, {"population": 2, "tournament_size": 2, "elitism": 1}),
    (EvolutionConfig, {"tournament_size": 1, "elitism": 0}),
    (EvolutionConfig, {"tournament_size": 10, "elitism": 9}),
    (EvolutionConfig, {"crossover_prob": 0.0, "mutation_prob": 0.0}),
    (EvolutionConfig, {"crossover_prob": 1.0, "mutation_prob": 1.0}),
    (EvolutionConfig, {"final_epochs": 1, "seed": 0}),
    (EvolutionConfig, {"budget": 2, "finalists": 1, "final_seeds": 1}),
    (EvolutionConfig, {"finalists": 0, "reduction_factor": 2}),
    (EvolutionConfig, {"finalists": 200}),
    (EvolutionConfig, {"max_parameters": 1, "max_flops": 1, "max_latency": 1e-9}),
    (EvolutionConfig, {"objectives": ("accuracy", "latency", "flops", "parameters")}),
    (TrainingConfig, {"epochs": 1, "batch_size": 2, "micro_batch": 2}),
    (TrainingConfig, {"micro_batch": 128}),
    (TrainingConfig, {"learning_rate": 0.0, "momentum": 0.0, "weight_decay": 0.0, "label_smoothing": 0.0}),
    (TrainingConfig, {"label_smoothing": 0.999, "crop_padding": 0, "threads": 1}),
    (DataConfig, {"val_fraction": 0.001, "train_limit": 1, "image_size": "8"}),
    (Limits, {"job_timeout": "0.001", "max_hours": 0.001, "max_retries": 0, "min_free_disk": 0.0}),
]


@pytest.mark.parametrize(("kind", "values", "flag"), BAD_SETTINGS)
def test_a_setting_without_meaning_is_refused_by_the_name_of_its_flag(
    kind: type, values: dict[str, Any], flag: str
) -> None:
    with pytest.raises(InputError, match=f"^--{flag} must be ") as refusal:
        kind(**values)
    if values.get(flag, "") != "":
        assert str(refusal.value).endswith(f"but is {values[flag]}")


@pytest.mark.parametrize(("kind", "values"), BOUNDARY_SETTINGS)
def test_the_last_values_that_have_a_meaning_are_accepted(kind: type, values: dict[str, Any]) -> None:
    record = kind(**values)
    assert {name: getattr(record, name) for name in values} == values


def test_the_refused_settings_cover_every_setting_that_is_a_number() -> None:
    tried = {(kind, flag) for kind, _, flag in BAD_SETTINGS}
    for kind in (EvolutionConfig, TrainingConfig, DataConfig, Limits):
        for setting in dataclasses.fields(kind):
            if "int" in str(setting.type) or "float" in str(setting.type):
                assert (kind, setting.name) in tried


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("auto", None), ("none", INFINITE), (0, INFINITE), ("0", INFINITE), (3600, 3600.0), ("0.5", 0.5)],
)
def test_a_limit_for_trainings_is_seconds_or_none_or_found_automatically(given: Any, seconds: float | None) -> None:
    assert Limits(job_timeout=given).timeout == seconds


@pytest.mark.parametrize("words", ["", "some", "-1", "2.5", "ALL", " 3"])
def test_weights_to_keep_that_are_neither_a_number_nor_all_nor_none_are_refused(words: str) -> None:
    with pytest.raises(InputError, match=r"^--keep_models must be a number, all or none, but is "):
        Limits(keep_models=words)


@pytest.mark.parametrize(("words", "kept"), [("all", None), ("none", 0), ("0", 0), ("3", 3), ("12", 12)])
def test_weights_to_keep_are_a_number_or_all_or_none(words: str, kept: int | None) -> None:
    assert Limits(keep_models=words).models_kept == kept


def test_the_documented_defaults_hold() -> None:
    search, training = EvolutionConfig(), TrainingConfig()
    assert (search.generations, search.population, search.seed) == (20, 10, 0)
    assert (search.crossover, search.crossover_prob, search.mutation_prob) == ("uniform", 0.9, None)
    assert (search.tournament_size, search.elitism) == (3, 2)
    assert (training.epochs, training.batch_size) == (5, 128)
    assert DataConfig().dataset == "cifar10"


@pytest.mark.parametrize(
    ("record", "setting"),
    [
        (TrainingConfig, {"precision": "float16"}),
        (TrainingConfig, {"flip": "sometimes"}),
        (TrainingConfig, {"compile": "yes"}),
        (TrainingConfig, {"optimizer": "adam"}),
        (TrainingConfig, {"augmentation": "weak"}),
        (EvolutionConfig, {"crossover": "three_point"}),
        (EvolutionConfig, {"surrogate": "on"}),
        (EvolutionConfig, {"early_stopping": "patience"}),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(record: Any, setting: dict[str, str]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(InputError, match=rf"--{name} must be one of .*, but is '{value}'"):
        record(**setting)
