"""Trainings of a small network on a few digits, as several tests need them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from image_data import ImageData, load_image_data
from image_data.tensors import TrainingData
from model_generator import weights_bytes
from records import DataConfig, TrainingConfig, TrainingJob, TrainingResult
from records.costs import Cost
from search_space.architecture import Architecture, Layer, network_text
from train_model import train_model

CPU = torch.device("cpu")
NETWORK = Architecture((1, 8, 8), 10, "ReLU", "max", (Layer(8, 3, pool=True), Layer(16, 3)))


def load_few_digits() -> ImageData:
    """240 training and 60 validation images."""
    return load_image_data(DataConfig(dataset="digits", train_limit=300))


def job(replicate: int = 0, split: str = "train", network: Architecture = NETWORK, **protocol: Any) -> TrainingJob:
    options = {"epochs": 1, "batch_size": 32, "crop_padding": 1, "flip": "off", "precision": "float32", **protocol}
    return TrainingJob(
        phenotype=network_text(network),
        protocol=TrainingConfig(**options),
        data_fingerprint="digits",
        replicate=replicate,
        split=split,
    )


def train(task: TrainingJob, data: TrainingData, micro_batch: int | None = None) -> tuple[TrainingResult, bytes]:
    """The result without what was measured, and the bytes of the weights."""
    result, model = train_model(task, data, CPU, micro_batch)
    return replace(result, cost=Cost()), weights_bytes(model)
