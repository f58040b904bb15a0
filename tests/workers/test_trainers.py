"""The trainer of a worker process."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from image_data.shared_memory import new_shared_memory, share_training_data
from image_data.tensors import to_device
from records import TrainingResult
from records.canonical import from_json, to_json
from records.costs import Cost
from storage.files import file_sha256
from tests.small_trainings import CPU, job, load_few_digits, train
from workers.trainers import WorkerSetup, start_trainer


def test_a_worker_trains_to_the_same_bits_and_writes_the_weights(tmp_path: Path) -> None:
    few_digits = load_few_digits()
    descriptor = new_shared_memory()
    contents = share_training_data(few_digits, descriptor)
    setup = WorkerSetup(
        descriptor=descriptor,
        contents=contents,
        class_names=list(few_digits.class_names),
        device="cpu",
        threads=1,
        deterministic=False,
        root=str(tmp_path),
    )
    work = start_trainer(json.loads(json.dumps(asdict(setup))))
    os.close(descriptor)
    task = {
        "job": json.loads(json.dumps(to_json(job()))),
        "micro_batch": 32,
        "weights": "results/gen1/ind1/best_model.pt",
    }
    answer = from_json(TrainingResult, json.loads(json.dumps(work(task, lambda _: None))))
    expected, weights = train(job(), to_device(few_digits, CPU))
    path = tmp_path / "results/gen1/ind1/best_model.pt"
    assert path.read_bytes() == weights
    assert (answer.weights, answer.weights_sha256) == (task["weights"], file_sha256(path))
    assert replace(answer, weights=None, weights_sha256=None, cost=Cost()) == expected
