"""One job → one result, on one device. Also a command: trains one network and prints its epochs."""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from image_data import load_image_data
from image_data.shared_memory import map_training_data, training_images
from image_data.tensors import TrainingData, to_device
from model_generator import build_model
from records import DataConfig, InputError, TrainingConfig, TrainingJob, TrainingResult
from records.canonical import from_json, to_json
from records.command_line import DONE, ERROR, run_command
from records.errors import TrainingFailure
from records.flags import Parser, add_settings, given
from records.machine import return_free_memory
from records.trainings import Cost, Energy, Epoch
from search_space.architecture import architecture_of
from search_space.cost import model_cost
from search_space.encoding import Encoding
from search_space.tables import gene_table, refuse_coded
from storage.files import check_writable, write_durably, write_whole
from training.device import energy_counter, gpu_uuid, hardware_name, peak_memory, prepare_device, reset_peak_memory
from training.loop import Report, TrainingLoop, capture_cuda_graph
from training.metrics import accuracy_and_loss, balanced_accuracy, predict
from training.protocol import resolve_protocol

MOST_KEPT = 800e6  # bytes of a worker; what a larger training has freed goes back to the system


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
    images, labels = data.for_training(job.split)
    capture = capture_cuda_graph if device.type == "cuda" else None
    loop = TrainingLoop(protocol, model, images, labels, micro_batch, job.seed, capture)
    epochs: list[Epoch] = []
    training_seconds = 0.0
    for epoch in range(1, protocol.epochs + 1):
        epoch_clock = time.perf_counter()
        train_loss = loop.run_epoch(epoch, report)
        training_seconds += time.perf_counter() - epoch_clock
        if not math.isfinite(train_loss):
            raise TrainingFailure("diverged", f"the training loss of epoch {epoch} is {train_loss}")
        score = loss = None
        if job.split == "train":
            logits = predict(model, data.val_images, protocol.precision)
            score, loss = accuracy_and_loss(logits, data.val_labels)
            if protocol.metric == "balanced_accuracy":
                score = balanced_accuracy(logits, data.val_labels)
            if not math.isfinite(loss):
                raise TrainingFailure("diverged", f"the validation loss of epoch {epoch} is {loss}")
        epochs.append(Epoch(train_loss=train_loss, score=score, loss=loss))
        rate = epoch * loop.images_per_epoch / training_seconds
        if report is not None:
            report({"epoch": epoch, "images_per_second": rate, **to_json(epochs[-1])})
        if score is not None and epoch <= len(job.stop_below) and score < job.stop_below[epoch - 1]:
            break
    cost = model_cost(architecture)
    return TrainingResult(
        key=job.key,
        status="done",
        epochs=tuple(epochs),
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


def weights_bytes(model: nn.Module) -> bytes:
    """A file of the state_dict and nothing else; equal weights give equal bytes."""
    buffer = io.BytesIO()
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    torch.save(state, buffer)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class WorkerSetup:
    """What a worker needs to train, as it travels to its process (JSON, and one inherited descriptor)."""

    descriptor: int
    contents: list[dict[str, Any]]
    class_names: list[str]
    device: str
    threads: int
    deterministic: bool
    root: str


def start_trainer(setup: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Report], dict[str, Any]]:
    """The trainer of a worker process: takes a task, writes the weights, returns the result as JSON."""
    options = WorkerSetup(**setup)
    device = prepare_device(options.device, options.threads, options.deterministic)
    data = to_device(map_training_data(options.descriptor, options.contents, options.class_names), device)

    def train(task: Mapping[str, Any], report: Report) -> dict[str, Any]:
        job = from_json(TrainingJob, task["job"])
        result, weights = _result_and_weights(job, data, device, task["micro_batch"], report)
        write_whole(Path(options.root, task["weights"]), weights)  # the main process waits for the disk
        return to_json(replace(result, weights=task["weights"]))

    return train


@dataclass(frozen=True, kw_only=True)
class ClusterSetup:
    """What a task on a cluster needs to train; the arrays, in the order of `SHARED_ARRAYS`, are its node's copy."""

    arrays: list[NDArray[Any]]
    class_names: list[str]
    threads: int
    deterministic: bool


def start_cluster_trainer(setup: ClusterSetup, device_name: str) -> Callable[..., dict[str, Any]]:
    """The trainer of a process on a cluster: takes a task, returns the result and the weights."""
    device = prepare_device(device_name, setup.threads, setup.deterministic)
    with warnings.catch_warnings():
        # A node's copy cannot be written, and no training does; torch would say so each time.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        data = to_device(training_images(setup.arrays, setup.class_names), device)

    def train(task: Mapping[str, Any], report: Report) -> dict[str, Any]:
        result, weights = _result_and_weights(task["job"], data, device, task["micro_batch"], report)
        return {"result": result, "weights": weights}

    return train


def _result_and_weights(
    job: TrainingJob, data: TrainingData, device: torch.device, micro_batch: int, report: Report
) -> tuple[TrainingResult, bytes]:
    """The result of a job, which has the SHA-256 of the weights, and their file's content."""
    result, model = train_model(job, data, device, micro_batch, report)
    weights = weights_bytes(model)
    del model
    if (result.cost.peak_memory or 0) > MOST_KEPT:
        return_free_memory()
    return replace(result, weights_sha256=hashlib.sha256(weights).hexdigest()), weights


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
    add_settings(parser, "data", DataConfig)
    options = parser.parse(arguments)
    refuse_coded(gene_table(options.encoding), given(options, TrainingConfig))
    data_config = DataConfig(**given(options, DataConfig))
    return train_one(options, TrainingConfig(**given(options, TrainingConfig)), data_config)


def train_one(options: argparse.Namespace, config: TrainingConfig, data_config: DataConfig) -> int:
    if options.model_path:
        check_writable(Path(options.model_path).parent)
    try:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        device = torch.device(options.device) if options.device else accelerator or torch.device("cpu")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {options.device} is not usable here ({str(error).splitlines()[0]})") from error
    image_data = load_image_data(data_config)
    encoding = Encoding(image_data.input_shape, image_data.classes, gene_table(options.encoding))
    config = replace(config, **encoding.hyperparameters(options.chromosome))
    is_gpu, counts = device.type == "cuda", image_data.class_counts
    protocol = resolve_protocol(config, data_config, image_data.input_shape, is_gpu, counts)
    prepare_device(str(device), protocol.threads, protocol.deterministic)
    network = encoding.network(options.chromosome)
    job = TrainingJob(phenotype=network, protocol=protocol, data_fingerprint=image_data.fingerprint)
    cost, words = model_cost(architecture_of(network)), encoding.describe(options.chromosome)
    print(f"{words}: {cost.parameters:,} parameters, {cost.flops / 1e6:,.1f} MFLOPs an image")
    print(f"{len(image_data.train_labels):,} training images on {device}, {protocol.precision}")

    def show(progress: Mapping[str, Any]) -> None:
        if "accuracy" in progress:
            print(
                f"epoch {progress['epoch']}/{protocol.epochs}: training loss {progress['train_loss']:.4f}, "
                f"validation loss {progress['loss']:.4f}, validation {protocol.measure} {progress['accuracy']:.4f}, "
                f"{progress['images_per_second']:,.0f} images/s",
                flush=True,
            )

    try:
        result, model = train_model(job, to_device(image_data, device), device, report=show)
    except TrainingFailure as failure:
        print(f"training failed ({failure.status}): {failure.reason}", file=sys.stderr)
        return ERROR
    print(f"{result.cost.seconds:.1f} s")
    if options.model_path:
        write_durably(Path(options.model_path), weights_bytes(model))
        print(f"weights in {options.model_path}")
    return DONE


if __name__ == "__main__":
    run_command(main)
