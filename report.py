"""Command: writes the report of a run, a self-contained page made from the files of the run alone."""

from __future__ import annotations

if __name__ == "__main__":
    from stopping.memory import end_without_memory
    from stopping.signals import quit_on_signals

    quit_on_signals()  # while the imports below take their time
    end_without_memory()

from collections.abc import Sequence
from pathlib import Path

from records.command_line import DONE, run_command
from records.flags import Parser
from reporting.figures.theme import save_figure
from reporting.pages.report_page import write_sections
from reporting.run_view import read_run_view
from storage.checkpoint import load_state, newest_run


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="report.py",
        description="Writes the report of a run from its files, whether the run is complete, stopped or under way.",
        epilog="example: python report.py --resume .",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        required=True,
        metavar="PATH",
        help="the folder of a run, or a state file in it (without PATH: the newest run, as of evolution.py)",
    )
    parser.add_argument(
        "--figures", action="store_true", help="also write each figure as SVG and PNG to results/figures/"
    )
    options = parser.parse(arguments)
    run, state = load_state(Path(options.resume or newest_run()))
    shown = write_sections(read_run_view(run, state))
    print(run.report)
    if options.figures:
        for section in shown:
            for each in section.figures:
                for path in save_figure(each.figure, run.figures, each.name, run.write):
                    print(path)
    return DONE


if __name__ == "__main__":
    run_command(main)
