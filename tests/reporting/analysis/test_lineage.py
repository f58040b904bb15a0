"""The steps that led to an individual."""

from __future__ import annotations

from dataclasses import replace

import pytest

from records import Individual, RunState
from records.individuals import all_individuals
from records.texts import Chromosome
from reporting.analysis.lineage import lineage, main_line, original, step_between
from search_space.genes import STANDARD
from search_space.space import NetworkSpace
from tests.reporting.examples import individual


# LineageStep
def family() -> list[Individual]:
    first = individual(1, 1, [0.5], Chromosome("0" * 19))
    second = individual(1, 2, [0.6], Chromosome("1" * 19))
    child = individual(2, 1, [0.7], Chromosome("1" * 18 + "0"), "crossover", ("gen1/ind1", "gen1/ind2"))
    elite = replace(child, generation=3, index=1, origin="elite", parents=("gen2/ind1",))
    grandchild = individual(4, 1, [0.7, 0.9], Chromosome("1" * 17 + "00"), "mutation", ("gen3/ind1",))
    return [first, second, child, elite, grandchild]


def test_a_lineage_names_every_step_and_skips_elites() -> None:
    steps = lineage(family(), "gen4/ind1", STANDARD)
    assert [(step.parent.name, step.child.name) for step in steps] == [
        ("gen1/ind2", "gen2/ind1"),
        ("gen1/ind1", "gen2/ind1"),
        ("gen2/ind1", "gen4/ind1"),
    ]
    assert [step.loci for step in steps][::2] == [(18,), (17,)]
    assert [step.changes for step in steps][::2] == [(("block_7", 1, 2),), (("block_6", 1, 2),)]


def test_the_main_line_goes_through_the_nearer_parent() -> None:
    line = main_line(lineage(family(), "gen4/ind1", STANDARD), "gen4/ind1")
    assert [(step.parent.name, step.child.name) for step in line] == [
        ("gen1/ind2", "gen2/ind1"),
        ("gen2/ind1", "gen4/ind1"),
    ]


def test_a_gain_compares_equal_trainings() -> None:
    parent, child = individual(1, 1, [0.5, 0.8]), individual(2, 1, [0.6, 0.7, 0.99])
    step = step_between(parent, child, STANDARD)
    assert step.epochs == 2
    assert step.gain == pytest.approx(-0.1)
    assert step_between(parent, individual(2, 2), STANDARD).gain is None


def test_an_elite_stands_for_its_original() -> None:
    by_name = {each.name: each for each in family()}
    assert original(by_name, "gen3/ind1").name == "gen2/ind1"
    assert original(by_name, "gen1/ind1").name == "gen1/ind1"


def test_the_lineage_of_a_real_run_begins_with_networks_that_have_no_parents(halved: RunState) -> None:
    individuals = all_individuals(halved.generations)
    table = NetworkSpace.of(halved).encoding.table
    for each in individuals:
        steps = lineage(individuals, each.name, table)
        children = {step.child.name for step in steps}
        assert all(step.parent.origin == "random" for step in steps if step.parent.name not in children)
        assert all(step.parent.generation < step.child.generation for step in steps)
        assert all(step.parent.origin != "elite" != step.child.origin for step in steps)
