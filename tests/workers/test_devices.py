"""Which slots trainings run on: GPUs as asked for, or one for each core, and the memory that they share."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from records import InputError
from workers import devices
from workers.devices import CPU_PROCESS, GPU_PROCESS, MOST_PER_GPU, find_slots

TOTAL = 80e9  # bytes of a GPU


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=TOTAL))
    monkeypatch.setattr(devices, "cores", lambda: 10)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    monkeypatch.setattr(devices, "cores", lambda: 6)
    monkeypatch.setattr(devices, "free_memory", lambda: 12e9)


@pytest.mark.usefixtures("two_gpus")
def test_each_gpu_has_one_slot_with_nearly_all_of_its_memory() -> None:
    kind, slots = find_slots(None, None, 1, threads=1)
    assert (kind, [slot.name for slot in slots]) == ("cuda", ["gpu 0", "gpu 1"])
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["0", "1"]
    assert not any(slot.is_tuned for slot in slots)
    assert all(0.9 * TOTAL < slot.memory < TOTAL for slot in slots)
    assert len({slot.device for slot in slots}) == 2


@pytest.mark.usefixtures("two_gpus")
def test_every_gpu_has_a_slot_before_one_has_two() -> None:
    _, slots = find_slots([1, 0], None, 2, threads=1)
    assert [slot.name for slot in slots] == ["gpu 1.1", "gpu 0.1", "gpu 1.2", "gpu 0.2"]
    assert slots[0].device == slots[2].device != slots[1].device


@pytest.mark.usefixtures("two_gpus")
def test_automatic_slots_are_no_more_than_cores_can_serve_and_are_tuned() -> None:
    _, slots = find_slots(None, None, None, threads=1)
    assert len(slots) == 2 * 5  # 10 cores
    assert all(slot.is_tuned for slot in slots)
    assert slots[0].memory == pytest.approx(devices.GPU_SHARE * TOTAL - 5 * GPU_PROCESS)
    assert len(find_slots([0], None, None, threads=1)[1]) == MOST_PER_GPU


@pytest.mark.usefixtures("two_gpus")
def test_visible_gpus_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    _, slots = find_slots([1], None, 1, threads=1)
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["GPU-bb"]


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("wanted", "said"), [([2], "--gpus 2 is not there"), ([0, 0], "names a GPU twice")])
def test_gpus_that_cannot_be_used_are_refused(wanted: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_slots(wanted, None, 1, threads=1)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("workers", "threads", "count"), [(None, 1, 6), (None, 4, 1), (None, 9, 1), (3, 1, 3)])
def test_without_a_gpu_there_is_a_slot_for_each_core(workers: int | None, threads: int, count: int) -> None:
    kind, slots = find_slots(None, workers, 1, threads)
    assert (kind, len(slots)) == ("cpu", count)
    assert {slot.environment["OMP_NUM_THREADS"] for slot in slots} == {str(threads)}
    assert {slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots} == {""}
    assert all(slot.memory == pytest.approx(12e9 - count * CPU_PROCESS) for slot in slots)


@pytest.mark.usefixtures("no_gpu")
def test_a_machine_short_of_memory_or_silent_about_it_still_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda: 1e9)
    assert find_slots(None, 6, 1, threads=1)[1][0].memory == 1e9 / 4
    monkeypatch.setattr(devices, "free_memory", lambda: None)
    assert find_slots(None, 6, 1, threads=1)[1][0].memory == math.inf


@pytest.mark.usefixtures("two_gpus")
def test_workers_on_the_cpu_leave_gpus_alone() -> None:
    kind, slots = find_slots(None, 2, 1, threads=1)
    assert (kind, len(slots)) == ("cpu", 2)
