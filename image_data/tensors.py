"""Images as tensors on a device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from image_data.data_set import ImageData
from image_data.source import Images


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a worker trains with, as tensors on its device; there are no test images here.

    Images are uint8 (N, C, H, W) in channels_last memory, labels int64 (N,); `mean` and `std` are
    those of the training split.
    """

    images: Tensor
    labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    mean: list[float]
    std: list[float]

    def for_training(self, split: str) -> tuple[Tensor, Tensor]:
        """The images and labels to train on: "train", or "all" with the validation images."""
        if split == "train":
            return self.images, self.labels
        # Concatenated in NHWC, so that the result is channels_last like its parts.
        images = torch.cat([part.permute(0, 2, 3, 1) for part in (self.images, self.val_images)])
        return images.permute(0, 3, 1, 2), torch.cat([self.labels, self.val_labels])


def to_device(data: ImageData, device: torch.device) -> TrainingData:
    """The training and validation images on a device. On the CPU nothing is copied."""
    mean, std = data.statistics()
    return TrainingData(
        image_tensor(data.train_images, device),
        torch.from_numpy(data.train_labels).to(device),
        image_tensor(data.val_images, device),
        torch.from_numpy(data.val_labels).to(device),
        mean,
        std,
    )


def image_tensor(images: Images, device: torch.device) -> Tensor:
    """Images (N, H, W, C) as a uint8 tensor (N, C, H, W) in channels_last memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
