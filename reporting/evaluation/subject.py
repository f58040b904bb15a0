"""What is evaluated: a network and its data."""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from image_data import ImageData, load_image_data
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
    """A network with its description, and the data to evaluate it on; `info` where there is an `info.json`."""

    architecture: Architecture
    description: str
    data: ImageData
    config: DataConfig
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
    data = load_image_data(config)
    if (data.input_shape, data.classes) != (architecture.input_shape, architecture.classes):
        raise InputError(
            f"the network reads images of shape {architecture.input_shape} in {architecture.classes} classes, "
            f"but {config.dataset} has {data.input_shape} in {data.classes}; name the right data by --dataset"
        )
    if data.fingerprint != info.facts.fingerprint:
        print(
            f"note: {config.dataset} differs from the data that the network was trained on, in images, order or splits",
            file=sys.stderr,
        )
    return Subject(architecture, info.description, data, config, info)


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
    data = load_image_data(config)
    encoding = Encoding(data.input_shape, data.classes, table)
    architecture = architecture_of(encoding.network(options.chromosome))
    return Subject(architecture, encoding.describe(options.chromosome), data, config)
