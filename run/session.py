"""One session of a run, in a folder that is locked: from opened devices and data to the report.

Whatever imports torch is imported from here, after the folder was locked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from image_data import ImageData, load_image_data
from image_data.catalogue import NAMED_SETS, with_whole_path
from job_queue import JobTimeout
from records import DataConfig, EvolutionConfig, InputError, RunState, TrainingConfig
from records.canonical import VERSION
from records.config_file import config_text
from records.words import counted
from reporting.handout.model_card import model_card
from reporting.pages.report_page import write_sections
from reporting.watcher import Watcher, Watchers
from reporting.watchers.fitness_figure import FitnessFigure
from reporting.watchers.tensorboard_log import TensorBoardLog
from run.ablation import ablate
from run.algorithms import new_search
from run.best_model import hand_over
from run.latency import measure_latency
from run.opened import OpenedRun
from run.opening import earlier_runs
from run.request import Request
from run.scheme import loop_of
from run.stop_signals import StopSignals
from run.trainings import Means
from run.work import Work
from search_space.space import NetworkSpace
from search_space.tables import encoding_of, gene_table, gene_table_text
from storage.adoption import adopt
from storage.audit import audit
from storage.checkpoint import save_state
from storage.directory import RunDirectory
from training.protocol import resolve_protocol
from workers.devices import find_slots
from workers.local import LocalWorkers

if TYPE_CHECKING:
    from workers.ray_cluster import RayWorkers

FEW_STEPS = 4  # of an epoch: too few to learn much in the usual number of epochs


def take_to_its_end(
    request: Request, run: RunDirectory, state: RunState | None, stop: StopSignals, watchers: Iterable[Watcher]
) -> OpenedRun:
    """Begins a run, or goes on with it from a state, until its best network is handed over and its report written."""
    threads = state.training.threads if state else request.new(TrainingConfig).threads
    with open_workers(request, run, threads) as workers:
        data = load_image_data(state.data if state else request.new(DataConfig))
        if state is None:
            state = new_state(request, data, workers)
        else:
            refuse_other_data(data, state)
        reused = earlier_runs(request.reuse, state)
        watcher = Watchers([*watchers, *own_watchers(request, run, state)])
        if request.overwrite:
            adopt(run)
            run.clear()
        audit(run, state.results, lambda warning: watcher.said(warning, always=True))
        run.drop_states_after(state.generation)
        save_state(run, state)
        run.write(run.config, config_text(state.search, state.training, state.data).encode(errors="surrogateescape"))
        workers.hold(data, state.training)
        introduce(state, data, workers, watcher)
        data = data.only_test()  # the workers have the rest, and it is counted once
        device = own_device(request, workers.device)
        latency = partial(
            measure_latency, device=device, precision=state.training.precision, threads=state.training.threads
        )
        means = Means(workers=workers, stop=stop, limits=request.limits, reused=reused, latency=latency)
        try:
            work = Work(run, state, means, watcher)
            loop_of(work).evolve()
            info = hand_over(work, data, device)
            run.hand_out(run.model_card, model_card(info, work.state).encode(errors="replace"))
            ablate(work, info.individual.name)
        finally:
            watcher.run_ended()
    ended = OpenedRun(run, work.state)
    write_sections(ended.view)
    return ended


def refuse_other_data(data: ImageData, state: RunState) -> None:
    """Raises `InputError` unless the data are those that a run began with, whichever rules prepared them."""
    begun = state.facts.preparation
    if replace(data.facts, preparation=begun) == state.facts:
        return
    prints = f"fingerprint {data.fingerprint[:12]}, expected {state.facts.fingerprint[:12]}"
    if data.preparation.version != begun.version and state.data.dataset not in NAMED_SETS:
        raise InputError(
            f"data set {state.data.dataset} is not the one this run began with ({prints}), or is read otherwise: since "
            f"then the rules for pictures have changed (version {begun.version}, now {data.preparation.version}: "
            "orientation, .gif and .jfif, pixels of 32 bits, hidden folders and links within classes, names of "
            "splits); name the right data by --dataset, or start a new run in another --output_dir"
        )
    raise InputError(
        f"data set {state.data.dataset} is not the one this run began with ({prints}); name the right one by --dataset"
    )


def new_state(request: Request, data: ImageData, workers: LocalWorkers | RayWorkers) -> RunState:
    """The state of a run that has not begun: every setting resolved, and the first population."""
    search, config = request.new(EvolutionConfig), request.new(DataConfig)
    config = with_whole_path(config)  # a resumed run may stand elsewhere
    facts, table = data.facts, gene_table_text(gene_table(search.encoding))
    return RunState(
        version=VERSION,
        search=search,
        training=resolve_protocol(
            request.new(TrainingConfig),
            config,
            data.input_shape,
            workers.device == "cuda",
            data.class_counts,
            workers.bfloat16,
        ),
        data=config,
        facts=facts,
        gene_table=table,
        generations=(),
        results={},
        population=tuple(new_search(search, NetworkSpace(encoding_of(facts, table))).ask()),
    )


def open_workers(request: Request, run: RunDirectory, threads: int) -> LocalWorkers | RayWorkers:
    """The workers of this machine, or those of a cluster."""
    wanted, timeout = request.devices, JobTimeout(seconds=request.limits.timeout)
    if wanted.cluster is not None:
        # Imported late: the package Ray need not be there.
        from workers.ray_cluster import RayWorkers
        from workers.ray_inventory import ClusterUse

        use = ClusterUse(threads=threads, cpu_workers=wanted.cpu_workers, workers_per_gpu=wanted.workers_per_gpu or 1)
        return RayWorkers(wanted.cluster, run, use, timeout)
    device, slots = find_slots(wanted.gpus, wanted.cpu_workers, wanted.workers_per_gpu, threads)
    return LocalWorkers(run, device, slots, timeout)


def own_watchers(request: Request, run: RunDirectory, state: RunState) -> list[Watcher]:
    """The watchers that write files of the run, as it was asked for."""
    found: list[Watcher] = [FitnessFigure(run)]
    if request.tensorboard:
        table = encoding_of(state.facts, state.gene_table).table
        found.append(TensorBoardLog(run, table, state.training.measure))
    if request.optuna_study is not None:
        # Imported late: the package Optuna need not be there.
        from reporting.watchers.optuna_study import OptunaStudy

        found.append(OptunaStudy(request.optuna_study, state))
    return found


def own_device(request: Request, kind: str) -> torch.device:
    """The device on which this process measures and evaluates: of the kind that trains, if it has one."""
    if kind == "cuda" and not torch.cuda.is_available():
        kind = "cpu"  # a cluster's main process may run on a node without a GPU
    gpus = request.devices.gpus
    return torch.device(kind, gpus[0]) if gpus else torch.device(kind)


def introduce(state: RunState, data: ImageData, workers: LocalWorkers | RayWorkers, watcher: Watcher) -> None:
    """Says what is trained on, and where."""
    facts = state.facts
    channels, height, width = facts.input_shape
    watcher.said(
        f"data set {state.data.dataset}: {facts.train_images:,} training, {facts.val_images:,} validation and "
        f"{facts.test_images:,} test images of {height}×{width}×{channels} in {len(facts.class_names)} classes; "
        f"{counted(len(workers.slots), 'worker')} on {workers.where}"
    )
    for note in (*data.notes, *data_notes(state, data)):
        watcher.said(f"note: {note}")


def data_notes(state: RunState, data: ImageData) -> list[str]:
    """What a person should know of how these data are trained on."""
    images, batch, notes = state.facts.train_images, state.training.batch_size, list[str]()
    if state.training.metric == "balanced_accuracy":
        counts = data.class_counts
        notes.append(
            f"classes have {min(counts):,} to {max(counts):,} training images; fitness is the balanced accuracy, the "
            "mean over classes of the share that is found (--metric accuracy for the share of all images)"
        )
    if images < FEW_STEPS * batch:
        steps = max(1, images // batch)
        notes.append(
            f"an epoch of {images:,} images is {counted(steps, 'step')} of {min(batch, images)}; a smaller "
            "--batch_size or more --epochs train for more"
        )
    return notes
