"""A trained network, as exporters take it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from search_space.architecture import Architecture, network_text

Forward = Callable[[Tensor], Tensor]  # uint8 images (N, C, H, W) → logits (N, classes)


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A trained network in evaluation mode on the CPU, and what an exported file says about it."""

    model: nn.Sequential
    architecture: Architecture
    description: str
    class_names: Sequence[str]
    weights: Path  # the file of its weights

    @property
    def facts(self) -> dict[str, str]:
        """Metadata for a file, as text."""
        return {
            "description": self.description,
            "network": network_text(self.architecture),
            "classes": json.dumps(list(self.class_names)),
        }
