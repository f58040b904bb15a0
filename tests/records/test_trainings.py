"""Training jobs and their keys; results and the fitness that they give."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from records import (
    Fitness,
    TrainingConfig,
    TrainingJob,
    TrainingResult,
)
from records.canonical import from_json
from records.errors import FAILURES
from records.texts import JobKey, NetworkText
from records.trainings import Epoch
from tests.records.strategies import JOBS, relaxed, through_json

JOB = TrainingJob(phenotype=NetworkText("network"), protocol=TrainingConfig(), data_fingerprint="data")
OTHER_PROTOCOL: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 64,
    "micro_batch": 64,
    "optimizer": "adamw",
    "learning_rate": 0.0123,
    "momentum": 0.8,
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "augmentation": "none",
    "flip": "on",
    "crop_padding": 4,
    "metric": "balanced_accuracy",
    "precision": "float32",
    "threads": 2,
    "training_seed": 1,
    "deterministic": True,
    "cuda_graph": "off",
    "compile": "on",
}
OTHER_JOB: dict[str, Any] = {
    "phenotype": "another network",
    "protocol": TrainingConfig(epochs=7),
    "data_fingerprint": "other data",
    "replicate": 1,
    "split": "all",
    "stop_below": (0.5,),
}


def other_jobs() -> list[TrainingJob]:
    """Jobs that differ from `JOB` in exactly one part."""
    protocols = [replace(JOB.protocol, **{name: value}) for name, value in OTHER_PROTOCOL.items()]
    return [replace(JOB, **{name: value}) for name, value in OTHER_JOB.items()] + [
        replace(JOB, protocol=protocol) for protocol in protocols
    ]


@given(JOBS)
@relaxed
def test_equal_jobs_have_equal_keys_and_seeds(job: TrainingJob) -> None:
    again = from_json(TrainingJob, through_json(job))
    assert again is not job
    assert (again.key, again.seed) == (job.key, job.seed)


def test_any_part_of_a_job_changes_its_key_and_seed() -> None:
    assert OTHER_PROTOCOL.keys() == {item.name for item in dataclasses.fields(TrainingConfig)}
    assert OTHER_JOB.keys() == {item.name for item in dataclasses.fields(TrainingJob)}
    jobs = [JOB, *other_jobs()]
    assert len({job.key for job in jobs}) == len(jobs)
    assert len({job.seed for job in jobs}) == len(jobs)


@given(JOBS, JOBS)
@relaxed
def test_different_jobs_have_different_keys(first: TrainingJob, second: TrainingJob) -> None:
    assert (first == second) == (first.key == second.key)


@given(JOBS)
@relaxed
def test_a_key_is_a_file_name_and_the_seed_derives_from_it_alone(job: TrainingJob) -> None:
    assert re.fullmatch("[0-9a-f]{64}", job.key)
    assert job.seed == int(job.key[:16], 16) // 2
    assert 0 <= job.seed < 2**63  # what torch takes


def result(*epochs: Epoch, status: str = "done") -> TrainingResult:
    return TrainingResult(key=JobKey("k"), status=status, epochs=epochs, parameters=12)


def test_the_fitness_is_that_of_the_last_epoch_not_of_the_best() -> None:
    epochs = Epoch(train_loss=2.0, score=0.9, loss=0.3), Epoch(train_loss=1.0, score=0.8, loss=0.6)
    assert result(*epochs).fitness == Fitness(value=0.8, loss=0.6, parameters=12, epochs=2)


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_training_has_no_fitness(status: str) -> None:
    assert result(Epoch(train_loss=1.0, score=0.9, loss=0.1), status=status).fitness is None


def test_a_training_without_validation_images_has_no_fitness() -> None:
    assert result(Epoch(train_loss=1.0)).fitness is None


def test_a_status_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'finished'"):
        result(Epoch(train_loss=1.0), status="finished")


def test_a_finished_training_without_an_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        result()


ELSEWHERE = [
    "/etc/hosts",
    "../weights.pt",
    "results/../../best_model.pt",
    "..",
    "Documents/thesis.docx",
    "best_model.pt",
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_weights_outside_the_folder_of_the_run_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="inside the run's folder"):
        TrainingResult(key=JobKey("k"), status="error", weights=path)


@pytest.mark.parametrize(
    "path",
    ["results/gen1/ind2/best_model.pt", "results/gen1/ind2/epochs_3/best_model.pt", "results/final/best_model.pt"],
)
def test_weights_inside_the_folder_of_the_run_are_accepted(path: str) -> None:
    assert TrainingResult(key=JobKey("k"), status="error", weights=path).weights == path


def test_equal_jobs_have_equal_keys_however_their_numbers_are_written() -> None:
    keys = {
        TrainingJob(
            phenotype=NetworkText(""),
            protocol=TrainingConfig(learning_rate=rate, weight_decay=decay),
            data_fingerprint="",
        ).key
        for rate, decay in ((1, 0), (1.0, 0.0), (1.0, -0.0))
    }
    assert len(keys) == 1
