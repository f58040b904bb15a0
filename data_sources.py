"""Reads data sets as they come: scikit-learn's digits, torchvision's sets, .npz archives, folders of pictures."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from records import DataConfig, InputError

Images = NDArray[np.uint8]  # (N, H, W, C)
Labels = NDArray[np.int64]  # (N,)

TORCHVISION_SETS = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "svhn": "SVHN",
}
NAMED_SETS = ("digits", *TORCHVISION_SETS)
SHAPES = {  # channels, height, width and classes of the named sets, for what needs no images
    "digits": ((1, 8, 8), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "mnist": ((1, 28, 28), 10),
    "fashion_mnist": ((1, 28, 28), 10),
    "kmnist": ((1, 28, 28), 10),
    "svhn": ((3, 32, 32), 10),
}
FOLDER_SIDE = 64  # pixels, for folders whose pictures differ in size


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it was read; `test` is None where it comes without a test split."""

    train: tuple[Images, Labels]
    test: tuple[Images, Labels] | None
    class_names: list[str]


def read_source(config: DataConfig) -> Source:
    """Reads the data set that is named. Raises `InputError` where it is missing, damaged or of another form."""
    name = config.dataset
    if config.image_size is not None and not Path(name).is_dir():
        raise InputError(f"--image_size is for folders of pictures, but --dataset is {name}; leave it out")
    if name == "digits":
        return _read_digits()
    if name in TORCHVISION_SETS:
        return _read_torchvision(name, Path(config.data_dir))
    if Path(name).is_dir():
        return _read_folder(Path(name), config.image_size)
    if Path(name).is_file():
        return _read_npz(Path(name))
    known = ", ".join(NAMED_SETS)
    raise InputError(f"no data set {name!r}: expected {known}, a folder of class folders, or an .npz file that exists")


def _read_digits() -> Source:
    """1,797 real 8×8 images of digits from scikit-learn (UCI, Alpaydin & Kaynak 1998), values 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return Source((images, bunch.target.astype(np.int64)), None, [str(digit) for digit in range(10)])


def _read_torchvision(name: str, folder: Path) -> Source:
    from torchvision import datasets

    make: Callable[..., Any] = getattr(datasets, TORCHVISION_SETS[name])
    parts: list[dict[str, Any]] = [{"train": True}, {"train": False}]
    if name == "svhn":
        parts = [{"split": "train"}, {"split": "test"}]
    loaded, existed = [], folder.exists()
    for part in parts:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                loaded.append(make(folder, download=True, **part))
        except (OSError, RuntimeError, ValueError, AssertionError, struct.error) as error:
            if not existed:
                shutil.rmtree(folder, ignore_errors=True)
            raise InputError(_advice(name, make, folder, error)) from error
    arrays: list[tuple[Images, Labels]] = []
    for dataset in loaded:
        images = np.asarray(dataset.data)
        if name == "svhn":
            images = images.transpose(0, 2, 3, 1)
        labels = np.asarray(dataset.labels if name == "svhn" else dataset.targets, dtype=np.int64)
        arrays.append((np.ascontiguousarray(_with_channels(images)), labels))
    names = getattr(loaded[0], "classes", None) or [str(label) for label in range(10)]
    return Source(arrays[0], arrays[1], [str(label) for label in names])


def _advice(name: str, make: Any, folder: Path, error: Exception) -> str:
    """What to do about a data set of torchvision's that is not there and does not come."""
    mnist_like = name.endswith("mnist")
    place = folder.resolve() / TORCHVISION_SETS[name] / "raw" if mnist_like else folder.resolve()
    url = make.mirrors[0] if mnist_like else make.split_list["train"][0] if name == "svhn" else make.url
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return (
        f"data set {name} is not whole in {folder.resolve()} and could not be downloaded ({reason}); "
        f"put the files of {url} into {place}, name another --data_dir, or use --dataset digits"
    )


def _with_channels(images: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W) → (N, H, W, 1); images that have channels as they are."""
    return images if images.ndim == 4 else images[..., None]


def _read_npz(path: Path) -> Source:
    """The four arrays that Keras ships its data sets in. Pickled contents are refused, never read."""
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            is_archive = isinstance(archive, np.lib.npyio.NpzFile)
            found = {name: archive[name] for name in archive.files} if is_archive else {}
    except (
        ValueError,
        OSError,
        EOFError,
        IndexError,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "pickle" in reason:
            reason = "it holds Python objects, or is no NumPy file at all"
        raise InputError(f"{path}: not an .npz file of plain arrays, or damaged ({reason})") from error
    if not is_archive:
        raise InputError(f"{path}: expected an .npz archive, found a single array")
    names = ("x_train", "y_train", "x_test", "y_test")
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"{path}: expected the arrays {', '.join(names)}, but {', '.join(missing)} is missing "
            f"(found {', '.join(found) or 'none'})"
        )
    train, test = (_npz_split(path, split, found[f"x_{split}"], found[f"y_{split}"]) for split in ("train", "test"))
    # A label beyond the number of images is no class; it is refused below, where labels are checked.
    count = min(int(train[1].max(initial=-1)) + 1, len(train[1]))
    classes = found.get("classes")
    if classes is None or classes.shape != (count,):
        classes = np.arange(count)
    return Source(train, test, [str(name) for name in classes])


def _npz_split(path: Path, split: str, images: NDArray[Any], labels: NDArray[Any]) -> tuple[Images, Labels]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"{path}: x_{split} must hold uint8 pixels of shape (N, H, W) or (N, H, W, C), "
            f"but is {images.dtype} of shape {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape not in ((len(images),), (len(images), 1)):
        raise InputError(
            f"{path}: y_{split} must hold one whole number for each of the {len(images)} images, "
            f"but is {labels.dtype} of shape {labels.shape}"
        )
    return _with_channels(images), labels.reshape(-1).astype(np.int64)


def _read_folder(folder: Path, side: int | None) -> Source:
    """A folder of class folders, or `train` and `test` folders of such."""
    from torchvision import datasets

    parts = [folder / "train", folder / "test"] if (folder / "train").is_dir() else [folder]
    loaded = []
    for part in parts:
        try:
            loaded.append(datasets.ImageFolder(str(part)))
        except OSError as error:
            raise InputError(f"{part}: expected one folder of images for each class ({error})") from error
    if loaded[0].classes != loaded[-1].classes:
        raise InputError(f"{folder}: train has the classes {loaded[0].classes}, but test has {loaded[-1].classes}")
    looks = {_look_at(path) for dataset in loaded for path, _ in dataset.samples}
    is_grey = all(mode in ("1", "L") or mode.startswith(("I", "F")) for _, mode in looks)
    if side is None and len({size for size, _ in looks}) > 1:
        side = FOLDER_SIDE
    splits = [
        (
            _with_channels(np.stack([_read_picture(path, is_grey, side) for path, _ in dataset.samples])),
            np.asarray(dataset.targets, dtype=np.int64),
        )
        for dataset in loaded
    ]
    return Source(splits[0], splits[1] if len(splits) == 2 else None, loaded[0].classes)


def _look_at(path: str) -> tuple[tuple[int, int], str]:
    """Size and mode of a picture, from its header."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size, picture.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read the picture {path} ({error})") from error


def _read_picture(path: str, is_grey: bool, side: int | None) -> Images:
    """One picture as an array (H, W) or (H, W, 3), its middle square resized to `side` if given."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            pixels: Image.Image = picture
            if picture.mode.startswith("I"):  # 16 bits a pixel, which PIL would clip at 255
                pixels = Image.fromarray((np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            # A palette may hold transparency, which only RGBA can carry on the way to RGB.
            converted = pixels.convert("L") if is_grey else pixels.convert("RGBA").convert("RGB")
            return np.asarray(converted if side is None else ImageOps.fit(converted, (side, side)))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot read the picture {path} ({error})") from error
