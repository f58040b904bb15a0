"""What every search shares: which individuals `tell` accepts."""

from __future__ import annotations

import pytest

from records import EvolutionConfig, Individual
from records.texts import Chromosome
from search.base import BitStrings
from tests.builders import one_max
from tests.genetic_algorithm.searches import search


@pytest.mark.parametrize("number", [0, 2, 3])
def test_individuals_of_another_generation_are_refused(number: int) -> None:
    engine = search(EvolutionConfig(population=2, tournament_size=1, elitism=0), BitStrings(8), 0).engine
    stranger = Individual(generation=number, index=1, chromosome=Chromosome("0" * 8), origin="random").evaluated(1.0)
    with pytest.raises(ValueError, match=rf"up to 2 individuals of generation 1, .* found \[\({number}, 1\)\]"):
        engine.tell([stranger])
    assert engine.generations == []


def test_a_mixture_of_generations_and_nothing_at_all_are_refused() -> None:
    engine = search(EvolutionConfig(), BitStrings(20), 1, one_max).engine
    second = [one_max(individual) for individual in engine.ask()]
    for told in ([], [*engine.generations[0].individuals[:1], *second[1:]], engine.generations[0].individuals):
        with pytest.raises(ValueError, match="generation 2"):
            engine.tell(told)
    engine.tell(second)
    assert [each.number for each in engine.generations] == [1, 2]
