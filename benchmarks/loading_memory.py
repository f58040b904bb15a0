"""The memory needed to read your own data set, compared with the size of the pixels that are kept.

usage: python benchmarks/loading_memory.py [--images N] [--train_limit N]

Writes N random images of 224×224×3 (default 3,000, and a tenth as many test images) to a temporary .npz file, reads
them, and shares them as a run does. Printed are the growth of the resident memory to its peak, and the size of the copy
for the workers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from image_data import ImageData, load_image_data
from image_data.shared_memory import new_shared_memory, share_training_data
from records import DataConfig
from records.machine import processor_name

SHAPE, CLASSES = (224, 224, 3), 5


def resident(name: str) -> int:
    """An entry of this process's /proc status, in bytes."""
    return 1024 * int(Path("/proc/self/status").read_text(encoding="utf-8").split(f"{name}:")[1].split()[0])


def write_images(path: Path, count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    labels, tested = np.arange(count) % CLASSES, count // 10
    np.savez(path, x_train=images, y_train=labels, x_test=images[:tested], y_test=labels[:tested])


def pixels(data: ImageData) -> int:
    return sum(data.split(name)[0].nbytes for name in ("train", "validation", "test"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=3000, metavar="N")
    parser.add_argument("--train_limit", type=int, metavar="N")
    options = parser.parse_args()
    load_image_data(DataConfig(dataset="digits"))  # imports the modules that reading needs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.npz")
        write_images(path, options.images)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = resident("VmRSS")
        data = load_image_data(DataConfig(dataset=str(path), train_limit=options.train_limit))
        grown = resident("VmHWM") - before
    descriptor, kept = new_shared_memory(), pixels(data)
    share_training_data(data, descriptor)
    print(f"{kept / 1e6:,.0f} MB of pixels are kept, on {processor_name()}, NumPy {np.__version__}")
    print(f"reading raised the resident memory by {grown / kept:.2f} times that")
    print(f"the copy for the workers holds {os.fstat(descriptor).st_size / kept:.2f} times that")


if __name__ == "__main__":
    main()
