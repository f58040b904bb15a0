"""The figures of the report: every one can be drawn, and names are unique."""

from __future__ import annotations

from pathlib import Path

from reporting.figures.registry import FIGURES, all_figures, section_figures
from reporting.figures.theme import figure_bytes
from reporting.run_view import read_run_view
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from tests.faults.small_run import birth


def test_every_figure_of_a_run_becomes_a_file_under_a_name_of_its_own(finished: Path) -> None:
    found = list(all_figures(read_run_view(*load_state(finished))))
    names = [each.name for each in found]
    assert len(set(names)) == len(names)
    assert {"progress", "spending", "curves", "effects", "values", "interactions", "alleles", "forecasts"} <= {*names}
    for each in found:
        assert figure_bytes(each.figure, "png").startswith(b"\x89PNG")
        assert each.description


def test_figures_come_in_the_order_of_their_sections(finished: Path) -> None:
    view = read_run_view(*load_state(finished))
    expected = [each.name for section in FIGURES for each in section_figures(view, section)]
    assert [each.name for each in all_figures(view)] == expected


def test_a_run_without_a_generation_has_no_figures(tmp_path: Path) -> None:
    save_state(RunDirectory(tmp_path), birth(0, "rich"))
    assert list(all_figures(read_run_view(*load_state(tmp_path)))) == []
