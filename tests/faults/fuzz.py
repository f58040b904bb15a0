"""Files that lie: any bytes, and files of a run or of data in which parts are replaced, are read or refused."""

from __future__ import annotations

import copy
import functools
import io
import json
import random
import resource
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evolution import build_parser
from image_data import load_image_data
from image_data.pictures import FORMATS, ORIENTATION
from records import EvolutionConfig, InputError, TrainingConfig
from records.config_file import config_text, with_config
from records.settings import DataConfig
from records.texts import Chromosome, NetworkText
from run.request import Request
from search_space.architecture import architecture_of
from search_space.encoding import Encoding
from search_space.genes import EXTENDED
from search_space.tables import gene_table_text, load_gene_table
from storage.checkpoint import load_state, read_progress, read_state
from storage.directory import RunDirectory
from storage.files import DamagedFile, sealed
from storage.lock import LOCK_NAME
from storage.own_files import HEAD, LIST_NAME, ForeignFile, OwnFiles
from storage.results import (
    ABLATION,
    INFO,
    JOB,
    PROGRESS,
    PRUNED,
    STATE,
    find_result,
    read_ablation,
    read_info,
    read_pruned,
)
from tests.faults.small_run import inline

MOST_SECONDS = 5.0  # of processor time, for files of at most some 100 kB
MOST_MEMORY = 256 << 20  # bytes more than before

DEEP: Any = json.loads("[" * 50 + "]" * 50)
HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, -0.0, 1.5, 2**31, 10**18, 2**63, 2**64, 10**39, -(10**39), 1e300, 5e-324, "", "\0", "a\0b",
    "\ud800", "\udcff", "\u202e\x1b[2J", "../../x", "/etc/passwd", "~", "x" * 10_000, "9" * 5_000, "[" * 5_000,
    '{"a":' * 200, "2", "nan", "1e400", [], {}, [[]], {"": 0}, DEEP, [0] * 10_000,
)  # fmt: skip
RAW = (
    b"NaN", b"-Infinity", b"1e400", b"9" * 5_000, b"-0", b"[" * 5_000, b'{"a":' * 5_000, b"\xff\xfe", b"\0",
    b'"\\ud800"', b"\xef\xbb\xbf", b"a.a.a.a.a.a.a.a.a.a.a.a=1\n", b"[[a]]\n", b"a={a={a={", b'"""', b"1979-05-27",
)  # fmt: skip
KINDS = ("|u1", "<i8", "<u8", "<f4", "|b1", "|O", "<U3", "<U99999999", "|V8", "<M8[ns]")  # of arrays


@functools.cache
def originals() -> Mapping[str, bytes]:
    """A file of each kind, as the program wrote it."""
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in ("rich", "steady"):
            root = Path(folder, variant)
            inline(root, variant=variant)
            run = RunDirectory(root)
            found[STATE + variant] = run.state(2).read_bytes()
        found[PROGRESS] = run.progress(1).read_bytes()
        found["initial state"] = run.state(1).read_bytes()
        found[JOB] = sorted(run.jobs.glob("*.json"))[0].read_bytes()
        found[INFO] = run.individual("gen1/ind1").joinpath("info.json").read_bytes()
    key = json.loads(found[JOB])["content"]["key"]
    found[PRUNED] = sealed(PRUNED, {"keys": [key]})
    neighbour = {"locus": 0, "gene": "kernel", "best_value": "3", "value": "5", "chromosome": "1" * 19}
    neighbour |= {"is_same_network": False, "accuracies": [0.5]}
    content = {"individual": "gen1/ind1", "chromosome": "0" * 19, "accuracies": [0.5], "neighbours": [neighbour]}
    found[ABLATION] = sealed(ABLATION, content)
    found["config"] = config_text(EvolutionConfig(), TrainingConfig(), DataConfig()).encode()
    found["genes"] = gene_table_text(EXTENDED).encode()
    found["network"] = Encoding((3, 32, 32), 10, EXTENDED).network(Chromosome("01" * 16 + "0")).encode()
    lines = [{"path": f"results/{name}", "writer": "evolution", "sha256": "0" * 64} for name in ("a.csv", "b.html")]
    found["list"] = HEAD + b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    found["weights"] = weights()[1]
    found["lock"] = b"process 1 on here"
    return found | pictures() | {"archive": archive_bytes()}


def archive_bytes() -> bytes:
    """A small archive of images."""
    content, labels = io.BytesIO(), np.arange(8) % 2
    images = np.zeros((8, 8, 8), np.uint8)
    np.savez_compressed(content, x_train=images, y_train=labels, x_test=images, y_test=labels, classes=["cat", "dog"])
    return content.getvalue()


def pictures() -> dict[str, bytes]:
    """A small picture of each format that is read, with an EXIF block where it has one."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    picture, found = Image.fromarray(pixels), dict[str, bytes]()
    deep = Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
    for kind in (*FORMATS, "MPO", "deep TIFF"):
        content = io.BytesIO()
        more: dict[str, Any] = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "MPO") else {}
        more |= {"save_all": True, "append_images": [picture]} if kind in ("GIF", "MPO") else {}
        (deep if kind == "deep TIFF" else picture).save(content, kind.removeprefix("deep "), **more)
        found[f"{kind} picture"] = content.getvalue()
    return found


def read_config_file(path: Path) -> None:
    parser = build_parser()
    options = vars(parser.parse(with_config(parser, ["--config", str(path)])))
    flags = {name: value for name, value in options.items() if name not in ("config", "plan", "quiet")}
    request = Request.of(**flags)
    request.new(EvolutionConfig)
    request.new(TrainingConfig)
    request.new(DataConfig)


def read_progress_file(path: Path) -> None:
    run = RunDirectory(path.parent / "run")
    run.state(1).parent.mkdir(parents=True)
    run.state(1).write_bytes(originals()["initial state"])
    path.rename(run.progress(1))
    read_progress(run, read_state(run.state(1)))


def read_state_file(path: Path) -> None:
    _, state = load_state(path)
    for result in state.results.values():
        assert result.fitness is None or result.fitness.value is not None


def in_place_of(
    place: Callable[[RunDirectory], Path], read: Callable[[RunDirectory], object]
) -> Callable[[Path], None]:
    """A reader of one file of a run."""

    def reader(path: Path) -> None:
        run = RunDirectory(path.parent / "run")
        place(run).parent.mkdir(parents=True)
        path.rename(place(run))
        read(run)

    return reader


def read_job_file(path: Path) -> None:
    run = RunDirectory(path.parent / "run")
    run.jobs.mkdir(parents=True)
    key = json.loads(originals()[JOB])["content"]["key"]
    path.rename(run.job(key))
    find_result(run, key)


def read_list(path: Path) -> None:
    path.rename(path.with_name(LIST_NAME))
    for owned in OwnFiles(path.parent, "evolution").owned():
        assert owned.resolve().is_relative_to(path.parent.resolve())


def read_lock(path: Path) -> None:
    path.rename(path.with_name(LOCK_NAME))
    run = RunDirectory(path.parent)
    run.lock()
    run.unlock()


def read_network(path: Path) -> None:
    architecture_of(NetworkText(path.read_bytes().decode(errors="surrogateescape")))


@functools.cache
def weights() -> tuple[Any, bytes]:
    """A small network, and its weights as a file."""
    from model_generator import build_model, weights_bytes

    network = Encoding((1, 8, 8), 2).network(Chromosome("0" * 19))
    return architecture_of(network), weights_bytes(build_model(architecture_of(network)))


def read_weights(path: Path) -> None:
    from model_generator import load_model

    load_model(path, weights()[0])


def read_archive(path: Path) -> None:
    whole = path.rename(path.with_suffix(".npz"))
    load_image_data(DataConfig(dataset=str(whole)))
    load_image_data(DataConfig(dataset=str(whole), image_size="16"))


def read_picture_file(path: Path) -> None:
    """A folder of sound pictures, in which this one is the first."""
    for name in ("cat", "dog"):
        (path.parent / "data" / name).mkdir(parents=True)
        for number in range(1, 4):
            (path.parent / "data" / name / f"{number}.png").write_bytes(originals()["PNG picture"])
    path.rename(path.parent / "data" / "cat" / "0.png")
    load_image_data(DataConfig(dataset=str(path.parent / "data"), image_size="16"))


READERS: Mapping[str, Callable[[Path], object]] = {
    STATE + "rich": read_state_file,
    STATE + "steady": read_state_file,
    PROGRESS: read_progress_file,
    JOB: read_job_file,
    INFO: read_info,
    PRUNED: in_place_of(lambda run: run.pruned, read_pruned),
    ABLATION: in_place_of(lambda run: run.ablation, read_ablation),
    "config": read_config_file,
    "genes": load_gene_table,
    "network": read_network,
    "list": read_list,
    "lock": read_lock,
    "weights": read_weights,
    "archive": read_archive,
    **{f"{kind} picture": read_picture_file for kind in (*FORMATS, "MPO", "deep TIFF")},
}


def lying(whole: bytes, rng: random.Random) -> bytes:
    """What a file of this content might be made into."""
    how = rng.randrange(6)
    if how == 0:
        return rng.randbytes(rng.randrange(400))
    if how == 1:
        return rng.choice(RAW) * rng.choice((1, 1, 50))
    if how in (2, 3) and whole[:1] == b"{":
        document = json.loads(whole)
        content = document.get("content", document)
        for _ in range(rng.randint(1, 3)):
            replace_a_part(content, rng)
        return sealed(document["kind"], content) if "kind" in document else json.dumps(content).encode()
    if how in (2, 3) and whole[:2] == b"PK":
        return with_other_entry(whole, rng)
    changed = with_other_bytes(whole, rng)
    return with_checksums(changed) if whole[:4] == b"\x89PNG" and how in (2, 3) else changed


def with_other_bytes(whole: bytes, rng: random.Random) -> bytes:
    """Some bytes in a row are replaced or removed, or others put in; of what follows, all may be cut off."""
    start = rng.randrange(len(whole) + 1)
    end = rng.choice((start, start + 1, start + rng.randrange(40), len(whole)))
    return whole[:start] + rng.choice((b"", rng.randbytes(2), rng.choice(RAW))) + whole[end:]


def with_other_entry(whole: bytes, rng: random.Random) -> bytes:
    """A zip archive with other bytes in one of its entries, or in the header of its array; the archive is sound."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
        chosen = rng.choice(source.namelist())
        for name in source.namelist():
            entry = source.read(name)
            if name == chosen and name.endswith(".npy") and rng.random() < 0.7:
                header = {
                    "descr": rng.choice(
                        ("|u1", "<i8", "<u8", "<f4", "|b1", "|O", "<U3", "<U99999999", "|V8", "<M8[ns]")
                    ),
                    "fortran_order": rng.choice((False, True, 1)),
                    "shape": tuple(rng.choice((0, 1, 8, 8, 10**7, 10**13, -1)) for _ in range(rng.randrange(5))),
                }
                file = io.BytesIO()
                np.lib.format.write_array_header_1_0(file, header)
                entry = file.getvalue() + entry[128:] + bytes(rng.choice((0, 0, 10**7)))
            elif name == chosen:
                entry = with_other_bytes(entry, rng)
            target.writestr(name, entry)
    return content.getvalue()


def with_checksums(png: bytes) -> bytes:
    """The PNG with the checksum of each chunk as it must be, so that what the chunks say is believed."""
    found, start = png[:8], 8
    while start + 12 <= len(png):
        [length] = struct.unpack(">I", png[start : start + 4])
        chunk = png[start + 4 : start + 8 + length]
        found += png[start : start + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        start += 12 + length
    return found


def replace_a_part(content: Any, rng: random.Random) -> None:
    """Replaces, removes, renames or repeats one part of a JSON value, at a random depth."""
    container, parents = content, 0
    while True:
        keys = list(container) if isinstance(container, dict) else range(len(container))
        if not keys:
            return
        key = rng.choice(keys)
        if not isinstance(container[key], dict | list) or rng.random() < 0.25 or parents > 8:
            break
        container, parents = container[key], parents + 1
    how = rng.randrange(5)
    if how == 0:
        del container[key]
    elif how == 1 and isinstance(container, dict):
        container[rng.choice(("", "\0", "../x", "\ud800", "x" * 1_000))] = container.pop(key)
    elif how == 2 and isinstance(container, list):
        container += [copy.deepcopy(container[key]) for _ in range(rng.choice((1, 100)))]
    else:
        container[key] = copy.deepcopy(rng.choice(HOSTILE))


def memory() -> int:
    """The most bytes that this process has had at a time."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def files_that_lie(seed: int, folder: Path, variant: str = "plain") -> None:
    """Each reader is given a file that lies: it reads it or refuses it, in bounded time and memory."""
    rng = random.Random(seed)
    whole = originals()
    for name, read in READERS.items():
        place = folder / name.replace(" ", "_")
        place.mkdir(parents=True)
        path = place / "file.json"
        path.write_bytes(lying(whole[name], rng))
        clock, before = time.process_time(), memory()
        try:
            read(path)
        except (InputError, DamagedFile, ForeignFile) as refusal:
            assert "\n" not in str(refusal), refusal
            assert len(str(refusal)) < 1_000 + 2 * len(str(path)), f"{len(str(refusal))} characters"
        except ValueError as refusal:
            assert name == "network", f"{name}: {refusal!r}"  # its callers name the file
        assert time.process_time() - clock < MOST_SECONDS, name
        assert memory() - before < MOST_MEMORY, name
