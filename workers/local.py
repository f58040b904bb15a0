"""The workers of this machine: processes that share one copy of the images of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from image_data import ImageData
from image_data.shared_memory import new_shared_memory, share_training_data
from job_queue import AUTO, JobTimeout
from records import TrainingConfig
from storage.directory import RunDirectory
from worker_manager import Slot, WorkerManager
from workers.trainers import WorkerSetup


class LocalWorkers(WorkerManager):
    """Worker processes, which import their modules while this process reads the data.

    `device` is the type of device that they train on. They write weights into the run's folder.
    """

    bfloat16 = None  # whether the devices support it: as this process does

    def __init__(self, run: RunDirectory, device: str, slots: Sequence[Slot], job_timeout: JobTimeout = AUTO) -> None:
        self.device, self.where = device, device
        self._root = run.root.resolve()
        self._memory = new_shared_memory()
        super().__init__(
            slots,
            "workers.trainers:start_trainer",
            descriptors=[self._memory],
            task=lambda attempt: {
                "micro_batch": attempt.micro_batch,
                "weights": run.relative(run.weights(attempt.name)),
            },
            job_timeout=job_timeout,
        )

    def hold(self, data: ImageData, protocol: TrainingConfig) -> None:
        """Shares the training and validation images with the workers; test images stay in this process."""
        setup = WorkerSetup(
            descriptor=self._memory,
            contents=share_training_data(data, self._memory),
            class_names=list(data.class_names),
            device=self.device,
            threads=protocol.threads,
            deterministic=protocol.deterministic,
            root=str(self._root),
        )
        self.set_up(asdict(setup))
