"""The energy counter of a GPU, with a library that is made up: no GPU has been asked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import train_model as trainer
from image_data.shared_memory import new_shared_memory, share_training_data
from records import TrainingResult, runs
from records.canonical import from_json, to_json
from records.costs import Cost, Energy
from records.texts import JobKey
from reporting.analysis.energy import energy_used
from reporting.closing_lines import closing_lines
from reporting.handout.model_card import model_card
from reporting.run_view import read_run_view
from tests.faults import small_run
from tests.faults.small_run import birth
from tests.reporting.pages.test_report_page import page_of
from tests.small_runs import Run, evolve
from tests.small_trainings import CPU, job, load_few_digits
from training import device
from training.device import energy_counter
from workers.trainers import WorkerSetup, start_trainer

GPU = "GPU-5a1b"


class NVMLError(Exception):
    pass


class Library(ModuleType):
    """`pynvml` of a machine with one GPU, whose counter runs on by a kilojoule each time that it is read."""

    NVMLError = NVMLError

    def __init__(self, has_driver: bool = True, has_counter: bool = True) -> None:
        super().__init__("pynvml")
        self.has_driver, self.has_counter = has_driver, has_counter
        self.starts, self.millijoules = 0, 7_000_000

    def nvmlInit(self) -> None:
        self.starts += 1
        if not self.has_driver:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByUUID(self, gpu: str) -> str:
        if gpu != GPU:
            raise NVMLError("Not Found")
        return f"handle of {gpu}"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        assert handle == f"handle of {GPU}"
        if not self.has_counter:
            raise NVMLError("Not Supported")
        self.millijoules += 1_000_000
        return self.millijoules


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    device._handle.cache_clear()
    yield
    device._handle.cache_clear()


def install(patch: pytest.MonkeyPatch, library: Library | None) -> Library | None:
    patch.setitem(sys.modules, "pynvml", library)
    return library


def test_the_counter_is_read_in_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    install(monkeypatch, library)
    assert [energy_counter(GPU), energy_counter(GPU)] == [8000.0, 9000.0]
    assert library.starts == 1


@pytest.mark.parametrize("library", [None, Library(has_driver=False), Library(has_counter=False)])
def test_without_package_driver_or_counter_nothing_is_known(
    library: Library | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, library)
    assert energy_counter(GPU) is None


def test_of_another_gpu_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Library())
    assert energy_counter("GPU-other") is None


def test_a_counter_that_fails_later_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    install(monkeypatch, library)
    assert energy_counter(GPU) is not None
    library.has_counter = False
    assert energy_counter(GPU) is None


def test_the_library_of_nvidia_has_these_names() -> None:
    pynvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py (pip install -r requirements-extras.txt)")
    for name in ("nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption"):
        assert callable(getattr(pynvml, name))
    assert issubclass(pynvml.NVMLError, Exception)


def result_of_a_worker(folder: Path) -> TrainingResult:
    """What a worker sends for a training, as the main process reads it."""
    few_digits = load_few_digits()
    descriptor = new_shared_memory()
    setup = WorkerSetup(
        descriptor=descriptor,
        contents=share_training_data(few_digits, descriptor),
        class_names=list(few_digits.class_names),
        device="cpu",
        threads=1,
        deterministic=False,
        root=str(folder),
    )
    train = start_trainer(asdict(setup))
    os.close(descriptor)
    task: dict[str, Any] = {
        "job": json.loads(json.dumps(to_json(job()))),
        "micro_batch": 32,
        "weights": "results/gen1/ind1/best_model.pt",
    }
    return from_json(TrainingResult, json.loads(json.dumps(train(task, lambda progress: None))))


def test_a_worker_on_a_gpu_says_what_its_counter_said_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Library())
    assert result_of_a_worker(tmp_path).cost.energy is None  # it trains on the CPU
    monkeypatch.setattr(trainer, "gpu_uuid", lambda device: GPU)
    results = []
    for number in (1, 2):
        result = result_of_a_worker(tmp_path)
        results.append(replace(result, key=JobKey(str(number)), cost=replace(result.cost, device="gpu 0")))
    assert [result.cost.energy for result in results] == [
        Energy(gpu=GPU, before=8000.0, after=9000.0),
        Energy(gpu=GPU, before=10000.0, after=11000.0),
    ]
    found = energy_used(results)
    assert found is not None
    assert found.joules == {"gpu 0": 2000.0}
    assert found.words == "0.000556 kWh (gpu 0 0.000556)"


def test_a_worker_on_a_gpu_that_says_nothing_trains_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, Library(has_counter=False))
    monkeypatch.setattr(trainer, "gpu_uuid", lambda device: GPU)
    result = result_of_a_worker(tmp_path)
    assert (result.status, result.cost.energy) == ("done", None)
    assert result.cost != Cost()


def test_a_processor_has_no_uuid_and_a_gpu_that_of_nvidias_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.gpu_uuid(CPU) is None
    found = type("Properties", (), {"uuid": "5a1b"})()
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
    assert device.gpu_uuid(torch.device("cuda", 1)) == GPU


def metered_run(folder: Path, patch: pytest.MonkeyPatch, has_counter: bool = True) -> Run:
    """A run of trainings that take 10 s and 100 kJ each, on two GPUs in turn."""
    original, counters = small_run.train, {"gpu 0": 5e6, "gpu 1": 5e6}
    patch.setattr(os, "fsync", lambda descriptor: None)

    def train(root: Path, task: Mapping[str, Any]) -> TrainingResult:
        result = original(root, task)
        device = min(counters, key=lambda name: counters[name])
        before = counters[device]
        counters[device] += 1e5
        energy = Energy(gpu=f"GPU of {device}", before=before, after=counters[device]) if has_counter else None
        return replace(result, cost=Cost(started=before / 1e4, seconds=10.0, device=device, energy=energy))

    patch.setattr(small_run, "train", train)
    return evolve(folder, birth(0, "plain"))


def shown(run: Run) -> tuple[str, str, str]:
    """The closing lines, the report and the model card."""
    best = run.work.engine.best
    assert best is not None
    info = replace(run.work.info(best), test=runs.TestScore(accuracy=0.5, loss=1.0, images=2))
    view = replace(read_run_view(run.work.run, run.state), info=info)
    lines = "\n".join(closing_lines(view, trainings=0))
    return lines, page_of(run.folder).text, model_card(info, run.state)


def test_a_run_says_what_it_used_where_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = metered_run(tmp_path, monkeypatch)
    found = energy_used(run.state.results.values())
    assert found is not None
    assert sum(found.joules.values()) == pytest.approx(1e5 * len(run.started))
    assert list(found.joules) == ["gpu 0", "gpu 1"]
    lines, report, card = shown(run)
    assert f"\nenergy               {found.words}\n" in lines
    assert f"The GPUs used {found.words} while they trained." in report
    assert f"The GPUs used {found.words} while they trained." in card
    assert "energy" in json.loads(run.work.run.job(run.started[0].key).read_text())["content"]["cost"]


def test_a_run_without_a_counter_says_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in shown(metered_run(tmp_path, monkeypatch, has_counter=False)):
        assert "kWh" not in text
