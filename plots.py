"""Command: draws the progress of a run again from its files, or one network from its chromosome."""

from __future__ import annotations

if __name__ == "__main__":
    from stopping.memory import end_without_memory
    from stopping.signals import quit_on_signals

    quit_on_signals()  # while the imports below take their time
    end_without_memory()

import argparse
from collections.abc import Sequence
from pathlib import Path

from image_data.catalogue import NAMED_SETS, read_source
from records import DataConfig, InputError
from records.command_line import DONE, run_command
from records.flags import Parser
from reporting.drawings.explanation import explanation
from reporting.drawings.network_figure import draw_network
from reporting.figures.run_figure import draw_run
from reporting.figures.theme import figure_bytes
from search_space.encoding import Encoding, decode, describe_hyperparameters
from search_space.tables import gene_table
from storage.checkpoint import load_state, newest_run
from storage.files import check_writable
from storage.own_files import OwnFiles

KINDS = ("svg", "png", "pdf")
CLASSES = 10  # if --classes is not given


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse(arguments)
    if options.chromosome is not None:
        if options.resume is not None:
            raise InputError("--resume draws a run and --chromosome draws a network; give only one of them")
        return _show_network(options)
    for name, value in vars(options).items():
        if name != "resume" and value:
            raise InputError(f"--{name} needs --chromosome, which is not given")
    if options.resume is None:
        raise InputError("give --resume with the folder of a run, or --chromosome with the bits of a network")
    run, state = load_state(Path(options.resume or newest_run()))
    for path in draw_run(run, state.generations, state.training.measure):
        print(path)
    return DONE


def _parser() -> Parser:
    parser = Parser(
        prog="plots.py",
        description="Draws the progress of a run again from its files, or one network from its chromosome.",
        epilog="example: python plots.py --chromosome 0110010110110011010 --out network.svg --explain",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="the folder of a run, or a state file in it (without PATH: the newest run, as of evolution.py)",
    )
    group = parser.add_argument_group("one network")
    group.add_argument("--chromosome", metavar="BITS", help="the network, a string of 0 and 1")
    group.add_argument(
        "--encoding", metavar="NAME", help="what the bits mean: standard, extended, or a JSON file (default: standard)"
    )
    group.add_argument(
        "--dataset",
        metavar="NAME",
        help="the data set whose images it reads: a known name (nothing is loaded), a folder or an .npz file "
        "(default: cifar10)",
    )
    group.add_argument(
        "--input_shape",
        nargs=3,
        type=int,
        metavar=("C", "H", "W"),
        help="channels, height and width of the images, instead of --dataset",
    )
    group.add_argument("--classes", type=int, metavar="N", help=f"classes of these images (default: {CLASSES})")
    group.add_argument(
        "--out",
        metavar="FILE",
        help="the file to write, .svg, .png or .pdf (default: network.svg, or none with --explain)",
    )
    group.add_argument("--explain", action="store_true", help="print each bit with its gene and its value")
    return parser


def _show_network(options: argparse.Namespace) -> int:
    """Draws the network of a chromosome, explains it in words, or both."""
    encoding = Encoding(*_images(options), gene_table(options.encoding or "standard"))
    architecture = decode(encoding, options.chromosome)
    path = Path("network.svg" if options.out is None else options.out)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise InputError(f"--out {path} must end in {', '.join(f'.{each}' for each in KINDS[:-1])} or .{KINDS[-1]}")
    check_writable(path.parent)
    own = OwnFiles(path.parent, "plots")
    if options.explain:
        print(explanation(encoding, options.chromosome))
        if options.out is None:
            return DONE
    own.refuse_foreign([path], "name another file by --out, or move it elsewhere")
    title = f"{options.chromosome}\n{describe_hyperparameters(encoding.hyperparameters(options.chromosome))}"
    own.hand_out(path, figure_bytes(draw_network(architecture, title), kind))
    print(path)
    return DONE


def _images(options: argparse.Namespace) -> tuple[tuple[int, int, int], int]:
    """Channels, height and width of the images, and the number of classes. Only unknown data sets are read."""
    if options.input_shape:
        if options.dataset is not None:
            raise InputError("--dataset determines the shape of the images; leave out --input_shape or --dataset")
        return tuple(options.input_shape), CLASSES if options.classes is None else options.classes
    if options.classes is not None:
        raise InputError("--classes needs --input_shape; a data set determines its own classes")
    config = DataConfig() if options.dataset is None else DataConfig(dataset=options.dataset)
    if (known := NAMED_SETS.get(config.dataset)) is not None:
        return known.shape, known.classes
    source = read_source(config)
    height, width, channels = source.train.shape
    return (channels, height, width), len(source.class_names)


if __name__ == "__main__":
    run_command(main)
