"""What runs on the nodes of a Ray cluster."""

from __future__ import annotations

import pytest

from workers.ray_node import gpu_index


@pytest.mark.parametrize(
    ("ray_id", "visible", "index"), [(1, None, 1), ("3", None, 3), (5, "4,5", 1), ("4", "4,5", 0), ("u2", "u1,u2", 1)]
)
def test_torch_counts_the_visible_gpus(ray_id: int | str, visible: str | None, index: int) -> None:
    assert gpu_index(ray_id, visible) == index
