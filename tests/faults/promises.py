"""The promises about reliability, one function each: it injects faults drawn from a seed and asserts what must hold.

`test_promises.py` runs a few cases of each in the test suite, and `python -m tests.faults` the full counts.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job_queue import AUTO, JobQueue, JobTimeout
from records import InputError, Limits, RunFault, TrainingJob, TrainingResult
from records.texts import JobKey, NetworkText
from stopping.signals import STOP_SIGNALS
from storage.checkpoint import load_state, read_progress
from storage.directory import RunDirectory
from storage.results import find_result, read_info
from tests.faults.disk import Countdown, Dead, FullDisk, PowerLossDisk, copy_of, steps_watched
from tests.faults.fuzz import files_that_lie
from tests.faults.others import files_of_others
from tests.faults.small_run import TRAINER, VARIANTS, InlineWorkers, NoSignals, fingerprint, go_on, in_order, inline
from tests.processes import alive_after, children_of, is_alive
from worker_manager import Slot, WorkerManager

ROOT = Path(__file__).parent.parent.parent
NOTICE_SECONDS = 2.0
DEAD_STATUS = 77


@functools.cache
def undisturbed(seed: int = 0, variant: str = "plain") -> str:
    """The fingerprint of the small run if nothing goes wrong."""
    with tempfile.TemporaryDirectory() as folder:
        inline(Path(folder, "run"), seed, variant)
        return fingerprint(Path(folder, "run"))


@functools.cache
def steps_of_a_run(variant: str = "plain") -> int:
    """The number of steps on the disk that the small run takes."""
    counter = Countdown(at=0, fire=lambda name, path: None)
    with tempfile.TemporaryDirectory() as folder, steps_watched(counter):
        inline(Path(folder, "run"), variant=variant)
    return counter.seen


def fork() -> int:
    """`os.fork`, for children that only run the small run, which idle threads of libraries do not affect."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return os.fork()


def die_at_step(folder: Path, at: int, variant: str = "plain", seed: int = 0) -> bool:
    """Runs the small run in a forked process that dies at a step on the disk; returns whether it died."""
    child = fork()
    if child == 0:
        with steps_watched(Countdown(at=at, fire=lambda name, path: os._exit(DEAD_STATUS))):
            inline(folder, seed, variant)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, DEAD_STATUS), f"the run ended with status {status}"
    return status == DEAD_STATUS


def no_bad_instant(seed: int, folder: Path, variant: str = "plain") -> None:
    """The process dies at one step of one durable write; the resumed run ends as if nothing had happened."""
    died = die_at_step(folder, variant=variant, at=seed + 1)
    steps = steps_of_a_run(variant)
    assert died == (seed + 1 <= steps), f"step {seed + 1} of {steps}: died is {died}"
    inline(folder, variant=variant)
    assert fingerprint(folder) == undisturbed(0, variant)


def killed_at_any_step(seed: int, folder: Path) -> None:
    """The process is killed at a step on the disk, and so is the one that resumes the run, if it gets that far.

    The third one trains nothing whose result was sealed, and ends with the same bits as an undisturbed run.
    The seed chooses the variant, the run and the steps.
    """
    rng, run_seed = random.Random(seed), seed // 10 % 5
    variant = "rich" if seed % 10 == 0 else ("plain", "steady")[seed % 2]  # a rich run takes ten times as long
    for _ in range(2):
        at = rng.randint(1, steps_of_a_run(variant))
        child = fork()
        if child == 0:
            with steps_watched(Countdown(at=at, fire=lambda name, path: os.kill(os.getpid(), signal.SIGKILL))):
                inline(folder, run_seed, variant)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)
    run = RunDirectory(folder)
    sealed = {path.stem for path in run.job_files() if find_result(run, JobKey(path.stem)) is not None}
    workers = InlineWorkers(run)
    run.lock()
    try:
        go_on(run, workers, NoSignals(), seed=run_seed, variant=variant, warn=lambda warning: None)
    finally:
        run.unlock()
    assert not sealed & {job.key for job in workers.started}, "a finished training was trained again"
    assert fingerprint(folder) == undisturbed(run_seed, variant)


def power_loss(seed: int, folder: Path, variant: str = "plain") -> None:
    """Power fails at a random step, up to twice; the disk keeps what was fsynced, and anything else by chance."""
    rng = random.Random(seed)
    current = folder / "0"
    for number in range(rng.randint(1, 2)):
        disk = PowerLossDisk(current)
        lost = folder / str(number + 1)

        def fail(name: str, path: str, disk: PowerLossDisk = disk, lost: Path = lost) -> None:
            disk.image(lost, rng)
            raise Dead

        countdown = Countdown(at=rng.randint(1, steps_of_a_run(variant)), fire=fail)

        def before(
            name: str, path: str, disk: PowerLossDisk = disk, lost: Path = lost, countdown: Countdown = countdown
        ) -> None:
            disk.before(name, path)
            if not lost.exists():
                countdown(name, path)

        current.mkdir(parents=True, exist_ok=True)
        disk.adopt()
        try:
            with steps_watched(before, disk.after):
                inline(current, variant=variant)
        except Dead:
            current = lost
        except RunFault as fault:  # the second failure may come while the first is audited
            raise AssertionError(str(fault)) from fault
    try:
        inline(current, variant=variant)
    except InputError as refusal:
        raise AssertionError(f"refused to go on: {refusal}") from refusal
    assert fingerprint(current) == undisturbed(0, variant)


def damage_is_found(seed: int, folder: Path, variant: str = "plain") -> None:
    """One file of a run has a bit flipped, is truncated or zeroed; it is set aside with one warning and made again."""
    rng = random.Random(seed)
    die_at_step(folder, variant=variant, at=rng.randint(steps_of_a_run(variant) // 8, steps_of_a_run(variant) + 40))
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".") and path.stat().st_size
    )
    path = rng.choice(files)
    # The history and the best model are written anew in any case, and so are weights that no result seals.
    results = [json.loads(job.read_text())["content"] for job in folder.glob("results/jobs/*.json")]
    sealed_weights = [folder / result["weights"] for result in results]
    # An individual's weights may be a link to those that a training left: both are damaged then.
    path = next((each for each in sealed_weights if each.exists() and each.samefile(path)), path)
    is_derived = path.name == "history.csv" or path.parent.name == "best_model"
    is_derived |= path.name == "best_model.pt" and path not in sealed_weights
    whole = path.read_bytes()
    damaged = _damage(whole, rng)
    path.write_bytes(damaged)
    warnings: list[str] = []
    only_state = path.name == "ga_state.json" and len(RunDirectory(folder).states()) == 1
    if only_state and not _same_json(whole, damaged):
        try:
            inline(folder, variant=variant, warn=warnings.append)
        except InputError as refusal:
            assert "--overwrite" in str(refusal)
            assert path.read_bytes() == damaged, "a refused state was touched"
            return
        raise AssertionError("a fresh start in place of a damaged run")
    inline(folder, variant=variant, warn=warnings.append)
    assert fingerprint(folder) == undisturbed(0, variant)
    if not is_derived and not _same_json(whole, damaged):
        assert len(warnings) == 1, f"{path}: warnings are {warnings}"
        assert str(path) in warnings[0]
        asides = list(path.parent.glob(f"{path.name}*.damaged"))
        assert [aside.read_bytes() for aside in asides] == [damaged]
    else:
        assert not warnings


def _damage(content: bytes, rng: random.Random) -> bytes:
    """The content with a flipped bit, truncated, or with a stretch of zeros; never unchanged."""
    position = rng.randrange(len(content))
    kind = rng.choice(["flip", "truncate", "zero"])
    if kind == "truncate":
        return content[:position]
    if kind == "zero":
        return content[:position] + bytes(len(content) - position) if any(content[position:]) else content[:position]
    return content[:position] + bytes([content[position] ^ (1 << rng.randrange(8))]) + content[position + 1 :]


def _same_json(first: bytes, second: bytes) -> bool:
    """Whether two texts contain the same JSON: a damaged space between two values makes no difference."""
    try:
        return bool(json.loads(first) == json.loads(second))
    except ValueError:
        return first == second


def full_disk(seed: int, folder: Path, variant: str = "plain") -> None:
    """The disk is full from one step on; the run stops and names the path, and continues once there is room."""
    disk = FullDisk(at=seed + 1)
    try:
        with steps_watched(disk):
            inline(folder, variant=variant)
    except RunFault as fault:
        assert re.search(rf"cannot write {folder}\S*: No space left", str(fault)), str(fault)
    except InputError as refusal:
        assert "No space left" in str(refusal)
    else:
        assert not disk.paths, "the run went on with a full disk"
    inline(folder, variant=variant)
    assert fingerprint(folder) == undisturbed(0, variant)


def file_size_limit(seed: int, folder: Path, variant: str = "plain") -> None:
    """The same with the operating system's own limit on the size of files (EFBIG)."""
    limit = random.Random(seed).randrange(64, 60_000)
    child = fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            inline(folder, variant=variant)
        except RunFault as fault:
            os._exit(4 if "File too large" in str(fault) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 4)
    inline(folder, variant=variant)
    assert fingerprint(folder) == undisturbed(0, variant)


class Watcher:
    """An observer that records what it is told, with the time."""

    def __init__(self) -> None:
        self.events: list[tuple[float, str, str]] = []
        self.results: list[TrainingResult] = []

    def job_started(self, slot: str, attempt: Any) -> None:
        self.events.append((time.monotonic(), "started", slot))

    def job_progress(self, slot: str, attempt: Any, progress: Mapping[str, Any]) -> None:
        self.events.append((time.monotonic(), "progress", slot))

    def job_retried(self, slot: str, attempt: Any, status: str, reason: str) -> None:
        self.events.append((time.monotonic(), status, slot))

    def job_ended(self, slot: str, attempt: Any, result: TrainingResult) -> None:
        self.events.append((time.monotonic(), "ended", slot))
        self.results.append(result)


@contextmanager
def workers_of(run: RunDirectory, count: int, delay: float, **options: Any) -> Iterator[WorkerManager]:
    """Real worker processes for the small run."""
    setup = {"root": str(run.root), "starts": str(run.root / "starts"), "delay": delay}

    def task(attempt: Any) -> dict[str, Any]:
        return {"micro_batch": attempt.micro_batch, "weights": run.relative(run.weights(attempt.name))}

    slots = [Slot(name=f"cpu {number}") for number in range(count)]
    with WorkerManager(slots, options.pop("trainer", TRAINER), setup, task=task, **options) as workers:
        yield workers


def dead_worker(seed: int, folder: Path, variant: str = "plain") -> None:
    """A worker is killed while it starts, receives, trains or sends; the run ends as if it had not been killed."""
    rng = random.Random(seed)
    run = RunDirectory(folder)
    killed: list[tuple[float, int]] = []

    def kill(delays: Sequence[float]) -> None:
        for delay in delays:
            time.sleep(delay)
            if workers := [child for child in children_of(os.getpid()) if child not in before]:
                victim = rng.choice(workers)
                os.kill(victim, signal.SIGKILL)
                killed.append((time.monotonic(), victim))

    before = set(children_of(os.getpid()))
    killer = threading.Thread(target=kill, args=([rng.random() * 0.4 for _ in range(rng.randint(1, 2))],))
    killer.start()
    with workers_of(run, 2, delay=0.05) as workers:
        go_on(run, workers, NoSignals(), variant=variant, limits=Limits(max_retries=5, min_free_disk=0.0))
        killer.join()
    assert fingerprint(folder) == undisturbed(0, variant)
    starts = len(list((folder / "starts").iterdir()))
    assert starts <= len(list(run.jobs.iterdir())) + len(killed)


def noticed_at_once(seed: int, folder: Path) -> None:
    """A worker that is killed in the middle of a long training is replaced within two seconds."""
    from records import TrainingConfig

    before = set(children_of(os.getpid()))
    watcher, queue = Watcher(), JobQueue(max_retries=0)
    queue.add(
        TrainingJob(phenotype=NetworkText("sleep"), protocol=TrainingConfig(), data_fingerprint=""), name="x", work=1.0
    )
    moment: list[float] = []

    def kill() -> None:
        while not watcher.events:
            time.sleep(0.005)
        time.sleep(random.Random(seed).random() * 0.2)
        (victim,) = set(children_of(os.getpid())) - before
        moment.append(time.monotonic())
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with workers_of(RunDirectory(folder), 1, 0.0, trainer="tests.trainers:start") as workers:
        workers.run(queue, watcher)
    killer.join()
    assert [result.status for result in watcher.results] == ["crashed"]
    assert watcher.events[-1][0] - moment[0] < NOTICE_SECONDS


def stopped_worker(seed: int, folder: Path, variant: str = "plain") -> None:
    """A worker that is stopped (SIGSTOP) is ended, as nothing is heard of it, and its job is retried."""
    rng = random.Random(seed)
    run = RunDirectory(folder)
    before = set(children_of(os.getpid()))

    def freeze() -> None:
        # Stopped from its first training on: the limit is one for trainings.
        while not list((folder / "starts").glob("*")):
            time.sleep(0.005)
        time.sleep(rng.random() * 0.05)
        os.kill(rng.choice(sorted(set(children_of(os.getpid())) - before)), signal.SIGSTOP)

    stopper = threading.Thread(target=freeze)
    stopper.start()
    with workers_of(run, 2, delay=0.1, job_timeout=JobTimeout(least=0.6)) as workers:
        go_on(run, workers, NoSignals(), variant=variant, limits=Limits(max_retries=5, min_free_disk=0.0))
    stopper.join()
    assert fingerprint(folder) == undisturbed(0, variant)


def suspended_run(seed: int, folder: Path, variant: str = "plain") -> None:
    """A run is suspended with all its workers, up to three times, for longer than a worker may be silent.

    Nothing is timed out: each job is started once.
    """
    rng, mark, least = random.Random(seed), uuid.uuid4().hex, 1.5
    options = ("--variant", variant, "--delay", "0.3", "--least", str(least), "--workers", str(rng.randint(1, 3)))
    main = start_small_run(folder, *options, mark=mark)
    while not list((folder / "starts").glob("*")) and main.poll() is None:
        time.sleep(0.01)
    for _ in range(rng.randint(1, 3)):
        time.sleep(rng.random() * 0.5)
        processes = _marked(mark)
        rng.shuffle(processes)
        for sent in (signal.SIGSTOP, signal.SIGCONT):
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, sent)
            time.sleep(rng.uniform(1.2, 2.0) * least if sent == signal.SIGSTOP else 0)
    _, said = main.communicate(timeout=60)
    assert (main.returncode, said) == (0, "")
    assert fingerprint(folder) == undisturbed(0, variant)
    starts, jobs = len(list((folder / "starts").iterdir())), len(list((folder / "results" / "jobs").iterdir()))
    assert starts == jobs


RETRIES = ("SIGKILL", "SIGSTOP", "memory", "diverge", "raise", "exit", "spin", "damaged result", "missing weights")


def order_after_a_retry(seed: int, folder: Path, variant: str = "steady") -> None:
    """On one worker a training is tried again, for any reason: order and chromosomes are as without it."""
    rng, way, run_seed = random.Random(seed), RETRIES[seed % len(RETRIES)], seed // len(RETRIES)
    run, plain = RunDirectory(folder), folder.with_name(folder.name + "_plain")
    expected = inline(plain, run_seed, variant)
    key = rng.choice(sorted(expected.results))
    folder.mkdir(parents=True)
    disturber = threading.Thread(target=_disturb, args=(folder, key, way, set(children_of(os.getpid()))))
    if way in ("damaged result", "missing weights"):
        die_at_step(folder, rng.randint(steps_of_a_run(variant) // 8, steps_of_a_run(variant)), variant, run_seed)
        files = sorted(run.jobs.glob("*.json") if way == "damaged result" else run.results.glob("gen*/*/*.pt"))
        for path in rng.sample(files, min(1, len(files))):
            path.write_bytes(b"{")
    elif way in ("SIGKILL", "SIGSTOP"):
        disturber.start()
    else:
        bad = {"key": key, "way": way, "place": rng.choice(BAD_PLACES), "tries": rng.randint(1, 2)}
        (folder / "bad.json").write_text(json.dumps(bad))
    with workers_of(run, 1, delay=0.05, job_timeout=JobTimeout(least=0.5)) as workers:
        state = go_on(run, workers, NoSignals(), seed=run_seed, variant=variant, warn=lambda warning: None)
    if disturber.ident is not None:
        disturber.join()
    assert state.order == expected.order
    assert [each.individuals for each in state.generations] == [each.individuals for each in expected.generations]
    if way != "memory":  # which makes the pieces of a batch smaller, and results tell
        assert fingerprint(folder) == fingerprint(plain)


def _disturb(folder: Path, key: str, way: str, others: set[int]) -> None:
    """Sends a signal to the one worker of this process as soon as it has begun with a job."""
    while not list((folder / "starts").glob(f"{key}.*")):
        time.sleep(0.001)
    (worker,) = set(children_of(os.getpid())) - others
    os.kill(worker, signal.Signals[way])


def _marked(mark: str) -> list[int]:
    """The processes with a mark in their environment, except zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (entry / "environ").read_bytes() and is_alive(int(entry.name)):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def start_small_run(folder: Path, *arguments: str, mark: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.small_run", str(folder), *arguments]
    environment = {**os.environ, "SMALL_RUN_MARK": mark}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )


def no_orphans(seed: int, folder: Path, variant: str = "plain") -> None:
    """The main process ends in one of five ways at any time; two seconds later no process of the run is left."""
    rng = random.Random(seed)
    mark = uuid.uuid4().hex
    main = start_small_run(folder, "--variant", variant, "--delay", "5", "--workers", "3", mark=mark)
    if rng.random() < 0.7:  # around the moment at which workers are spawned
        while not list(folder.glob("checkpoints/generation_0/ga_state.json")) and main.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.25)
    else:
        time.sleep(rng.random() * 2)
    way = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)[seed % 5]
    main.send_signal(way)
    if seed % 5 == 4:  # Ctrl-C twice
        time.sleep(rng.random() * 0.05)
        main.send_signal(signal.SIGINT)
    main.communicate(timeout=60)
    deadline = time.monotonic() + NOTICE_SECONDS
    while _marked(mark) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _marked(mark), f"left over after {way}"


def wait_until_caught(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Waits until a process has a handler for a signal: until its first lines have been run."""
    caught = 0
    while not caught >> (number - 1) & 1 and process.poll() is None:
        time.sleep(0.001)
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)


def tell_all(mark: str, number: signal.Signals) -> None:
    """Sends a signal to every process of a run, as schedulers do."""
    for process in _marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def stopped_in_order(seed: int, folder: Path, variant: str = "plain") -> None:
    """A signal that stops the program reaches all processes of a run at any time, some of them twice.

    The run ends with status 3 and one line, or it was over; going on, it ends as if nothing had happened.
    """
    rng, mark, number = random.Random(seed), uuid.uuid4().hex, STOP_SIGNALS[seed % len(STOP_SIGNALS)]
    main = start_small_run(folder, "--variant", variant, "--delay", "0.2", mark=mark)
    wait_until_caught(main, number)
    time.sleep(rng.random() * 2.5)
    for _ in range(rng.randint(1, 2)):
        tell_all(mark, number)
        time.sleep(rng.random() * 0.05)
    _, said = main.communicate(timeout=60)
    assert (main.returncode, said) in ((3, f"stopped by {number.name}\n"), (0, "")), (main.returncode, said)
    assert not alive_after(_marked(mark), NOTICE_SECONDS)
    inline(folder, variant=variant)
    assert fingerprint(folder) == undisturbed(0, variant)


def ignored_signals(seed: int, folder: Path, variant: str = "plain") -> None:
    """A signal that was ignored when the run was started, as by nohup, is sent to all its processes again and again."""
    mark, number = uuid.uuid4().hex, STOP_SIGNALS[seed % len(STOP_SIGNALS)]
    before = signal.signal(number, signal.SIG_IGN)
    try:
        main = start_small_run(folder, "--variant", variant, "--delay", "0.1", mark=mark)
    finally:
        signal.signal(number, before)
    while main.poll() is None:
        tell_all(mark, number)
        time.sleep(0.05)
    assert main.communicate()[1] == ""
    assert main.returncode == 0
    assert fingerprint(folder) == undisturbed(0, variant)


@functools.cache
def commands() -> tuple[tuple[str, ...], ...]:
    """A command line for each of the five programs, on files in a folder that is kept until this process ends."""
    folder = Path(_KEPT.name)
    shutil.copytree(ROOT / "tests" / "contract" / "runs" / "v0_1_0", folder / "run")
    network = ("--chromosome", "0110010110110011010", "--dataset", "digits")
    train = ("train_model.py", *network, "--train_limit", "100", "--epochs", "1", "--model_path", f"{folder}/model.pt")
    subprocess.run([sys.executable, *train], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return (
        ("evolution.py", "--plan", "--dataset", "digits", "--cpu_workers", "1"),
        ("evaluate.py", "--model_path", f"{folder}/model.pt", *network),
        train,
        ("report.py", "--resume", f"{folder}/run", "--figures"),
        ("plots.py", "--chromosome", "0110010110110011010", "--out", f"{folder}/network.svg"),
    )


_KEPT = tempfile.TemporaryDirectory(prefix="commands_")


def stopped_command(seed: int, folder: Path) -> None:
    """Any of the five programs is sent a signal at any time; it ends with status 3 and one line, or was done."""
    rng, number, command = random.Random(seed), STOP_SIGNALS[seed // 5 % len(STOP_SIGNALS)], commands()[seed % 5]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_until_caught(process, number)
    time.sleep(rng.random() ** 2 * 8)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    stopped = re.fullmatch(rf"stopped by {number.name}(; a plan writes nothing)?\n", said)
    assert (process.returncode, bool(stopped)) == (3, True) or (process.returncode, said) == (0, ""), (command, said)


def order_changes_nothing(seed: int, folder: Path, variant: str = "plain") -> None:
    """1, 2, 3 and 8 workers with random delays: the outcome depends on the seed alone."""
    run_seed, count = seed // 4, (1, 2, 3, 8)[seed % 4]
    run = RunDirectory(folder)
    with workers_of(run, count, delay=0.03) as workers:
        go_on(run, workers, NoSignals(), variant=variant, seed=run_seed)
    assert fingerprint(folder) == undisturbed(run_seed, variant)


BAD_WAYS = ("memory", "diverge", "raise", "spin", "exit")
BAD_PLACES = ("build", "first batch", "validation", "saving")


def bad_individual(seed: int, folder: Path, variant: str = "plain") -> None:
    """One network fails in one way at one place; only this network is lost, after the configured number of tries."""
    way, place = BAD_WAYS[seed % len(BAD_WAYS)], BAD_PLACES[seed // len(BAD_WAYS) % len(BAD_PLACES)]
    retries = random.Random(seed).randint(0, 2)
    run, plain = RunDirectory(folder / "run"), folder / "plain"
    inline(plain, variant=variant)
    victim = load_state(plain)[1].generations[0].best
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "bad.json").write_text(json.dumps({"key": victim.jobs[0], "way": way, "place": place}))
    shown: list[str] = []
    timeout = JobTimeout(seconds=0.5) if way == "spin" else AUTO
    with workers_of(run, 2, delay=0.0, job_timeout=timeout) as workers:
        state = go_on(
            run,
            workers,
            NoSignals(),
            variant=variant,
            limits=Limits(max_retries=retries, min_free_disk=0.0),
            warn=shown.append,
            say=shown.append,
        )
    starts = [path for path in (run.root / "starts").iterdir() if path.name.startswith(victim.jobs[0])]
    assert len(starts) == 1 + retries
    failed = next(each for each in state.generations[0].individuals if each.index == victim.index)
    status = {
        "memory": "out_of_memory",
        "diverge": "diverged",
        "raise": "error",
        "spin": "timed_out",
        "exit": "crashed",
    }[way]
    assert failed.fitness is None
    assert str(failed.failure).startswith(status)
    info = read_info(run.individual(failed.name) / "info.json")
    assert info.result is not None
    assert (info.result.status, info.result.cost.attempts) == (status, 1 + retries)
    assert str(failed.failure) in run.history.read_text().replace('""', '"')
    assert any(failed.name in line and status in line for line in shown)
    first = victim.jobs[0]
    others = [each for generation in state.generations for each in generation.individuals if each.jobs[0] != first]
    assert all(each.fitness is not None for each in others)
    assert all(generation.best.jobs[0] != first for generation in state.generations)
    assert len(state.generations) == state.search.generations


def failed_generation(seed: int, folder: Path, variant: str = "plain") -> None:
    """All trainings of a generation fail: the run stops with the most common reason, and can be resumed."""
    run = RunDirectory(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bad.json").write_text(json.dumps({"key": "", "way": "raise", "place": BAD_PLACES[seed % 4]}))
    try:
        with workers_of(run, 2, delay=0.0) as workers:
            go_on(run, workers, NoSignals(), variant=variant, limits=Limits(max_retries=seed % 3, min_free_disk=0.0))
    except RunFault as fault:
        count = VARIANTS[variant]["population"]
        assert f"all {count} trainings of generation 1 failed" in str(fault)
        assert "ValueError: this network cannot be trained" in str(fault)
    else:
        raise AssertionError("the run went on after a whole generation had failed")
    (folder / "bad.json").unlink()
    with workers_of(run, 2, delay=0.0) as workers:
        go_on(run, workers, NoSignals(), variant=variant)
    assert fingerprint(folder) == undisturbed(0, variant)


def one_run_per_folder(seed: int, folder: Path, starts: int = 50) -> None:
    """Many processes start in one folder: one runs, and the others name it; when it is killed, the folder is free."""
    processes = [start_small_run(folder, "--delay", "60", "--workers", "1") for _ in range(starts)]
    deadline = time.monotonic() + 120
    while sum(process.poll() is not None for process in processes) < starts - 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    running = [process for process in processes if process.poll() is None]
    assert len(running) == 1
    for process in processes:
        if process is not running[0]:
            _, err = process.communicate()
            assert process.returncode == 2, err
            assert f"in use by process {running[0].pid} on " in err
    running[0].kill()
    running[0].communicate()
    run = RunDirectory(folder)
    run.lock()
    run.unlock()


def moved_run(seed: int, folder: Path, variant: str = "plain") -> None:
    """A run that was interrupted continues in a copy of its folder, and from its state file alone."""
    rng = random.Random(seed)
    first = folder / "first"
    die_at_step(first, variant=variant, at=rng.randint(steps_of_a_run(variant) // 3, steps_of_a_run(variant)))
    copied = copy_of(first, folder / "copied")
    inline(copied, variant=variant)
    assert fingerprint(copied) == undisturbed(0, variant)
    _, state_path = RunDirectory(first).states()[0]
    alone = folder / "alone"
    alone.mkdir()
    (alone / "ga_state.json").write_bytes(state_path.read_bytes())
    run, state = load_state(alone / "ga_state.json")
    workers = InlineWorkers(run)
    go_on(run, workers, NoSignals(), variant=variant, state=state)
    assert fingerprint(alone) == undisturbed(0, variant)
    done = {key for each in state.generations for one in each.individuals for key in one.jobs}
    final = load_state(alone)[1]
    distinct = {key for each in final.generations for one in each.individuals for key in one.jobs}
    # Beyond what was still to train, at most the best network: its weights turned out to be needed.
    assert workers.starts <= len(distinct - done) + 1


def runs_for_ever(seed: int, folder: Path, jobs: int = 5000) -> None:
    """The memory, descriptors, processes and threads of a long run stay as they were after 200 jobs."""
    from records import TrainingConfig

    def usage(processes: Sequence[int]) -> dict[str, int]:
        status = [Path(f"/proc/{process}/status").read_text(encoding="utf-8") for process in processes]
        return {
            "kB": sum(int(text.split("VmRSS:")[1].split()[0]) for text in status),
            "threads": sum(int(text.split("Threads:")[1].split()[0]) for text in status),
            "descriptors": sum(len(os.listdir(f"/proc/{process}/fd")) for process in processes),
            "processes": len(processes),
        }

    protocol = TrainingConfig()
    before = set(children_of(os.getpid()))
    with workers_of(RunDirectory(folder), 2, 0.0, trainer="tests.trainers:start") as workers:
        time.sleep(2)  # until both have started
        measured: list[dict[str, int]] = []
        for start in (0, *range(200, jobs, max(1, (jobs - 200) // 4))):
            queue = JobQueue()
            for number in range(start, start + (200 if start == 0 else max(1, (jobs - 200) // 4))):
                # One in fifty crashes, so that replaced workers are counted, too.
                word = "exit" if start and number % 50 == 49 else "ok"
                job = TrainingJob(phenotype=NetworkText(f"{word} {number}"), protocol=protocol, data_fingerprint="")
                queue.add(job, name="x", work=2.0 if word == "exit" else 1.0)
            workers.run(queue, Watcher())
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                # A worker that replaces a crashed one may still be starting.
                now = usage([os.getpid(), *sorted(set(children_of(os.getpid())) - before)])
                if not measured or {**measured[0], "kB": 0} == {**now, "kB": 0}:
                    break
                time.sleep(0.05)
            measured.append(now)
    first, last = measured[0], measured[-1]
    assert {**last, "kB": 0} == {**first, "kB": 0}, measured
    assert last["kB"] < 1.1 * first["kB"] + 4096, measured


REAL = ["--dataset", "digits", "--train_limit", "200", "--epochs", "2", "--batch_size", "32", "--population", "4"]
REAL += ["--generations", "2", "--elitism", "1", "--cpu_workers", "2", "--min_free_disk", "0", "--max_retries", "9"]


def start_real_run(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "evolution.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


@functools.cache
def undisturbed_real() -> tuple[str, float]:
    """The fingerprint of a run with real trainings, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        clock = time.monotonic()
        out, _ = (main := start_real_run(*REAL, "--output_dir", f"{folder}/run")).communicate()
        assert main.returncode == 0, out
        return fingerprint(Path(folder, "run")), time.monotonic() - clock


def kill_anything(seed: int, folder: Path) -> None:
    """With real trainings, the main process or a worker is killed up to three times; the end is the same to the bit."""
    expected, seconds = undisturbed_real()
    rng = random.Random(seed)
    kills = rng.randint(1, 3)
    main = start_real_run(*REAL, "--output_dir", str(folder))
    for _ in range(kills):
        try:
            main.wait(rng.random() * seconds)
            break  # it ended before the next kill
        except subprocess.TimeoutExpired:
            workers = children_of(main.pid)
        if workers and rng.random() < 0.5:
            os.kill(rng.choice(workers), signal.SIGKILL)
            continue
        main.kill()
        main.communicate()
        assert not alive_after(workers, NOTICE_SECONDS)
        has_state = bool(RunDirectory(folder).states())
        where = ["--resume", str(folder), *REAL[-6:]] if has_state else [*REAL, "--output_dir", str(folder)]
        main = start_real_run(*where)
    out, _ = main.communicate()
    assert main.returncode == 0, out
    assert fingerprint(folder) == expected
    kept = {path.name for path in (folder / "results" / "jobs").iterdir()}
    _, state = load_state(folder)
    assert kept == {f"{key}.json" for key in state.results}


def kill_main_or_worker(seed: int, folder: Path, variant: str = "plain") -> None:
    """The same while trainings are counted: no finished training is started again."""
    rng = random.Random(seed)
    kills, workers, status = rng.randint(1, 3), rng.choice([1, 2, 3]), None
    for number in range(kills + 1):
        main = start_small_run(folder, "--variant", variant, "--workers", str(workers), "--delay", "0.1")
        try:
            status = main.wait(rng.random() * (2.5 if variant == "plain" else 6.0) if number < kills else None)
            break
        except subprocess.TimeoutExpired:
            main.kill()
        finally:
            main.communicate()
    assert status == 0
    assert fingerprint(folder) == undisturbed(0, variant)
    starts, jobs = len(list((folder / "starts").iterdir())), len(list((folder / "results" / "jobs").iterdir()))
    assert starts <= jobs + workers * kills


def recorded_order(folder: Path) -> list[str]:
    """The order of results of a steady-state run, as recorded on disk."""
    run = RunDirectory(folder)
    if not run.states():
        return []
    _, state = load_state(folder)
    return [*state.order, *(each.name for each in read_progress(run, state).taken)]


def kill_and_replay(seed: int, folder: Path, variant: str = "steady") -> None:
    """The main process of a steady-state run is killed repeatedly.

    The recorded order of results is kept, no finished training is started again, and the run ends like
    an uninterrupted run that took the results in the same order.
    """
    rng = random.Random(seed)
    kills, workers, before = rng.randint(1, 3), rng.choice([1, 2, 3]), list[str]()
    for number in range(kills + 1):
        main = start_small_run(folder, "--variant", variant, "--workers", str(workers), "--delay", "0.1")
        results = len(list(folder.glob("results/jobs/*.json"))) + rng.randint(1, 5)
        while number < kills and main.poll() is None and len(list(folder.glob("results/jobs/*.json"))) < results:
            time.sleep(0.005)
        if number < kills:
            main.kill()
        main.communicate()
        status = main.returncode
        if status == 0:
            break
        order = recorded_order(folder)
        assert order[: len(before)] == before
        before = order
    assert status == 0
    order = recorded_order(folder)
    assert order[: len(before)] == before
    starts, jobs = len(list((folder / "starts").iterdir())), len(list((folder / "results" / "jobs").iterdir()))
    assert starts <= jobs + workers * kills
    whole = folder.with_name(folder.name + "_whole")
    in_order(RunDirectory(whole), order, workers, variant)
    assert fingerprint(whole) == fingerprint(folder)


@dataclass(frozen=True)
class Promise:
    """A row of the table: its number, description, test function, and counts.

    With `variant` "rich" it is tested on a run with halving, the predictor and two objectives; with
    "steady" on a steady-state run, with one worker where the results must be the same to the bit.
    """

    number: int
    words: str
    case: Callable[..., None]
    full: int
    quick: int
    in_order: bool = False  # seeds are 0, 1, 2 … in place of random ones
    variant: str = "plain"

    @property
    def name(self) -> str:
        return self.case.__name__ + ("" if self.variant == "plain" else f"_{self.variant}")

    @property
    def full_count(self) -> int:
        """The full count; 0 in the table means every step on the disk, and one more."""
        return self.full or steps_of_a_run(self.variant) + 1

    def hold(self, seed: int, folder: Path) -> None:
        """Runs one case; raises if the promise is broken."""
        if self.variant == "plain":
            self.case(seed, folder)
        else:
            self.case(seed, folder, variant=self.variant)


PROMISES = [
    Promise(1, "kill anything, resume to the same bits", kill_anything, 200, 2),
    Promise(1, "kill anything, train nothing twice", kill_main_or_worker, 200, 3),
    Promise(23, "kill anything at a step on the disk, twice", killed_at_any_step, 5000, 12, in_order=True),
    Promise(2, "no bad instant exists", no_bad_instant, 0, 20, in_order=True),
    Promise(3, "power loss", power_loss, 1000, 20),
    Promise(4, "damage is found", damage_is_found, 500, 20),
    Promise(5, "a full disk loses nothing", full_disk, 0, 20, in_order=True),
    Promise(5, "a full disk loses nothing (limit on file size)", file_size_limit, 50, 5),
    Promise(6, "a dead worker never hangs the run", dead_worker, 250, 3),
    Promise(6, "a dead worker is noticed within 2 s", noticed_at_once, 50, 2),
    Promise(7, "a stopped worker never hangs the run", stopped_worker, 20, 2),
    Promise(8, "no orphans", no_orphans, 200, 10, in_order=True),
    Promise(9, "order and number of workers change nothing", order_changes_nothing, 80, 4, in_order=True),
    Promise(10, "a bad individual costs one individual", bad_individual, 1000, 20, in_order=True),
    Promise(11, "a whole generation that fails stops the run", failed_generation, 5, 2, in_order=True),
    Promise(12, "one run per folder", one_run_per_folder, 1, 1),
    Promise(15, "moves", moved_run, 3, 3),
    Promise(16, "runs for ever", runs_for_ever, 1, 1),
    Promise(18, "files of others stay as they are", files_of_others, 5000, 24, in_order=True),
    Promise(19, "files that lie are read or refused", files_that_lie, 10_000, 60, in_order=True),
    Promise(21, "a suspended run times nothing out", suspended_run, 40, 1),
    Promise(22, "retries change no order on one worker", order_after_a_retry, 270, 9, True, variant="steady"),
    Promise(20, "a signal stops a run in good order", stopped_in_order, 100, 4, in_order=True),
    Promise(20, "a signal that was ignored at the start stays so", ignored_signals, 60, 1, in_order=True),
    Promise(20, "a signal stops any command in good order", stopped_command, 60, 2),
    Promise(1, "kill anything, train nothing twice", kill_main_or_worker, 50, 1, variant="rich"),
    Promise(2, "no bad instant exists", no_bad_instant, 0, 5, in_order=True, variant="rich"),
    Promise(3, "power loss", power_loss, 200, 4, variant="rich"),
    Promise(4, "damage is found", damage_is_found, 200, 5, variant="rich"),
    Promise(5, "a full disk loses nothing", full_disk, 0, 4, in_order=True, variant="rich"),
    Promise(6, "a dead worker never hangs the run", dead_worker, 50, 2, variant="rich"),
    Promise(9, "order and number of workers change nothing", order_changes_nothing, 40, 3, True, variant="rich"),
    Promise(10, "a bad individual costs one individual", bad_individual, 100, 2, in_order=True, variant="rich"),
    Promise(11, "a whole generation that fails stops the run", failed_generation, 5, 1, True, variant="rich"),
    Promise(15, "moves", moved_run, 3, 1, variant="rich"),
    Promise(1, "kill anything, replay the order of results", kill_and_replay, 200, 2, variant="steady"),
    Promise(2, "no bad instant exists", no_bad_instant, 0, 10, in_order=True, variant="steady"),
    Promise(3, "power loss", power_loss, 200, 4, variant="steady"),
    Promise(4, "damage is found", damage_is_found, 250, 10, variant="steady"),
    Promise(5, "a full disk loses nothing", full_disk, 0, 5, in_order=True, variant="steady"),
]
