"""What is evaluated: a network and its data."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from image_data import ImageData, load_image_data
from image_data.catalogue import NAMED_SETS
from image_data.source import PixelRange
from image_data.whole import has_splits, in_classes_of, load_whole, with_channels
from records import DataConfig, InputError
from records.flags import given
from records.runs import ModelInfo
from search_space.architecture import Architecture, architecture_of
from search_space.encoding import Encoding, check_chromosome
from search_space.tables import gene_table
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.results import kept_weights, read_info


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its description, and the data to evaluate it on; `info` where there is an `info.json`.

    The images to evaluate it on are the test images of `data`, whichever split they are: "train",
    "validation", "test", or "all" of a data set without splits.
    """

    architecture: Architecture
    description: str
    data: ImageData
    config: DataConfig
    split: str
    info: ModelInfo | None = None


def load_subject(options: argparse.Namespace) -> Subject:
    """The network to evaluate and its data. Raises `InputError` where they are missing or do not match."""
    if (options.info_path is None) == (options.chromosome is None):
        raise InputError("name the network either by --info_path or by --chromosome")
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
        raise InputError(f"{options.info_path}: its architecture cannot be read; give --chromosome") from error
    data, split = _data_for(info, config, options.split, is_named="dataset" in given(options, DataConfig))
    if (data.input_shape, data.classes) != (architecture.input_shape, architecture.classes):
        raise InputError(
            f"the network reads images of shape {architecture.input_shape} in {architecture.classes} classes, "
            f"but {config.dataset} has {data.input_shape} in {data.classes}; name the right data by --dataset"
        )
    return Subject(architecture, info.description, data, config, split, info)


def _data_for(info: ModelInfo, config: DataConfig, wanted: str | None, is_named: bool) -> tuple[ImageData, str]:
    """The images to evaluate a model on, and their split: those of its run, or others, prepared and named as those."""
    if is_named and config.dataset not in NAMED_SETS:
        data, split = _other_data(info, config, wanted)
    else:
        data, split = _split(config, wanted or "test", info.facts.preparation.pixel_range)
    if data.fingerprint != info.facts.fingerprint:
        print(
            f"note: {config.dataset} differs from the data that the network was trained on, in images, order or splits",
            file=sys.stderr,
        )
    return in_classes_of(data, info.facts.class_names, config.dataset), split


def _other_data(info: ModelInfo, config: DataConfig, wanted: str | None) -> tuple[ImageData, str]:
    """Data that were named: those of the run in another place, or others, of which all are used if they have no splits.

    Others are resized as those of the run were, and get their channels.
    """
    pixel_range = info.facts.preparation.pixel_range
    with contextlib.suppress(InputError):
        data, split = _split(config, wanted or "test", pixel_range)
        if data.fingerprint == info.facts.fingerprint:
            return data, split
    channels, height, width = info.facts.input_shape
    if config.image_size is None:
        config = replace(config, image_size=f"{height}x{width}")
    data, split = _chosen(config, wanted, pixel_range)
    return replace(data, test_images=with_channels(data.test_images, channels)), split


def _chosen(config: DataConfig, wanted: str | None, pixel_range: PixelRange | None) -> tuple[ImageData, str]:
    """The images of the split that was asked for; else the test images of a data set, or all of one without splits."""
    if wanted is None and not has_splits(config):
        return load_whole(config, pixel_range), "all"
    return _split(config, wanted or "test", pixel_range)


def _split(config: DataConfig, name: str, pixel_range: PixelRange | None) -> tuple[ImageData, str]:
    """A data set with the images of a split as its test images."""
    data = load_image_data(config, pixel_range)
    images, labels = data.split(name)
    return replace(data, test_images=images, test_labels=labels), name


def _advice(missing: Path) -> str:
    """The best weights that are available, if the missing file belongs to a run that has kept some."""
    for folder in missing.parents:
        run = RunDirectory(folder)
        if run.states():
            with contextlib.suppress(InputError, OSError):
                if (kept := kept_weights(run, load_state(folder)[1])) is not None:
                    flags = f"--model_path {run.weights(kept.name)} --chromosome {kept.chromosome}"
                    info = run.individual(kept.name) / "info.json"
                    return f"; the best network whose weights this run has kept is {flags} (or --info_path {info})"
            break
    return ""


def _subject_of_chromosome(options: argparse.Namespace) -> Subject:
    table, config = gene_table(options.encoding or "standard"), DataConfig(**given(options, DataConfig))
    check_chromosome(options.chromosome, table.length)
    data, split = _chosen(config, options.split, None)
    encoding = Encoding(data.input_shape, data.classes, table)
    architecture = architecture_of(encoding.network(options.chromosome))
    return Subject(architecture, encoding.describe(options.chromosome), data, config, split)
