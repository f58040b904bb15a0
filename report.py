"""The report of a run: one page that stands alone, made from finished files only. Also a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from records.command_line import DONE, run_command
from records.flags import Parser
from reporting.figures.theme import save_figure
from reporting.pages.report_page import _write
from storage.checkpoint import load_state


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="report.py",
        description="Makes the report of a run, from its files: of one that is over, was stopped, or is under way.",
        epilog="example: python report.py --resume .",
    )
    parser.add_argument("--resume", required=True, metavar="PATH", help="a run's folder, or a state file of it")
    parser.add_argument(
        "--figures", action="store_true", help="write each figure also as SVG and PNG, to results/figures/"
    )
    options = parser.parse(arguments)
    run, state = load_state(Path(options.resume))
    shown = _write(run, state)
    print(run.report)
    if options.figures:
        for section in shown:
            for picture in section.figures:
                for path in save_figure(picture.figure, run.figures, picture.name):
                    print(path)
    return DONE


if __name__ == "__main__":
    run_command(main)
