"""Evaluates a trained network on the test images: accuracy, per-class figures, cost and speed."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from image_data import ImageData, load_image_data
from image_data.catalogue import DATA_HELP
from image_data.tensors import image_tensor
from model_generator import load_model
from records import DataConfig, InputError, TrainingConfig
from records.command_line import DONE, run_command
from records.flags import Parser, Several, add_settings, given
from records.runs import ModelInfo
from reporting.figures.evaluation_plots import draw_confusion
from reporting.figures.theme import save_figure
from reporting.handout.export import FILES as EXPORTS
from reporting.handout.export import Network, export_model, require_packages
from reporting.handout.model_card import knows, model_card
from reporting.pages.evaluation_page import MISTAKES, Mistake, evaluation_page
from reporting.terminal import PlainTerminal, printable, standard_output
from run.latency import forward_seconds
from search_space.architecture import Architecture, architecture_of
from search_space.cost import model_cost
from search_space.encoding import Encoding, check_chromosome
from search_space.tables import gene_table
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.files import check_writable, file_sha256, write_durably
from storage.results import kept_weights, read_info
from training.metrics import accuracy_and_loss, balanced_accuracy, predict
from training.protocol import resolve_protocol
from training.statistics import (
    balanced_interval,
    calibration,
    is_uneven,
    surest_mistakes,
    top_confidence,
    wilson_interval,
)
from workers.devices import gpu_indices

if TYPE_CHECKING:
    from rich.console import Console as Terminal

LATENCY_WARM_UPS, LATENCY_REPEATS = 5, 30
TOP_K = 5


def build_parser() -> Parser:
    parser = Parser(
        prog="evaluate.py",
        description="Evaluates a trained network on the test images of its data set.",
        epilog="examples:\n"
        "  python evaluate.py --model_path best_model/best_model.pt --info_path best_model/info.json\n"
        "  python evaluate.py --model_path results/gen3/ind2/best_model.pt --chromosome 0110010110110011010 "
        "--dataset cifar10\n"
        "  python evaluate.py --model_path best_model/best_model.pt --info_path best_model/info.json "
        "--export onnx code",
    )
    parser.add_argument("--model_path", required=True, metavar="FILE", help="the weights, a state_dict")
    parser.add_argument("--info_path", metavar="FILE", help="the info.json that was written with the weights")
    parser.add_argument("--chromosome", metavar="BITS", help="the network, where there is no info.json")
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="what the bits of --chromosome mean: standard, extended, or a JSON file (default: standard)",
    )
    parser.add_argument("--gpus", type=int, nargs=1, metavar="N", help="GPU to use (default: the first, or the CPU)")
    parser.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), help="arithmetic (default: as in training, or auto)"
    )
    parser.add_argument(
        "--batch_size", type=int, default=128, metavar="N", help="images in a batch, for images/s (default: 128)"
    )
    parser.add_argument(
        "--output_dir",
        metavar="FOLDER",
        help="where evaluation.json, evaluation.html and the figures go (default: beside the weights)",
    )
    parser.add_argument(
        "--export",
        nargs="+",
        action=Several,
        default=(),
        choices=tuple(EXPORTS),
        metavar="FORMAT",
        help="also write the network for use elsewhere, and check what was written: onnx (model.onnx), "
        "torch (model.pt2, by torch.export), code (model.py, a program of its own that needs torch alone), "
        "safetensors (model.safetensors)",
    )
    add_settings(parser, "data (default: as in the info.json)", DataConfig, DATA_HELP)
    return parser


@dataclass(frozen=True, eq=False)
class Subject:
    """What is evaluated: a network, in words too, and its data; `info` where there is an `info.json`."""

    architecture: Architecture
    description: str
    data: ImageData
    config: DataConfig
    info: ModelInfo | None = None


def load_subject(options: argparse.Namespace) -> Subject:
    """The network to evaluate and its data. Raises `InputError` where they are missing or do not fit."""
    if (options.info_path is None) == (options.chromosome is None):
        raise InputError("name the network by --info_path or by --chromosome, one of them")
    if options.info_path is not None and options.encoding is not None:
        raise InputError("--encoding goes with --chromosome; with --info_path leave it out")
    if not Path(options.model_path).is_file():
        raise InputError(f"no weights file {options.model_path}{_advice(Path(options.model_path))}")
    if options.info_path is None:
        return _subject_of_chromosome(options)
    info = read_info(Path(options.info_path))
    config = DataConfig(**{**asdict(info.data), **given(options, DataConfig)})
    try:
        architecture = architecture_of(info.phenotype)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{options.info_path}: its phenotype describes no network; give --chromosome") from error
    data = load_image_data(config)
    if (data.input_shape, data.classes) != (architecture.input_shape, architecture.classes):
        raise InputError(
            f"the network reads images of shape {architecture.input_shape} in {architecture.classes} classes, "
            f"but {config.dataset} has {data.input_shape} in {data.classes}; name the right data by --dataset"
        )
    if data.fingerprint != info.facts.fingerprint:
        print(
            f"note: {config.dataset} differs from the data that the model was made with, in images, order or splits",
            file=sys.stderr,
        )
    return Subject(architecture, info.description, data, config, info)


def _advice(missing: Path) -> str:
    """Which weights there are instead, if the file that is missing belongs to a run that has kept some."""
    for folder in missing.parents:
        run = RunDirectory(folder)
        if run.states():
            with contextlib.suppress(InputError, OSError):
                if (kept := kept_weights(run, load_state(folder)[1])) is not None:
                    flags = f"--model_path {run.weights(kept.name)} --chromosome {kept.chromosome}"
                    info = run.individual(kept.name) / "info.json"
                    return f"; of the networks whose weights this run keeps the best is {flags} (or --info_path {info})"
            break
    return ""


def _subject_of_chromosome(options: argparse.Namespace) -> Subject:
    table, config = gene_table(options.encoding or "standard"), DataConfig(**given(options, DataConfig))
    check_chromosome(options.chromosome, table.length)
    data = load_image_data(config)
    encoding = Encoding(data.input_shape, data.classes, table)
    architecture = architecture_of(encoding.network(options.chromosome))
    return Subject(architecture, encoding.describe(options.chromosome), data, config)


def classification_report(logits: Tensor, labels: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, loss, top-5 where there are more than ten classes, calibration, per-class figures, confusion matrix."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, top_k_accuracy_score

    accuracy, loss = accuracy_and_loss(logits, labels)
    truth, predicted = labels.numpy(), logits.argmax(1).numpy()
    classes = np.arange(len(class_names))
    columns = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0.0)
    hits = np.bincount(truth[truth == predicted], minlength=len(classes))
    interval = wilson_interval(int((truth == predicted).sum()), len(truth))
    report: dict[str, Any] = {
        "accuracy": accuracy,
        "accuracy_interval": list(interval),
        "balanced_accuracy": balanced_accuracy(logits, labels),
        "balanced_accuracy_interval": list(balanced_interval(hits.tolist(), columns[3].tolist())),
        "loss": loss,
        "images": len(labels),
    }
    if len(classes) > 10:
        report[f"top_{TOP_K}_accuracy"] = float(top_k_accuracy_score(truth, logits.numpy(), k=TOP_K, labels=classes))
    report["calibration"] = asdict(calibration(top_confidence(logits.numpy()), truth == predicted))
    report["classes"] = [
        {"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1), "images": int(count)}
        for name, precision, recall, f1, count in zip(class_names, *columns, strict=True)
    ]
    report["confusion_matrix"] = confusion_matrix(truth, predicted, labels=classes).tolist()
    return report


def measure_speed(model: nn.Module, images: Tensor, batch_size: int, precision: str) -> dict[str, Any]:
    """Latency of one image and images/s of a batch: medians and quartiles of repeated forward passes."""
    single, batch = images[:1], images[torch.arange(batch_size) % len(images)]
    latency, seconds = (
        _quartiles(
            forward_seconds(partial(predict, model, part, precision), part.device, LATENCY_WARM_UPS, LATENCY_REPEATS)
        )
        for part in (single, batch)
    )
    return {
        "latency_ms": [1000 * value for value in latency],
        "images_per_second": [batch_size / value for value in reversed(seconds)],
        "batch_size": batch_size,
        "repeats": LATENCY_REPEATS,
        "quantiles": [0.25, 0.5, 0.75],
    }


def mistakes_of(logits: Tensor, data: ImageData, most: int = MISTAKES) -> list[Mistake]:
    """The test images that were taken for another class with most confidence, the surest first."""
    confidence, predicted = top_confidence(logits.numpy()), logits.argmax(1).numpy()
    return [
        Mistake(
            int(index),
            data.test_images[index],
            data.class_names[data.test_labels[index]],
            data.class_names[predicted[index]],
            float(confidence[index]),
        )
        for index in surest_mistakes(confidence, predicted == data.test_labels, most)
    ]


def _quartiles(values: Sequence[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, [25, 50, 75])]


def print_report(report: dict[str, Any], terminal: Terminal | PlainTerminal) -> None:
    speed = report["speed"]
    low, high = report["accuracy_interval"]
    lines = [
        ("network", report["description"]),
        (
            "test accuracy",
            f"{report['accuracy']:.4f} ({report['images']:,} images), 95% interval {low:.4f} to {high:.4f}",
        ),
        ("test loss", f"{report['loss']:.4f}"),
    ]
    if is_uneven([row["images"] for row in report["classes"]]):
        low, high = report["balanced_accuracy_interval"]
        words = f"{report['balanced_accuracy']:.4f} (mean recall of the classes), 95% interval {low:.4f} to {high:.4f}"
        lines.insert(2, ("balanced", words))
    if f"top_{TOP_K}_accuracy" in report:
        lines.append((f"top-{TOP_K} accuracy", f"{report[f'top_{TOP_K}_accuracy']:.4f}"))
    sure = report["calibration"]
    low, median, high = speed["latency_ms"]
    lines += [
        ("ECE", f"{sure['ece']:.4f} (expected calibration error; mean confidence {sure['mean_confidence']:.4f})"),
        ("parameters", f"{report['parameters']:,}"),
        ("FLOPs", f"{report['flops'] / 1e6:,.1f} million an image"),
        ("latency", f"{median:.2f} ms an image (quartiles {low:.2f} to {high:.2f}) on {report['device']}"),
    ]
    low, median, high = speed["images_per_second"]
    lines.append(
        ("throughput", f"{median:,.0f} images/s (quartiles {low:,.0f} to {high:,.0f}), batch {speed['batch_size']}")
    )
    for name, text in lines:
        terminal.print(f"{name:<16} {printable(text)}", markup=False, emoji=False)
    for line in class_lines(report["classes"]):
        terminal.print(line, markup=False, emoji=False)


def class_lines(classes: Sequence[dict[str, Any]]) -> list[str]:
    """A table of the classes: a header, then one line for each."""
    names = [printable(row["class"]) for row in classes]
    widest = max(map(display_width, ["class", *names]))
    lines = [f"{'class':<{widest}}  precision  recall      F1  images"]
    for name, row in zip(names, classes, strict=True):
        padded = name + " " * (widest - display_width(name))
        lines.append(
            f"{padded}  {row['precision']:>9.4f}  {row['recall']:>6.4f}  {row['f1']:>6.4f}  {row['images']:>6,}"
        )
    return lines


def display_width(text: str) -> int:
    """Columns that a text takes on a terminal; characters of East Asia take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def write_files(report: dict[str, Any], mistakes: Sequence[Mistake], folder: Path) -> list[Path]:
    """Writes evaluation.json, evaluation.html and the confusion matrix; returns their paths."""
    names = [row["class"] for row in report["classes"]]
    paths = [folder / "evaluation.json", folder / "evaluation.html"]
    write_durably(paths[0], (json.dumps(report, indent=1) + "\n").encode())
    write_durably(paths[1], evaluation_page(report, mistakes))
    return [*paths, *save_figure(draw_confusion(report["confusion_matrix"], names), folder, "confusion_matrix")]


def _export(
    options: argparse.Namespace,
    subject: Subject,
    folder: Path,
    report: dict[str, Any],
    terminal: Terminal | PlainTerminal,
) -> list[Path]:
    """Exports the network, says how near each file comes to it, and returns their paths."""
    model = load_model(Path(options.model_path), subject.architecture)
    data = subject.data
    network = Network(model, subject.architecture, subject.description, data.class_names, Path(options.model_path))
    images = image_tensor(data.test_images, torch.device("cpu"))
    report["exports"] = []
    exported = export_model(network, images, folder, tuple(dict.fromkeys(options.export)))
    for each in exported:
        report["exports"].append({**asdict(each), "path": str(each.path)})
        text = (
            f"logits within {each.max_difference:.1e} of the network's in float32, "
            f"the same class for {each.same_class:,} of {each.images:,} test images"
        )
        terminal.print(f"{f'as {each.format}':<16} {text}", markup=False, emoji=False)
    return [each.path for each in exported]


def _write_card(
    options: argparse.Namespace, info: ModelInfo | None, report: dict[str, Any], folder: Path
) -> list[Path]:
    """Writes the model card, if the `info.json` is that of the weights."""
    if info is None or info.result is None or file_sha256(Path(options.model_path)) != info.result.weights_sha256:
        return []
    run, state = RunDirectory(Path(options.info_path).absolute().parent.parent), None
    if run.states():
        with contextlib.suppress(InputError, OSError):
            state = load_state(run.root)[1]
    path = folder / run.model_card.name
    write_durably(path, model_card(info, state if state and knows(state, info) else None, report).encode())
    return [path]


def main(arguments: Sequence[str]) -> int:
    options = build_parser().parse(arguments)
    if options.batch_size < 1:
        raise InputError(f"--batch_size must be at least 1, but is {options.batch_size}")
    require_packages(options.export)
    indices = gpu_indices(options.gpus)
    device = torch.device("cuda", indices[0]) if indices else torch.device("cpu")
    folder = Path(options.output_dir) if options.output_dir else Path(options.model_path).parent
    check_writable(folder)
    subject = load_subject(options)
    data, config, info = subject.data, subject.config, subject.info
    model = load_model(Path(options.model_path), subject.architecture).to(device).to(memory_format=torch.channels_last)
    precision = options.precision or (info.precision if info else "auto")
    precision = resolve_protocol(TrainingConfig(precision=precision), config, data.input_shape, bool(indices)).precision
    images = image_tensor(data.test_images, device)
    logits = predict(model, images, precision).cpu()
    cost = model_cost(subject.architecture)
    report: dict[str, Any] = {
        "model": options.model_path,
        "description": subject.description,
        "dataset": config.dataset,
        "precision": precision,
        "device": torch.cuda.get_device_name(device) if indices else f"the CPU ({torch.get_num_threads()} threads)",
        "torch": torch.__version__,
        "parameters": cost.parameters,
        "flops": cost.flops,
        **classification_report(logits, torch.from_numpy(data.test_labels), data.class_names),
        "speed": measure_speed(model, images, options.batch_size, precision),
    }
    terminal = standard_output()
    print_report(report, terminal)
    paths = _export(options, subject, folder, report, terminal) if options.export else []
    paths = [*write_files(report, mistakes_of(logits, data), folder), *paths]
    if data.fingerprint == (info.facts.fingerprint if info else None):
        paths += _write_card(options, info, report, folder)
    terminal.print(f"{'files':<16} {', '.join(map(str, paths))}", markup=False, emoji=False)
    return DONE


if __name__ == "__main__":
    run_command(main)
