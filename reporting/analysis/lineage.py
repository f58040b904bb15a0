"""Where an individual came from: the steps from parents to children that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from records import Individual
from reporting.analysis.accuracies import accuracies_by_epochs
from search_space.genes import GeneTable


@dataclass(frozen=True, slots=True)
class LineageStep:
    """A step from parent to child: the coding bits and genes that changed, and the gain in accuracy."""

    parent: Individual
    child: Individual
    loci: tuple[int, ...]
    changes: tuple[tuple[str, object, object], ...]  # gene, value of the parent, value of the child
    gain: float | None  # in accuracy, after the longest training that both completed
    epochs: int  # of that training; 0 if there is none


def step_between(parent: Individual, child: Individual, table: GeneTable) -> LineageStep:
    before, after = accuracies_by_epochs(parent), accuracies_by_epochs(child)
    epochs = max(before.keys() & after.keys(), default=0)
    values = [(gene.name, gene.value(parent.chromosome), gene.value(child.chromosome)) for gene in table.genes]
    return LineageStep(
        parent=parent,
        child=child,
        loci=tuple(locus for locus in table.coding_loci if parent.chromosome[locus] != child.chromosome[locus]),
        changes=tuple(change for change in values if change[1] != change[2]),
        gain=after[epochs] - before[epochs] if epochs else None,
        epochs=epochs,
    )


def lineage(individuals: Sequence[Individual], name: str, table: GeneTable) -> list[LineageStep]:
    """All steps that led to an individual, the earliest first. Elites are replaced by the individuals they copy."""
    by_name = {individual.name: individual for individual in individuals}
    steps: list[LineageStep] = []
    open_names, seen = [original(by_name, name).name], set[str]()
    while open_names:
        child = by_name[open_names.pop()]
        if child.name not in seen:
            seen.add(child.name)
            parents = {original(by_name, parent).name for parent in child.parents}
            steps += [step_between(by_name[parent], child, table) for parent in sorted(parents)]
            open_names += parents
    return sorted(steps, key=lambda step: (step.child.generation, step.child.index, step.parent.rank))


def original(by_name: Mapping[str, Individual], name: str) -> Individual:
    """The individual that an elite is a copy of; any other individual itself."""
    individual = by_name[name]
    while individual.origin == "elite":
        individual = by_name[individual.parents[0]]
    return individual


def main_line(steps: Sequence[LineageStep], name: str) -> list[LineageStep]:
    """The steps to an individual through the closer parent of each child: fewer bits changed, then fitter."""
    by_child: dict[str, list[LineageStep]] = {}
    for step in steps:
        by_child.setdefault(step.child.name, []).append(step)
    line: list[LineageStep] = []
    while name in by_child:
        nearest = min(by_child[name], key=lambda step: (len(step.loci), step.parent.rank))
        line.append(nearest)
        name = nearest.parent.name
    return line[::-1]


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Where an individual came from: all steps that led to it, and its main line."""

    individual: Individual  # not an elite, but the individual that it is a copy of
    steps: tuple[LineageStep, ...]
    line: tuple[LineageStep, ...]


def ancestry(individuals: Sequence[Individual], name: str, table: GeneTable) -> Ancestry:
    individual = original({each.name: each for each in individuals}, name)
    steps = lineage(individuals, individual.name, table)
    return Ancestry(individual, tuple(steps), tuple(main_line(steps, individual.name)))
