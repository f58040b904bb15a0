"""Evaluates a trained network on test images: accuracy, scores by class, cost and speed."""

from __future__ import annotations

if __name__ == "__main__":
    from stopping.memory import end_without_memory
    from stopping.signals import quit_on_signals

    quit_on_signals()  # while the imports below take their time
    end_without_memory(needs_torch=True)

import argparse
import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from image_data.catalogue import DATA_HELP
from image_data.tensors import image_tensor
from model_generator import load_model
from records import DataConfig, InputError, TrainingConfig
from records.command_line import DONE, run_command, tell
from records.flags import Parser, Several, add_settings
from records.runs import ModelInfo
from reporting.evaluation.classification import classification_report
from reporting.evaluation.confusion_figure import draw_confusion
from reporting.evaluation.errors import Misclassified, most_confident_errors
from reporting.evaluation.subject import Subject, load_subject
from reporting.evaluation.summary import SPLITS, summary
from reporting.figures.theme import save_figure
from reporting.handout.export import export_model, require_packages
from reporting.handout.formats import FORMATS
from reporting.handout.model_card import knows, model_card
from reporting.handout.trained_network import TrainedNetwork
from reporting.pages.evaluation_page import evaluation_page
from reporting.terminal import PlainTerminal, standard_output
from run.latency import forward_seconds
from search_space.cost import model_cost
from storage.adoption import adopt_evaluation
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.files import check_writable, file_sha256
from storage.own_files import OwnFiles
from training.metrics import predict
from training.protocol import resolve_protocol
from workers.devices import gpu_indices

if TYPE_CHECKING:
    from rich.console import Console as Terminal

EXAMPLES = (
    "examples:\n"
    "  python evaluate.py --model_path best_model/best_model.pt --info_path best_model/info.json\n"
    "  python evaluate.py --model_path results/gen3/ind2/best_model.pt --chromosome 0110010110110011010 "
    "--dataset cifar10\n"
    "  python evaluate.py --model_path best_model/best_model.pt --info_path best_model/info.json "
    "--export onnx code"
)
WRITTEN = ("evaluation.json", "evaluation.html", "confusion_matrix.svg", "confusion_matrix.png")
LATENCY_WARM_UPS, LATENCY_REPEATS = 5, 30


def build_parser() -> Parser:
    parser = Parser(
        prog="evaluate.py",
        description="Evaluates a trained network on the test images of its data set.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--model_path", required=True, metavar="FILE", help="the weights, a state_dict")
    parser.add_argument("--info_path", metavar="FILE", help="the info.json that belongs to the weights")
    parser.add_argument("--chromosome", metavar="BITS", help="the network, if there is no info.json")
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
        choices=tuple(FORMATS),
        metavar="FORMAT",
        help="also write the network in other formats, and check each file against the network: "
        + "; ".join(f"{name} ({each.words})" for name, each in FORMATS.items()),
    )
    parser.add_argument(
        "--split",
        choices=tuple(SPLITS),
        help="the images to evaluate on: train, validation or test (default: test; all images of a folder or a file "
        "without splits that is not the data of the info.json)",
    )
    add_settings(parser, "data (default: as in the info.json)", DataConfig, DATA_HELP)
    return parser


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


def _quartiles(values: Sequence[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, [25, 50, 75])]


def own_files(folder: Path, formats: Sequence[str]) -> OwnFiles:
    """The list of what evaluations wrote into a folder. Raises `InputError` if this one would replace other files."""
    own = OwnFiles(folder, "evaluate")
    adopt_evaluation(own)
    files = [*WRITTEN, *(FORMATS[name].file for name in formats)]
    own.refuse_foreign([folder / name for name in files], "move it elsewhere, or name another folder by --output_dir")
    return own


def write_files(report: dict[str, Any], errors: Sequence[Misclassified], own: OwnFiles) -> list[Path]:
    """Writes evaluation.json, evaluation.html and the confusion matrix; returns their paths."""
    names = [row["class"] for row in report["classes"]]
    paths = [own.folder / "evaluation.json", own.folder / "evaluation.html"]
    own.hand_out(paths[0], (json.dumps(report, indent=1) + "\n").encode())
    own.hand_out(paths[1], evaluation_page(report, errors))
    drawn = draw_confusion(report["confusion_matrix"], names)
    return [*paths, *save_figure(drawn, own.folder, "confusion_matrix", own.hand_out)]


def _export(
    options: argparse.Namespace,
    subject: Subject,
    own: OwnFiles,
    report: dict[str, Any],
    terminal: Terminal | PlainTerminal,
) -> list[Path]:
    """Exports the network, prints how closely each file reproduces it, and returns their paths."""
    model = load_model(Path(options.model_path), subject.architecture)
    data = subject.data
    network = TrainedNetwork(
        model, subject.architecture, subject.description, data.class_names, Path(options.model_path)
    )
    images = image_tensor(data.test_images, torch.device("cpu"))
    report["exports"] = []
    formats = tuple(dict.fromkeys(options.export))
    exported = export_model(network, images, own.folder, formats, own.hand_out)
    for each in exported:
        report["exports"].append({**asdict(each), "path": str(each.path)})
        text = (
            f"logits within {each.max_difference:.1e} of the network's in float32, "
            f"the same class for {each.same_class:,} of {each.images:,} images"
        )
        terminal.print(f"{f'as {each.format}':<16} {text}", markup=False, emoji=False)
    return [each.path for each in exported]


def _write_card(
    options: argparse.Namespace, info: ModelInfo | None, report: dict[str, Any], folder: Path
) -> list[Path]:
    """Writes the model card, if the `info.json` belongs to the weights."""
    if info is None or info.result is None or file_sha256(Path(options.model_path)) != info.result.weights_sha256:
        return []
    run, state = RunDirectory(Path(options.info_path).absolute().parent.parent), None
    if run.states():
        with contextlib.suppress(InputError, OSError):
            state = load_state(run.root)[1]
    own = OwnFiles(folder, "evolution" if folder.resolve() == run.model_card.parent.resolve() else "evaluate")
    path = folder / run.model_card.name
    if own.foreign([path]):
        return []  # a person has changed it
    card = model_card(info, state if state and knows(state, info) else None, report)
    own.hand_out(path, card.encode(errors="replace"))
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
    own = own_files(folder, options.export)
    subject = load_subject(options)
    data, config, info = subject.data, subject.config, subject.info
    for note in data.notes:
        tell(f"note: {note}")
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
        "split": subject.split,
        "precision": precision,
        "device": torch.cuda.get_device_name(device) if indices else f"the CPU ({torch.get_num_threads()} threads)",
        "torch": torch.__version__,
        "parameters": cost.parameters,
        "flops": cost.flops,
        **classification_report(logits, torch.from_numpy(data.test_labels), data.class_names),
        "speed": measure_speed(model, images, options.batch_size, precision),
    }
    terminal = standard_output()
    for line in summary(report):
        terminal.print(line, markup=False, emoji=False)
    paths = _export(options, subject, own, report, terminal) if options.export else []
    paths = [*write_files(report, most_confident_errors(logits, data), own), *paths]
    if subject.split == "test" and data.fingerprint == (info.facts.fingerprint if info else None):
        paths += _write_card(options, info, report, folder)
    terminal.print(f"{'files':<16} {', '.join(map(str, paths))}", markup=False, emoji=False)
    return DONE


if __name__ == "__main__":
    run_command(main)
