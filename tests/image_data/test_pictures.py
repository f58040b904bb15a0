"""One picture file: what its header says, and which pixels come of it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from image_data.pictures import ORIENTATION, range_of, read_header, read_picture
from tests.pictures import brightness_fits_labels, counts, images_of, load, refusal, write_pictures


def turned(path: Path, orientation: int, kind: str) -> None:
    """A picture without loss, that its EXIF block says to turn; TIFF holds it among its own tags."""
    picture, exif = Image.fromarray(images_of(1, 9, 12, 3)[0]), Image.Exif()
    exif[ORIENTATION] = orientation
    where: dict[str, Any] = {"tiffinfo": {ORIENTATION: orientation}} if kind == "TIFF" else {"exif": exif}
    picture.save(path, kind, **where, **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path, orientation: int, kind: str) -> None:
    path = tmp_path / "a.jpg"
    turned(path, orientation, kind)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    assert read_header(str(path)).size == expected.shape[1::-1]
    assert np.array_equal(read_picture(str(path), False, None, None), expected)
    if kind != "JPEG" and 1 <= orientation <= 8:
        assert (expected.shape[:2] == (12, 9)) == (orientation in (5, 6, 7, 8))


def test_a_damaged_exif_block_turns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(images_of(1, 9, 12, 3)[0]).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\1\2\3")
    assert read_header(str(path)).size == (12, 9)
    assert read_picture(str(path), False, None, None).shape == (9, 12, 3)


def png_of(side: int) -> bytes:
    """A whole, black PNG of so many pixels a side, in a file of some kilobytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows, packer = (1 + side // 8) * side, zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(rows >> 20))
    body += packer.compress(bytes(rows & 0xFFFFF)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9600, 13000, 60000])
@pytest.mark.parametrize("size", [None, "32"])
def test_a_picture_of_very_many_pixels_is_refused_by_its_header(tmp_path: Path, side: int, size: str | None) -> None:
    folder = write_pictures(tmp_path / "pets")
    path = folder / "cat" / "huge.png"
    path.write_bytes(png_of(side) if side < 20000 else png_of(16)[:16] + struct.pack(">II", side, side))
    assert path.stat().st_size < 40_000
    message = refusal(lambda: load(folder, image_size=size))
    assert str(path) in message
    if side < 20000:
        assert "has more than 89,478,485 pixels" in message


FLOATS = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([FLOATS], (0, 1)),
        ([FLOATS * 0.9, FLOATS * 0.1], (0, 1)),
        ([FLOATS * 200], (0, 255)),
        ([(FLOATS * 209).astype(np.int32)], (0, 255)),
        ([(FLOATS * 60000).astype(np.int32)], (0, 65535)),
        ([FLOATS * 0.25], (0, 0.25)),
        ([FLOATS * 2 - 1], (-1, 1)),
        ([FLOATS * 3000 - 1000, FLOATS * 10 + 5000], (-1000, 5010)),
        ([np.where(FLOATS < 0.5, np.nan, FLOATS), np.full((8, 8), np.inf, np.float32)], (0, 1)),
        ([np.full((8, 8), np.nan, np.float32)], None),
    ],
)
def test_the_range_of_pixels_that_do_not_say_it_is_that_of_all_pictures(
    tmp_path: Path, values: list[NDArray[Any]], expected: tuple[float, float] | None
) -> None:
    paths = [str(tmp_path / f"{number}.tif") for number in range(len(values))]
    for path, each in zip(paths, values, strict=True):
        Image.fromarray(each).save(path)
        assert read_header(path).has_open_range
    assert range_of(paths) == (None if expected is None else pytest.approx(expected))


def test_pictures_whose_type_says_their_range_have_none(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "c.tif")]
    kinds = zip(paths, (np.uint8, np.uint16, np.uint16), strict=True)
    for path, kind in kinds:
        Image.fromarray(np.full((8, 8), 200, kind)).save(path)
        assert not read_header(path).has_open_range
    assert range_of(paths) is None


def test_values_become_black_to_white_and_what_is_no_number_black(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tif")
    Image.fromarray(np.array([[-5, 0, 1, 2, 4, 9, np.nan, np.inf, -np.inf]] * 8, np.float32)).save(path)
    row = read_picture(path, True, None, (0.0, 4.0))[0]
    assert list(row) == [0, 0, 64, 128, 255, 255, 0, 255, 0]
    assert "but no training image does, so their range is not known" in refusal(
        lambda: read_picture(path, True, None, None)
    )


def as_tiff(folder: Path, kind: Any, divisor: float) -> None:
    for path in folder.glob("*/*.png"):
        with Image.open(path) as picture:
            values = np.asarray(picture).astype(kind) / divisor if divisor != 1 else np.asarray(picture).astype(kind)
        Image.fromarray(values).save(path.with_suffix(".tif"))
        path.unlink()


@pytest.mark.parametrize(("kind", "divisor"), [(np.float32, 255), (np.float32, 1), (np.int32, 1)])
def test_a_folder_of_deep_pictures_is_read_like_the_same_pictures_of_eight_bits(
    tmp_path: Path, kind: Any, divisor: float
) -> None:
    folder = write_pictures(tmp_path / "pets", "L")
    expected = load(folder)
    as_tiff(folder, kind, divisor)
    data = load(folder)
    assert data.fingerprint == expected.fingerprint
    assert data.preparation.pixel_range == (0, 255 if divisor == 1 else 1)
    assert any("does not say their range: 0 becomes black" in note for note in data.notes)
    assert expected.preparation.pixel_range is None
    assert expected.notes == ()


def test_the_range_is_that_of_the_training_images_alone_or_that_of_a_model(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train", "L")
    write_pictures(tmp_path / "test", "L")
    as_tiff(tmp_path / "train", np.float32, 0.1)
    as_tiff(tmp_path / "test", np.float32, 0.05)
    data = load(tmp_path)
    assert counts(data) == [18, 2, 20]
    low, high = data.preparation.pixel_range or (0, 0)
    assert low >= 200
    assert 2000 <= high <= 2090
    assert brightness_fits_labels(data)
    assert data.test_images.max() == 255


def test_pictures_of_all_depths_may_lie_together(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pets", "L")
    expected = load(folder).fingerprint
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
        deep = [pixels, pixels.astype(np.uint16) << 8, pixels.astype(np.float32)][number % 3]
        if number % 3:
            path.unlink()
            Image.fromarray(deep).save(path.with_suffix(".tif"))
    assert load(folder).fingerprint == expected


@pytest.mark.parametrize("kind", ["alpha", "constant"])
def test_pictures_without_any_contrast_are_told(tmp_path: Path, kind: str) -> None:
    folder = write_pictures(tmp_path / "pets", "L")
    for path in folder.glob("*/*.png"):
        with Image.open(path) as picture:
            grey = np.asarray(picture)
        drawn = np.stack([grey * 0] * 3 + [grey], axis=-1) if kind == "alpha" else grey * 0 + 7
        Image.fromarray(drawn).save(path)
    assert any("there is nothing to learn from them" in note for note in load(folder).notes)


def test_of_a_moving_gif_the_first_picture_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (12, 10), value) for value in (90, 10)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_picture(str(tmp_path / "a.gif"), True, None, None) == 90).all()


def test_a_jpeg_of_several_pictures_is_read_upright(tmp_path: Path) -> None:
    path, exif, content = tmp_path / "a.jpg", Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = 6
    picture = Image.new("RGB", (24, 10), (200, 100, 50))
    picture.save(content, "MPO", save_all=True, append_images=[picture], exif=exif)
    path.write_bytes(content.getvalue())
    assert read_header(str(path)).size == (10, 24)
    assert read_picture(str(path), False, None, None).shape == (24, 10, 3)
