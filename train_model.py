"""One job → one result, on one device. Also a command: trains one network and prints its epochs."""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from calibration import is_uneven
from chromosome import Encoding, architecture_of
from command_line import DONE, ERROR, Parser, add_settings, given, run_command
from data_sources import NAMED_SETS
from energy import energy_counter
from gene_tables import gene_table, refuse_coded
from hardware import processor_flags, processor_name, return_free_memory
from image_data import TrainingData, load_image_data, map_training_data, may_flip, to_device, training_images
from model_cost import EVALUATION_BATCH, model_cost
from model_generator import build_model
from records import (
    Cost,
    DataConfig,
    Energy,
    Epoch,
    InputError,
    TrainingConfig,
    TrainingFailure,
    TrainingJob,
    TrainingResult,
    from_json,
)
from run_directory import check_writable, write_durably, write_whole
from training_loop import Report, TrainingLoop, capture_cuda_graph

MOST_KEPT = 800e6  # bytes of a worker; what a larger training has freed goes back to the system
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, Arm: bfloat16 products in hardware


def resolve_protocol(
    config: TrainingConfig,
    data: DataConfig,
    input_shape: tuple[int, int, int],
    gpu: bool,
    class_counts: Sequence[int] = (),
    bfloat16: bool | None = None,
) -> TrainingConfig:
    """The protocol with nothing left open: what "auto" and None stand for on this data and hardware.

    `class_counts` are the training images of each class; without them classes count as even.
    `bfloat16` says whether the devices have it, where they are not those of this machine.
    """
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if (has_bfloat16(gpu) if bfloat16 is None else bfloat16) else "float32"
    flip = ("on" if may_flip(data) else "off") if config.flip == "auto" else config.flip
    padding = max(1, min(input_shape[1:]) // 16) if config.crop_padding is None else config.crop_padding
    metric = config.metric
    if metric == "auto":  # the named sets are compared by accuracy everywhere
        is_balanced = data.dataset not in NAMED_SETS and is_uneven(class_counts)
        metric = "balanced_accuracy" if is_balanced else "accuracy"
    graph = config.cuda_graph
    if not gpu or config.compile == "on":
        graph = "off"
    return replace(
        config,
        precision=precision,
        flip=flip,
        crop_padding=padding,
        metric=metric,
        micro_batch=config.micro_batch or config.batch_size,
        cuda_graph="on" if graph == "auto" else graph,
    )


def has_bfloat16(gpu: bool) -> bool:
    """Whether this machine's GPU, or else its processor, multiplies bfloat16 in hardware."""
    return torch.cuda.is_bf16_supported(False) if gpu else bool(processor_flags() & BFLOAT16_FLAGS)


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
    _reset_peak_memory(device)
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
        accuracy = loss = None
        if job.split == "train":
            logits = predict(model, data.val_images, protocol.precision)
            accuracy, loss = accuracy_and_loss(logits, data.val_labels)
            if protocol.metric == "balanced_accuracy":
                accuracy = balanced_accuracy(logits, data.val_labels)
            if not math.isfinite(loss):
                raise TrainingFailure("diverged", f"the validation loss of epoch {epoch} is {loss}")
        epochs.append(Epoch(train_loss=train_loss, accuracy=accuracy, loss=loss))
        rate = epoch * loop.images_per_epoch / training_seconds
        if report is not None:
            report({"epoch": epoch, "images_per_second": rate, **asdict(epochs[-1])})
        if accuracy is not None and epoch <= len(job.stop_below) and accuracy < job.stop_below[epoch - 1]:
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
            peak_memory=_peak_memory(device),
            hardware=hardware_name(device),
            note=f"no CUDA graph: {loop.eager_because}" if loop.eager_because else "",
            started=started,
        ),
    ), model.eval()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, precision: str) -> Tensor:
    """Logits (N, classes) in float32 of uint8 images (N, C, H, W), by the model in evaluation mode."""
    model.eval()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        return torch.cat([model(batch).float() for batch in images.split(EVALUATION_BATCH)])


def accuracy_and_loss(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Share of images classified rightly, and mean cross-entropy in nats."""
    correct = int((logits.argmax(1) == labels).sum())
    return correct / len(labels), functional.cross_entropy(logits, labels).item()


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """The mean, over the classes that there are images of, of the share of images classified rightly.

    The images of all classes are counted by one operation; the device is waited for once.
    """
    is_right = logits.argmax(1) == labels
    counts = torch.zeros(2, logits.shape[1], device=logits.device)  # whole numbers, exact in any order
    counts.index_add_(1, labels, torch.stack([is_right.float(), torch.ones_like(labels, dtype=torch.float32)]))
    right, images = counts.tolist()
    return statistics.fmean(hits / count for hits, count in zip(right, images, strict=True) if count)


def hardware_name(device: torch.device) -> str:
    """The device in words, alike for all devices that are equally fast."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def gpu_uuid(device: torch.device) -> str | None:
    """The UUID of a GPU, as NVIDIA's tools write it; None for any other device."""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else None


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory(device: torch.device) -> int:
    """Bytes: of the allocator on a GPU, of the process since the last reset (or its start) on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


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
        return asdict(replace(result, weights=task["weights"]))

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


def prepare_device(name: str, threads: int, deterministic: bool) -> torch.device:
    """Settings of the process that belong to the protocol; returns the device."""
    torch.set_num_threads(threads)
    device = torch.device(name)
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)  # CUDA graphs are captured on the current one
        torch.backends.cudnn.benchmark = not deterministic
        torch.use_deterministic_algorithms(deterministic)
    return device


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
