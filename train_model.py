"""Trains one job on one device and returns its result. Also a command that trains one network and prints its epochs."""

from __future__ import annotations

if __name__ == "__main__":
    from stopping.memory import end_without_memory
    from stopping.signals import quit_on_signals

    quit_on_signals()  # while the imports below take their time
    end_without_memory(needs_torch=True)

import argparse
import hashlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from image_data import load_image_data
from image_data.catalogue import DATA_HELP, with_whole_path
from image_data.tensors import TrainingData, to_device
from model_generator import build_model, weights_bytes
from records import DataConfig, Individual, InputError, TrainingConfig, TrainingJob, TrainingResult
from records.canonical import VERSION, to_json
from records.command_line import DONE, ERROR, run_command
from records.costs import Cost, Energy
from records.errors import TrainingFailure
from records.flags import Parser, add_settings, given
from records.runs import DataFacts, ModelInfo
from records.texts import Chromosome
from records.trainings import Epoch
from search_space.architecture import architecture_of
from search_space.cost import model_cost
from search_space.encoding import Encoding
from search_space.tables import gene_table, refuse_coded
from storage.files import check_writable, sealed
from storage.own_files import OwnFiles
from storage.results import INFO
from training.device import energy_counter, gpu_uuid, hardware_name, peak_memory, prepare_device, reset_peak_memory
from training.loop import TrainingLoop, capture_cuda_graph
from training.metrics import accuracy_and_loss, balanced_accuracy, predict
from training.protocol import resolve_protocol
from training.worker import Report

INFO_NAME = "info.json"


def train_model(
    job: TrainingJob,
    data: TrainingData,
    device: torch.device,
    micro_batch: int | None = None,
    report: Report | None = None,
) -> tuple[TrainingResult, nn.Module]:
    """Trains the network of a job; returns its result and the trained module, in evaluation mode.

    `micro_batch` overrides that of the protocol when a first try ran out of memory. `report` is
    called after each epoch, and within long ones. Raises `TrainingFailure` for a loss that is not
    finite ("diverged") or too little memory ("out_of_memory").
    """
    gpu = gpu_uuid(device)
    before = energy_counter(gpu) if gpu else None
    micro_batch = micro_batch or job.protocol.micro_batch or job.protocol.batch_size
    try:
        result, model = _train(job, data, device, micro_batch, report)
    except torch.OutOfMemoryError as error:
        raise TrainingFailure("out_of_memory", str(error).splitlines()[0]) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            raise TrainingFailure("out_of_memory", str(error).splitlines()[0]) from error
        raise
    if gpu and before is not None and (after := energy_counter(gpu)) is not None:
        energy = Energy(gpu=gpu, before=before, after=after)
        result = replace(result, cost=replace(result.cost, energy=energy))
    return result, model


def _train(
    job: TrainingJob, data: TrainingData, device: torch.device, micro_batch: int, report: Report | None
) -> tuple[TrainingResult, nn.Module]:
    protocol, architecture = job.protocol, architecture_of(job.phenotype)
    started, clock = time.time(), time.perf_counter()
    reset_peak_memory(device)
    torch.manual_seed(job.seed)
    model = build_model(architecture, data.mean, data.std).to(device).to(memory_format=torch.channels_last)
    if protocol.compile == "on":
        model.compile()
    capture = capture_cuda_graph if device.type == "cuda" else None
    loop = TrainingLoop(protocol, model, data.for_training(job.split), micro_batch, job.seed, capture)
    epochs, rate = _run_epochs(job, data, loop, report)
    cost = model_cost(architecture)
    return TrainingResult(
        key=job.key,
        status="done",
        epochs=epochs,
        parameters=cost.parameters,
        flops=cost.flops,
        micro_batch=micro_batch,
        cost=Cost(
            seconds=time.perf_counter() - clock,
            images_per_second=rate,
            peak_memory=peak_memory(device),
            hardware=hardware_name(device),
            note=f"no CUDA graph: {loop.eager_because}" if loop.eager_because else "",
            started=started,
        ),
    ), model.eval()


def _run_epochs(
    job: TrainingJob, data: TrainingData, loop: TrainingLoop, report: Report | None
) -> tuple[tuple[Epoch, ...], float]:
    """The epochs of a training, until its last or one below `stop_below`; and its images per second."""
    epochs: list[Epoch] = []
    rate = training_seconds = 0.0
    for number in range(1, job.protocol.epochs + 1):
        clock = time.perf_counter()
        train_loss = loop.run_epoch(number, report)
        training_seconds += time.perf_counter() - clock
        if not math.isfinite(train_loss):
            raise TrainingFailure("diverged", f"the training loss of epoch {number} is {train_loss}")
        epoch = Epoch(train_loss=train_loss)
        if job.split == "train":
            epoch = _validated(epoch, number, loop, data)
        epochs.append(epoch)
        rate = number * loop.images_per_epoch / training_seconds
        if report is not None:
            report({"epoch": number, "images_per_second": rate, **to_json(epoch)})
        if epoch.score is not None and number <= len(job.stop_below) and epoch.score < job.stop_below[number - 1]:
            break
    return tuple(epochs), rate


def _validated(epoch: Epoch, number: int, loop: TrainingLoop, data: TrainingData) -> Epoch:
    """An epoch with what the network reaches on the validation images after it."""
    logits = predict(loop.model, data.val_images, loop.protocol.precision)
    accuracy, loss = accuracy_and_loss(logits, data.val_labels)
    if not math.isfinite(loss):
        raise TrainingFailure("diverged", f"the validation loss of epoch {number} is {loss}")
    is_balanced = loop.protocol.metric == "balanced_accuracy"
    return replace(epoch, score=balanced_accuracy(logits, data.val_labels) if is_balanced else accuracy, loss=loss)


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="train_model.py",
        description="Trains the network of one chromosome and prints its epochs.",
        epilog="example: python train_model.py --chromosome 0110010110110011010 --dataset digits",
    )
    parser.add_argument("--chromosome", required=True, metavar="BITS", help="the network, a string of 0 and 1")
    parser.add_argument(
        "--encoding",
        default="standard",
        metavar="NAME",
        help="what the bits mean: standard, extended, or a JSON file (default: standard)",
    )
    parser.add_argument("--model_path", metavar="FILE", help="write the weights to this file (default: nowhere)")
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: the first accelerator, or cpu)"
    )
    add_settings(parser, "training", TrainingConfig)
    add_settings(parser, "data", DataConfig, DATA_HELP)
    options = parser.parse(arguments)
    refuse_coded(gene_table(options.encoding), given(options, TrainingConfig))
    data_config = DataConfig(**given(options, DataConfig))
    return train_one(options, TrainingConfig(**given(options, TrainingConfig)), data_config)


def train_one(options: argparse.Namespace, config: TrainingConfig, data_config: DataConfig) -> int:
    own = None if options.model_path is None else own_files(Path(options.model_path))
    device = device_of(options.device)
    data = load_image_data(data_config)
    encoding = Encoding(data.input_shape, data.classes, gene_table(options.encoding))
    config = replace(config, **encoding.hyperparameters(options.chromosome))
    protocol = resolve_protocol(config, data_config, data.input_shape, device.type == "cuda", data.class_counts)
    prepare_device(str(device), protocol.threads, protocol.deterministic)
    network = encoding.network(options.chromosome)
    job = TrainingJob(phenotype=network, protocol=protocol, data_fingerprint=data.fingerprint)
    cost, words = model_cost(architecture_of(network)), encoding.describe(options.chromosome)
    print(f"{words}: {cost.parameters:,} parameters, {cost.flops / 1e6:,.1f} MFLOPs an image")
    print(f"{len(data.train_labels):,} training images on {device}, {protocol.precision}")
    for note in data.notes:
        print(f"note: {note}")
    try:
        result, model = train_model(job, to_device(data, device), device, report=partial(show_epoch, protocol))
    except TrainingFailure as failure:
        print(f"training failed ({failure.status}): {failure.reason}", file=sys.stderr)
        return ERROR
    print(f"{result.cost.seconds:.1f} s")
    if own is not None:
        weights = weights_bytes(model)
        result = replace(result, weights_sha256=hashlib.sha256(weights).hexdigest())
        info = info_of(options.chromosome, words, job, result, data_config, data.facts)
        write_model(own, Path(options.model_path), weights, info)
    return DONE


def device_of(name: str | None) -> torch.device:
    """The device of that name, or the first accelerator, or the CPU. Raises `InputError` if it cannot be used."""
    try:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        device = torch.device(name) if name else accelerator or torch.device("cpu")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name} cannot be used here ({str(error).splitlines()[0]})") from error
    return device


def show_epoch(protocol: TrainingConfig, progress: Mapping[str, Any]) -> None:
    """Prints an epoch that has ended."""
    if "accuracy" in progress:
        print(
            f"epoch {progress['epoch']}/{protocol.epochs}: training loss {progress['train_loss']:.4f}, "
            f"validation loss {progress['loss']:.4f}, validation {protocol.measure} {progress['accuracy']:.4f}, "
            f"{progress['images_per_second']:,.0f} images/s",
            flush=True,
        )


def info_of(
    chromosome: Chromosome, words: str, job: TrainingJob, result: TrainingResult, config: DataConfig, facts: DataFacts
) -> ModelInfo:
    """What goes with the weights of a network that was trained by itself, as `info.json` holds it."""
    individual = Individual(generation=1, index=1, chromosome=chromosome, origin="named", jobs=(job.key,))
    return ModelInfo(
        version=VERSION,
        individual=replace(individual, fitness=result.fitness),
        description=words,
        phenotype=job.phenotype,
        data=with_whole_path(config),
        facts=facts,
        precision=job.protocol.precision,
        metric=job.protocol.metric,
        split=job.split,
        weights=None,
        result=result,
    )


def write_model(own: OwnFiles, path: Path, weights: bytes, info: ModelInfo) -> None:
    """Writes weights, and beside them the `info.json` with which `evaluate.py` evaluates them."""
    own.hand_out(path, weights)
    own.hand_out(own.folder / INFO_NAME, sealed(INFO, to_json(info)))
    print(f"weights in {path}, described by {own.folder / INFO_NAME}")


def own_files(model_path: Path) -> OwnFiles:
    """The list of what this command wrote into the folder of the weights.

    Raises `InputError` if it would replace a person's file, or the description of other weights.
    """
    folder = model_path.parent
    check_writable(folder)
    own, info_path = OwnFiles(folder, "train_model"), folder / INFO_NAME
    own.refuse_foreign([model_path, info_path], "name another --model_path, or move it elsewhere")
    others = [path for path in own.owned() if path not in (model_path, info_path)]
    if info_path.exists() and others:
        raise InputError(f"{info_path} describes {others[0]}; name a --model_path in another folder")
    return own


if __name__ == "__main__":
    run_command(main)
