"""Best networks: those that led a generation, and what changed from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

from records import Individual
from records.objectives import quantity
from reporting.analysis.lineage import original
from reporting.pages.sections.section import NetworkDrawing, Section, drawing
from reporting.run_view import RunView
from search_space.genes import value_in_words


def section(view: RunView) -> Section | None:
    leaders = _leaders(view)
    if not leaders:
        return None
    by_name = {each.name: each for each in view.individuals}
    drawings = []
    before: Individual | None = None
    for each in leaders:
        source = original(by_name, each.name)
        changed = "" if before is None else f"; {changes(view, before, each)}"
        assert each.fitness is not None  # noqa: S101 only trained individuals lead
        drawings.append(
            NetworkDrawing(
                f"from generation {each.generation}",
                drawing(view, each),
                f"{each.fitness.value:.4f} ({source.name}), {quantity('parameters', each.fitness.parameters)}{changed}",
            )
        )
        before = each
    lead = "One network was the best of all generations."
    if len(drawings) > 1:
        lead = (
            "The best network of each generation, drawn in the generation in which it first led, with the genes that "
            "differ from the one before."
        )
    return Section("architectures", "Best networks", lead, drawings=tuple(drawings))


def _leaders(view: RunView) -> list[Individual]:
    """The best individual of each generation, each network once."""
    found: dict[str, Individual] = {}
    for generation in view.state.generations:
        if generation.best.fitness is not None:
            found.setdefault(view.space.phenotype(generation.best.chromosome), generation.best)
    return list(found.values())


def changes(view: RunView, before: Individual, after: Individual) -> str:
    """The genes in which two individuals differ: "kernel 3 → 5, pooling max → average"."""
    genes = view.table.genes
    return changed_genes([(gene.name, gene.value(before.chromosome), gene.value(after.chromosome)) for gene in genes])


def changed_genes(values: Sequence[tuple[str, object, object]]) -> str:
    """The genes that changed, by name, old value and new value."""
    words = [
        f"{name.replace('_', ' ')} {value_in_words(old)} → {value_in_words(new)}"
        for name, old, new in values
        if old != new
    ]
    return ", ".join(words) or "no gene changed"
