"""One picture file: its header, and its pixels as networks read them."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from image_data.source import Images, PixelRange, Size, fitted
from records import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What a file may be inside, whatever its ending says. Pillow knows more, and hands some of them to other programs: a
# PostScript file called .png would be run by Ghostscript. JPEG includes MPO, which many phones write.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LOADING = 16  # bytes a pixel that reading a picture takes at most, with all copies on the way
ORIENTATION = 0x0112  # in EXIF
TURNED = (5, 6, 7, 8)  # orientations by which width and height change places
NATURAL_RANGES = (1.0, 255.0, 65535.0)  # from 0 to these, values whose type does not say their range mostly run


logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong with a file is said by the error


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before its pixels are read; width and height are those after it was turned."""

    size: tuple[int, int]
    mode: str
    has_open_range: bool  # its type does not say which values are black and white

    @property
    def is_grey(self) -> bool:
        return self.mode in ("1", "L") or self.mode.startswith(("I", "F"))


def read_header(path: str) -> Header:
    """Raises `InputError` for a file that is no picture, and for one of more pixels than Pillow holds to be safe."""
    with _opened(path) as picture:
        width, height = picture.size
        size = (height, width) if _orientation(picture) in TURNED else (width, height)
        return Header(size, picture.mode, _has_open_range(picture))


def read_picture(path: str, is_grey: bool, size: Size | None, pixel_range: PixelRange | None) -> Images:
    """One picture as an array (H, W) or (H, W, 3), turned as its camera says, resized if a size is given.

    `pixel_range` holds the values that become black and white where the type does not say it.
    """
    from PIL import Image

    with _opened(path) as picture:
        pixels: Image.Image = picture
        if _has_open_range(picture):
            pixels = Image.fromarray(_scaled(np.asarray(picture), pixel_range))
        elif picture.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255
            pixels = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
        # A palette may hold transparency, which can be dropped only by way of RGBA.
        if is_grey:
            pixels = pixels.convert("L")
        elif pixels.mode != "RGB":
            pixels = pixels.convert("RGBA").convert("RGB")
        return fitted(_upright(pixels, _orientation(picture)), size)


def range_of(paths: Sequence[str]) -> PixelRange | None:
    """The values that become black and white in pictures whose type does not say it; None without such pictures.

    Values that fill more than half of a usual range (0 to 1, 255 or 65,535) have that range, others
    run from the least to the greatest in all of these pictures. What is not finite does not count.
    """
    low, high = np.inf, -np.inf
    for path in paths:
        with _opened(path) as picture:
            if _has_open_range(picture):
                values = np.asarray(picture)
                values = values[np.isfinite(values)]
                if values.size:
                    low, high = min(low, float(values.min())), max(high, float(values.max()))
    if high < low:
        return None
    natural = (most for most in NATURAL_RANGES if low >= 0 and most / 2 < high <= most)
    return next(((0.0, most) for most in natural), (low, high))


def _scaled(values: NDArray[Any], pixel_range: PixelRange | None) -> Images:
    if pixel_range is None:
        raise InputError("its values have 32 bits, but no training image does, so their range is not known")
    low, high = pixel_range
    share: NDArray[np.float64] = (values.astype(np.float64) - low) / (high - low or 1.0)
    levels: Images = np.rint(255 * np.nan_to_num(share).clip(0, 1)).astype(np.uint8)
    return levels


def _has_open_range(picture: Image) -> bool:
    """Whether pixels are floats or whole numbers of 32 bits. PNG and PPM have at most 16, which Pillow widens."""
    return picture.mode.startswith("F") or (picture.mode == "I" and picture.format not in ("PNG", "PPM"))


def _orientation(picture: Image) -> int:
    """How a picture must be turned, as EXIF counts it; 1, upright, where that is not said. Pillow turns TIFF itself."""
    from PIL import Image

    if picture.format == "TIFF":
        return 1
    try:
        # Not the method of PNG, which would read all pixels first.
        return int(Image.Image.getexif(picture).get(ORIENTATION, 1))
    except Exception:  # a damaged block says nothing, as in viewers; Pillow raises a dozen kinds for it
        return 1


def _upright(picture: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return picture.transpose(turns[orientation]) if orientation in turns else picture


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Image]:
    """An open picture. Whatever Pillow raises for it, then or later, becomes an `InputError` that names the file."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                yield picture
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            f"the picture {path} has more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels, which would take gigabytes of "
            "memory; make it smaller"
        ) from error
    except Exception as error:  # Pillow raises a dozen kinds for damaged files
        words = getattr(error, "strerror", None) or str(error).replace(repr(path), "")
        reason = " ".join(words.split()) or type(error).__name__
        raise InputError(f"cannot read the picture {path} ({reason})") from error
