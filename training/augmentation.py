"""Random augmentation of training images, a whole batch at a time, on the device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MOST_LIGHT = 0.4  # largest relative change of brightness and contrast by strong augmentation


def augment(
    images: Tensor, padding: int, flip: bool, generator: torch.Generator, augmentation: str = "basic"
) -> Tensor:
    """The images of a batch, each augmented at random as `--augmentation` says; padding is in pixels.

    `images` are uint8 (B, C, H, W) in channels_last memory on the generator's device, and so is the
    result. Nothing here waits for the device.
    """
    if augmentation == "none":
        return images
    images = _crop_and_flip(images, padding, flip, generator)
    if augmentation == "strong":
        images = _change_light(images, generator)
    return images if augmentation == "basic" else _cut_out(images, generator)


def _crop_and_flip(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """A random padded crop and a random horizontal flip of each image of a batch.

    Both are one indexed read from a view of all windows of the padded batch and of its mirror image.
    """
    count, _, height, width = images.shape
    device = images.device
    batch = images.permute(0, 2, 3, 1)  # (B, H, W, C)
    if padding:
        batch = functional.pad(batch, (0, 0, padding, padding, padding, padding))
    sides = torch.stack([batch, batch.flip(2)]) if flip else batch.unsqueeze(0)  # as they are, and mirrored
    windows = sides.unfold(2, height, 1).unfold(3, width, 1)  # (2, B, 2p+1, 2p+1, C, H, W), a view
    side = top = left = torch.zeros(count, dtype=torch.int64, device=device)
    if flip:
        side = (torch.rand(count, generator=generator, device=device) < 0.5).long()
    if padding:
        top, left = torch.randint(2 * padding + 1, (2, count), generator=generator, device=device)
    chosen = windows.permute(0, 1, 2, 3, 5, 6, 4)[side, torch.arange(count, device=device), top, left]
    return chosen.permute(0, 3, 1, 2)


def _change_light(images: Tensor, generator: torch.Generator) -> Tensor:
    """Multiplies brightness by a random factor, and contrast about each image's mean by another."""
    factors = torch.rand(2, len(images), 1, 1, 1, generator=generator, device=images.device)
    brightness, contrast = 1 + MOST_LIGHT * (2 * factors - 1)
    pixels = images.float() * brightness  # (B, C, H, W)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    changed: Tensor = (pixels - mean) * contrast + mean
    return changed.round().clamp(0, 255).to(torch.uint8)


def _cut_out(images: Tensor, generator: torch.Generator) -> Tensor:
    """Sets a square with half the image's shorter side to 0, the value of the padding of crops.

    Its centre may be any pixel, so part of it may lie outside the image (DeVries & Taylor 2017, sec. 3.2).
    """
    count, _, height, width = images.shape
    device, side = images.device, min(height, width) // 2
    hidden = []
    for length in (height, width):
        start = torch.randint(length, (count, 1), generator=generator, device=device) - side // 2
        place = torch.arange(length, device=device)
        hidden.append((place >= start) & (place < start + side))  # (B, length)
    rows, columns = hidden
    square = rows[:, :, None, None] & columns[:, None, :, None]  # (B, H, W, 1)
    return images.permute(0, 2, 3, 1).masked_fill(square, 0).permute(0, 3, 1, 2)
