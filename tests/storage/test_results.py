"""Sealed results of trainings."""

from __future__ import annotations

from pathlib import Path

import pytest

from records import TrainingResult
from records.texts import JobKey
from records.trainings import Epoch
from storage.directory import RunDirectory
from storage.files import DamagedFile
from storage.results import find_result, seal_result

AB, CD = JobKey(64 * "a"), JobKey(64 * "c")
RESULT = TrainingResult(key=AB, status="done", epochs=(Epoch(train_loss=0.1, score=2 / 3, loss=1e-17),))


def test_a_sealed_result_is_found_to_the_last_bit(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert find_result(run, AB) is None
    seal_result(run, RESULT)
    assert find_result(run, AB) == RESULT


def test_a_result_under_another_jobs_name_is_damaged(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    seal_result(run, RESULT)
    run.job(AB).rename(run.job(CD))
    with pytest.raises(DamagedFile, match="another job"):
        find_result(run, CD)
