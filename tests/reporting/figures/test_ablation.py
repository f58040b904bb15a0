"""The effects of single bits."""

from __future__ import annotations

from dataclasses import replace

from records.runs import Ablation, Neighbour
from records.texts import Chromosome
from reporting.figures.ablation import draw_ablation
from tests.reporting.figures.drawn import texts


def neighbour(locus: int, *accuracies: float, same: bool = False) -> Neighbour:
    return Neighbour(
        locus=locus,
        gene="kernel",
        best_value="3",
        value=str(locus),
        chromosome=Chromosome("0" * 19),
        is_same_network=same,
        accuracies=accuracies,
    )


def test_a_neighbour_far_off_stands_at_the_edge_with_its_number_and_hides_no_other() -> None:
    ablation = Ablation(
        individual="gen1/ind1",
        chromosome=Chromosome("0" * 19),
        accuracies=(0.9, 0.91),
        neighbours=(
            neighbour(1, 0.1, 0.11),
            *(neighbour(n, 0.89, 0.9 + n / 1000) for n in range(2, 8)),
            neighbour(8, same=True),
            neighbour(9, 0.905),
        ),
    )
    figure = draw_ablation(ablation)
    (axes,) = figure.axes
    assert texts(figure) == ["−80.0"]
    assert axes.get_xlim()[1] < 70
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "kernel 3 → 1"
    assert "kernel 3 → 8" not in names
    assert len(names) == 8
    nothing = replace(ablation, neighbours=())
    assert texts(draw_ablation(nothing)) == ["no neighbour of the best was trained"]
