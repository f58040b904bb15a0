"""Files that lie: any bytes, and files of a run in which parts are replaced, are read or refused."""

from __future__ import annotations

import copy
import functools
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evolution import build_parser
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
    start = rng.randrange(len(whole) + 1)
    end = rng.choice((start, start + 1, start + rng.randrange(40), len(whole)))
    return whole[:start] + rng.choice((b"", rng.randbytes(2), rng.choice(RAW))) + whole[end:]


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
    """Each reader of text is given a file that lies: it reads it or refuses it, in bounded time and memory."""
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
