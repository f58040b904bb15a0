"""Evolves convolutional neural networks for image classification; see --help.

A genetic algorithm proposes chromosomes, each decodes into a network, every new network trains as
a job of its own on one device, validation accuracy is its fitness, and from that the next
generation is bred. A run can be killed at any instant and resumed to the same end.
"""

from __future__ import annotations

if __name__ == "__main__":
    from stopping.memory import end_without_memory
    from stopping.signals import quit_on_signals

    quit_on_signals()  # while the imports below take their time
    end_without_memory(needs_torch=True)

import argparse
from collections.abc import Sequence
from dataclasses import fields

import run
from image_data.catalogue import DATA_HELP
from records import DataConfig, EvolutionConfig, Limits, RunFault, TrainingConfig
from records.command_line import DONE, FAULT, STOPPED, command_text, run_command, tell
from records.config_file import with_config
from records.errors import StopRequested
from records.flags import Parser, add_settings
from reporting.console import Console
from run.algorithms import algorithms_in_words
from run.opening import folder_of
from run.request import Request
from stopping.signals import last_words
from storage.checkpoint import newest_run

EXAMPLES = """examples:
  python evolution.py --generations 20 --population 10 --gpus 0 1 2 3
  python evolution.py --dataset digits --cpu_workers 2
  python evolution.py --resume checkpoints/generation_5/ga_state.json

exit status: 0 done, 2 bad input, 3 stopped by a person, a scheduler or a time limit (resumable),
4 a fault of disk, memory or devices (resumable), 1 anything else"""


def main(arguments: Sequence[str]) -> int:
    parser = build_parser()
    options = parser.parse(with_config(parser, arguments))
    console = Console(options.quiet)
    if options.resume == "":
        options.resume = newest_run()
        console.say(f"--resume: {options.resume} is the newest run here")
    request = request_of(options)
    return show_plan(request, console) if options.plan else evolve(request, console)


def show_plan(request: Request, console: Console) -> int:
    """Prints what a new run would train, and what it would cost; returns the exit status."""
    try:
        lines = run.plan(request, [console])
    except StopRequested as request_to_stop:
        with last_words():
            tell(f"stopped by {request_to_stop}; a plan writes nothing")
        return STOPPED
    except (RunFault, OSError) as fault:
        tell(f"error: {fault}")
        return FAULT
    print("\n".join(lines))
    return DONE


def evolve(request: Request, console: Console) -> int:
    """Begins a run or goes on with it, to its end; returns the exit status."""
    try:
        try:
            ended = run.evolve(request, [console])
        except (RunFault, OSError) as fault:
            return advise(request, f"error: {fault}", FAULT)
        # Imported late: the libraries that analyse a run take longer to import than a refusal may.
        from reporting.closing_lines import closing_lines

        for line in closing_lines(ended.view, console.trainings, request.optuna_study):
            console.say(line, always=True, wrap=not line.startswith("next "))  # a command stays in one piece
    except StopRequested as request_to_stop:
        with last_words():
            has_begun = bool(folder_of(request).states())
            kept = "every finished training is kept" if has_begun else "the run had not begun, nothing was written"
            return advise(request, f"stopped by {request_to_stop}; {kept}", STOPPED)
    return DONE


def request_of(options: argparse.Namespace) -> Request:
    """What the flags ask of a run. Raises `InputError` for what has no meaning."""
    flags = {name: value for name, value in vars(options).items() if name not in ("config", "plan", "quiet")}
    return Request.of(**flags)


def advise(request: Request, message: str, status: int) -> int:
    """Prints what happened and how to go on; returns the exit status."""
    tell(message)
    if folder_of(request).states():
        tell(f"to go on: {resume_command(request)}")
    return status


def resume_command(request: Request) -> str:
    """The exact command that goes on with the run on the same devices."""
    limits = {
        item.name: getattr(request.limits, item.name)
        for item in fields(Limits)
        if getattr(request.limits, item.name) != item.default
    }
    flags = {"reuse": request.reuse or None, "optuna_study": request.optuna_study, **limits}
    command = ["--resume", str(folder_of(request).states()[0][1])]
    if request.tensorboard:
        command.append("--tensorboard")
    for name, value in {**request.devices.arguments(), **flags}.items():
        if value is not None:
            command += [f"--{name}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return command_text("evolution.py", *command)


def build_parser() -> Parser:
    parser = Parser(
        prog="evolution.py",
        description="Evolves convolutional neural networks for image classification.",
        epilog=EXAMPLES,
    )
    add_settings(parser, "search", EvolutionConfig, {"algorithm": algorithms_in_words()})
    add_settings(parser, "training of each network (the protocol)", TrainingConfig)
    add_settings(parser, "data", DataConfig, DATA_HELP)
    add_device_flags(parser.add_argument_group("devices and jobs"))
    add_settings(parser, "limits (they change no result)", Limits)
    add_folder_flags(parser.add_argument_group("the run's folder"))
    parser.add_argument(
        "--plan", action="store_true", help="say what a new run would train and what it would cost, and write nothing"
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write results/tensorboard/, for: tensorboard --logdir results/tensorboard",
    )
    parser.add_argument(
        "--optuna_study",
        metavar="FILE",
        help="also add every individual to an Optuna study in this journal file",
    )
    parser.add_argument("--quiet", action="store_true", help="print the closing lines and warnings only")
    return parser


def add_device_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--gpus", type=int, nargs="+", metavar="N", help="GPUs to use (default: all that are visible)")
    group.add_argument(
        "--workers_per_gpu",
        type=count_or_auto,
        default=1,
        metavar="N",
        help="trainings at once on one GPU (default: 1); auto: as many as fit its memory and pay",
    )
    group.add_argument(
        "--cpu_workers", type=int, metavar="N", help="train on the CPU, N at once (default without GPUs: one per core)"
    )
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="train on a Ray cluster: HOST:PORT, auto (that of this machine), or local (started here for this run)",
    )


def count_or_auto(text: str) -> int | None:
    """The value of a flag that takes a number or "auto" (None)."""
    return None if text == "auto" else int(text)


def add_folder_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--output_dir", metavar="FOLDER", help="where the run's files go (default: the current folder)")
    group.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="go on with a run: its folder, or one of its ga_state.json files (without PATH: the newest run in the "
        "current folder or down to three levels below it)",
    )
    group.add_argument(
        "--rewind", action="store_true", help="resume from a state older than the newest, and drop the newer ones"
    )
    group.add_argument(
        "--reuse",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="earlier runs with the same data and protocol; what they trained is not trained again",
    )
    group.add_argument(
        "--config", metavar="FILE", help="settings from a TOML file, such as the run.toml of a run; flags win over it"
    )
    group.add_argument("--overwrite", action="store_true", help="remove the run that the folder holds, and start anew")


if __name__ == "__main__":
    run_command(main)
