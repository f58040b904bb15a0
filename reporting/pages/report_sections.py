"""The sections of a run's report: each says in one sentence what to see in its figures, drawings and tables."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from records import Individual
from records.words import counted, percentage_points, quantity
from reporting.analysis.ablation import by_effect
from reporting.analysis.accuracies import best_so_far, common_epochs, comparable, longest_epochs
from reporting.analysis.devices import timeline
from reporting.analysis.energy import energy_used
from reporting.analysis.forecasts import outcomes
from reporting.analysis.gene_effects import GeneEffects, gene_effects
from reporting.analysis.lineage import Descent, lineage, main_line, original
from reporting.analysis.population import allele_frequencies, diversity
from reporting.analysis.progress import spending
from reporting.analysis.savings import Savings, savings
from reporting.console import duration
from reporting.drawings.network_svg import network_svg
from reporting.figures.effect_plots import draw_gene_values, draw_interactions, draw_main_effects
from reporting.figures.run_plots import (
    draw_ablation,
    draw_alleles,
    draw_diversity,
    draw_forecasts,
    draw_front,
    draw_learning_curves,
    draw_lineage,
    draw_progress,
    draw_spending,
    draw_timeline,
    epochs_in_words,
    letters,
)
from reporting.pages.pages import figure_markup
from reporting.run_view import RunView
from search.ranking import pareto_front
from search_space.encoding import decode, value_in_words

DECIDED = 0.95  # share of the individuals that agree, from which on a locus counts as decided
MOST_LISTED = 30  # networks of a Pareto front that are drawn


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure, the name of its file, words for those who do not see it, and what stands under it."""

    figure: Figure
    name: str
    words: str
    caption: str = ""

    @property
    def markup(self) -> Markup:
        return figure_markup(self.figure, self.name, self.words)


@dataclass(frozen=True, slots=True)
class NetworkPicture:
    """The drawing of a network, with what stands above and under it."""

    title: str
    markup: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of words; the first column is a name."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    id: str
    title: str
    lead: str
    figures: tuple[Picture, ...] = ()
    drawings: tuple[NetworkPicture, ...] = ()
    tables: tuple[Table, ...] = ()
    more: str = ""


def sections(view: RunView) -> list[Section]:
    """The sections for which there is something to see."""
    if not view.individuals:
        return [section for section in [devices(view)] if section is not None]
    makers = (finalists, progress, architectures, components, ablation, search, descent, devices, front)
    return [section for maker in makers if (section := maker(view)) is not None]


def drawing(view: RunView, individual: Individual) -> Markup:
    return Markup(network_svg(decode(view.space.encoding, individual.chromosome)))  # noqa: S704 our own


def finalists(view: RunView) -> Section | None:
    """How the winner was chosen among the best, with fresh seeds."""
    info = view.info
    if info is None or not info.finalists:
        return None
    searched = {each.name: each.fitness.value for each in view.individuals if each.fitness}
    rows = []
    for each in info.finalists:
        value, error = searched.get(each.individual), each.standard_error
        mean = f"{each.mean:.4f}" + ("" if error is None else f" ± {error:.4f}")
        accuracies = ", ".join(f"{accuracy:.4f}" for accuracy in each.accuracies)
        rows.append((each.individual, "–" if value is None else f"{value:.4f}", mean, accuracies))
    lead = f"The best {len(rows)} trained again with fresh seeds, and the one with the best mean was handed over"
    if len(rows) == 1:
        lead = "The best trained again with fresh seeds, and of these trainings the best was handed over"
    ahead = max(info.finalists, key=lambda each: searched.get(each.individual, 0.0))
    value = searched.get(ahead.individual, 0.0)
    if ahead is not info.finalists[0]:
        lead += f": {ahead.individual}, ahead in the search with {value:.4f}, came to {ahead.mean:.4f} on average"
    columns = ("network", "in the search", "mean with fresh seeds", "each")
    table = Table(columns, tuple(rows), f"Validation {view.measure} of each training.")
    return Section("finalists", "Was the winner lucky?", f"{lead}.", tables=(table,))


def progress_lead(view: RunView) -> str:
    """From where to where the best rose, and for how long it has not."""
    best: dict[int, float] = {}  # by generation
    for each, value in zip(view.individuals, best_so_far(view.individuals), strict=True):
        if value is not None:
            best[each.generation] = value
    if not best:
        return "No training has succeeded yet, so there is nothing to compare."
    (first, start), (last, end) = next(iter(best.items())), list(best.items())[-1]
    reached = min((each for each in view.individuals if each.fitness), key=lambda each: each.rank).generation
    lead = f"The best, {end:.4f}, was there from generation {reached} on"
    if end > start:
        lead = f"The best rose from {start:.4f} in generation {first} to {end:.4f} in generation {reached}"
    still = last - reached
    if still > 1:
        lead += f"; the {still} generations after it found nothing better"
    return f"{lead}. Each of these is a single training, as the search saw it."


def progress(view: RunView) -> Section:
    generations, measure = view.state.generations, view.measure
    spent, common = spending(view.state), common_epochs(view.individuals)
    fewer = f" With early stopping all can be compared after {epochs_in_words(common)} only." if common else ""
    longest = longest_epochs(view.individuals)
    figures = [
        Picture(
            draw_progress(generations, measure),
            "progress",
            f"{measure} over generations",
            "Each dot is an individual; the band holds the middle half of a generation."
            + (fewer if common != longest else ""),
        ),
        Picture(
            draw_spending(spent, measure),
            "spending",
            f"best {measure} against trainings and device hours",
            "The same against what was paid: a curve that has been flat for long says that the run could have ended "
            "earlier.",
        ),
    ]
    if longest > 1:
        curves = draw_learning_curves(generations, view.state.results, measure)
        figures.append(
            Picture(
                curves,
                "curves",
                "learning curves",
                "The longest training of each individual, generation by generation: curves that still rise at their "
                "end ask for more epochs.",
            )
        )
    return Section("progress", "Progress", progress_lead(view), figures=tuple(figures))


def architectures(view: RunView) -> Section | None:
    by_name = {each.name: each for each in view.individuals}
    found = [generation.best for generation in view.state.generations if generation.best.fitness is not None]
    if not found:
        return None
    first_seen: dict[str, Individual] = {}
    for each in found:
        first_seen.setdefault(view.space.phenotype(each.chromosome), each)
    drawings = []
    before: Individual | None = None
    for each in first_seen.values():
        source = original(by_name, each.name)
        changed = "" if before is None else f"; {changes_in_words(view, before, each)}"
        assert each.fitness is not None  # noqa: S101 as chosen above
        drawings.append(
            NetworkPicture(
                f"from generation {each.generation}",
                drawing(view, each),
                f"{each.fitness.value:.4f} ({source.name}), {quantity('parameters', each.fitness.parameters)}{changed}",
            )
        )
        before = each
    return Section(
        "architectures",
        "Best networks",
        "The best network of each generation, drawn where it was the best for the first time, with what differs from "
        "the one before."
        if len(drawings) > 1
        else "One network was the best of all generations.",
        drawings=tuple(drawings),
    )


def changes_in_words(view: RunView, before: Individual, after: Individual) -> str:
    """The genes in which two individuals differ: "kernel 3 → 5, pooling max → average"."""
    genes = view.table.genes
    return changed_genes([(gene.name, gene.value(before.chromosome), gene.value(after.chromosome)) for gene in genes])


def changed_genes(changes: Sequence[tuple[str, object, object]]) -> str:
    words = [
        f"{name.replace('_', ' ')} {value_in_words(old)} → {value_in_words(new)}"
        for name, old, new in changes
        if old != new
    ]
    return ", ".join(words) or "no gene changed"


def components(view: RunView) -> Section:
    effects = gene_effects(view.space, view.individuals)
    lengths = {each.fitness.epochs for each in view.individuals if each.fitness}
    estimated = " How bad networks that were stopped early would have been is estimated." if len(lengths) > 1 else ""
    return Section(
        "components",
        "Which component matters",
        components_lead(effects),
        figures=(
            Picture(
                draw_main_effects(effects),
                "effects",
                "main effects of genes",
                "What each value brings against the mean of all values of its gene, all other genes held equal "
                f"(ridge regression on all results, 95% intervals).{estimated}",
            ),
            Picture(
                draw_gene_values(effects, view.measure),
                "values",
                f"mean {view.measure} by gene value",
                "The plain means of what was trained, with their counts: a search trains good neighbours of good "
                "networks, so these mix a value's worth with the company it kept.",
            ),
            Picture(
                draw_interactions(effects),
                "interactions",
                "pairwise interactions of genes",
                "How much pairs of genes bring beyond the sum of both; marked pairs are clearer than chance.",
            ),
        ),
    )


def components_lead(effects: GeneEffects) -> str:
    """Which gene matters most, how much, and between which of its values."""
    if not effects.ranked:
        return "No gene varied among the networks that trained, so nothing can be said of any."
    top, *others = effects.ranked
    low, high = top.importance_interval or (0.0, 0.0)
    size = f"{100 * (top.importance or 0.0):.1f} points (95%: {100 * low:.1f} to {100 * high:.1f})"
    networks, name = counted(effects.networks, "network"), top.name.replace("_", " ")
    if round(1000 * low) == 0:
        lead = f"No gene stands out clearly from {networks}: the largest estimate is that of {name}, {size}."
    else:
        tried = sorted((each for each in top.values if each.effect is not None), key=lambda each: each.effect or 0.0)
        worst, best = value_in_words(tried[0].value), value_in_words(tried[-1].value)
        lead = f"Of the genes, {name} matters most, by {size}: best is {best}, worst of those tried {worst}, all else "
        lead += f"equal; from {networks}."
        if others:
            lead += f" Next is {others[0].name.replace('_', ' ')}, {100 * (others[0].importance or 0.0):.1f} points."
    if effects.never_varied:
        lead += f" Never varied, so unknown: {', '.join(gene.name.replace('_', ' ') for gene in effects.never_varied)}."
    return lead


def ablation(view: RunView) -> Section:
    found = view.ablation
    if found is None:
        more = shlex.join(["python", "evolution.py", "--resume", str(view.run.root), "--ablation"])
        there = "Asked for, and not there (yet)" if view.state.search.ablation else "Not measured in this run"
        lead = (
            f"{there}: an ablation trains every network that differs from the best in one bit, with several seeds, and "
            "so tells what each bit is worth there."
        )
        return Section("ablation", "Around the best", lead, more=more)
    pairs, seeds = by_effect(found), len(found.accuracies)
    clear = [apart.mean for _, apart in pairs if apart.is_clear]
    better = sum(mean > 0 for mean in clear)
    lead = (
        f"{counted(len(pairs), 'bit')} of the best, each changed alone and trained with {counted(seeds, 'fresh seed')}"
    )
    if seeds > 1:
        lead += (
            f": {len(clear) - better} clearly worse and {better} clearly better (full dots, whose intervals keep clear "
            "of 0)."
        )
    else:
        lead += "; with one seed there are no intervals, and nothing is clear."
    same = sum(each.is_same_network for each in found.neighbours)
    caption = f"{counted(same, 'further bit')} of the best change nothing there." if same else ""
    figure = draw_ablation(found, view.measure)
    words = f"what changing one bit of the best does to its {view.measure}"
    return Section("ablation", "Around the best", lead, (Picture(figure, "ablation", words, caption),))


def search(view: RunView) -> Section:
    state, table = view.state, view.table
    loci = list(table.coding_loci)
    shares = allele_frequencies(state.generations[-1:])[0, loci]
    decided, spared = int((np.maximum(shares, 1 - shares) >= DECIDED).sum()), savings(state)
    figures = [
        Picture(
            draw_alleles(state.generations, table),
            "alleles",
            "allele frequencies and their entropy",
            "Rows that turn to one colour are decided; early decisions may be hitchhikers of one good network.",
        ),
        Picture(
            draw_diversity(diversity(state.generations, table)),
            "diversity",
            "diversity",
            "Where both near zero the population has converged, and only mutation brings news.",
        ),
        *forecasts(view),
    ]
    return Section(
        "search",
        "The search itself",
        f"In the last generation {decided} of {len(loci)} coding bits are decided (at least 95% of the individuals "
        "agree); "
        f"{spared.share:.0%} of the trainings that these individuals stand for were spared.",
        figures=tuple(figures),
        tables=(savings_table(spared),),
    )


def forecasts(view: RunView) -> list[Picture]:
    found = outcomes(view.individuals)
    if not found:
        return []
    in_full = [each for each in found if each.in_full]
    caption = (
        f"{sum(each.within for each in in_full)} of {len(in_full)} networks that were trained in full came out within "
        "the 95% interval of their forecast. They were chosen for high forecasts: expect some disappointments."
    )
    return [Picture(draw_forecasts(found, view.measure), "forecasts", "forecast against outcome", caption)]


def savings_table(spared: Savings) -> Table:
    early = spared.networks - spared.full_trainings
    rows = (
        ("individuals", f"{spared.individuals:,}", ""),
        ("spared by memory", f"{spared.individuals - spared.networks:,}", "elites and networks known from earlier"),
        ("spared by early stopping", f"{early:,.1f}", f"of {spared.networks:,} full trainings (in units of them)"),
        ("taken from earlier runs", f"{spared.reused:,}", "trainings (--reuse)"),
        (
            "chosen by the predictor",
            f"{spared.screened:,}",
            "networks, each the most promising of many offspring; what the others would have cost is not known",
        ),
        ("spent", f"{spared.full_trainings:,.1f}", "full trainings"),
    )
    return Table(("trainings", "", ""), rows, "What was spared, and what was spent.")


def descent(view: RunView) -> Section | None:
    if view.best is None:
        return None
    by_name = {each.name: each for each in view.individuals}
    best = original(by_name, view.best.name)
    steps = lineage(view.individuals, best.name, view.table)
    line = main_line(steps, best.name)
    gains = [step for step in line if step.gain is not None]
    if not line:
        lead = f"The best network, {best.name}, is of {best.origin} origin: it has no ancestors."
    else:
        first, largest = line[0].parent, max(gains, key=lambda step: step.gain or 0, default=None)
        lead = f"The best came about in {len(line)} step{'s' if len(line) > 1 else ''} from {first.name}"
        if largest is not None and (largest.gain or 0) > 0:
            lead += (
                f"; the largest, {percentage_points(largest.gain or 0)}, came with {largest.child.name}: "
                f"{changed_genes(largest.changes)}"
            )
        lead += "."
    rows = tuple(step_row(step) for step in line)
    others = tuple(step_row(step) for step in steps if step not in line)
    columns = ("step", "what changed", "brought", "after", "made by", "bits")
    tables = [Table(columns, rows, "The main line: from each child to its nearer parent.")] if rows else []
    if others:
        tables.append(Table(columns, others, "All other steps between ancestors."))
    figure = draw_lineage(steps, line, comparable(view.individuals), view.measure)
    caption = "One training is one throw of the dice: small steps up or down may be luck."
    return Section(
        "descent",
        "Where the best came from",
        lead,
        figures=(Picture(figure, "lineage", "ancestors of the best", caption),),
        tables=tuple(tables),
    )


def step_row(step: Descent) -> tuple[str, ...]:
    return (
        f"{step.parent.name} → {step.child.name}",
        changed_genes(step.changes),
        "–" if step.gain is None else percentage_points(step.gain),
        epochs_in_words(step.epochs) if step.epochs else "–",
        step.child.origin,
        ", ".join(map(str, step.loci)),
    )


def devices(view: RunView) -> Section | None:
    found = timeline(view.results.values())
    if not found.bars:
        return None
    count, pauses = len(found.devices), len(found.pauses)
    lead = (
        f"{counted(count, 'device')} trained {found.utilisation:.0%} of {duration(found.seconds)}: "
        f"{counted(len(found.bars), 'training')} of {duration(found.busy)} together"
    )
    if count > 1:
        lead += f", {found.busy / found.seconds:.2f} times as fast as one after the other"
    lead += "."
    if pauses:
        lead += f" The run was stopped {pauses} time{'s' if pauses > 1 else ''}; that time is cut out."
    if (energy := energy_used(view.results.values())) is not None:
        lead += f" While they trained they used {energy.words}."
    seconds = [bar.end - bar.start for bar in found.bars]
    return Section(
        "devices",
        "Devices",
        lead,
        figures=(
            Picture(
                draw_timeline(found),
                "timeline",
                "trainings by device over time",
                f"Each bar is a training (median {duration(statistics.median(seconds))}, longest "
                f"{duration(max(seconds))}); white is idle time: before a generation ends, and between two.",
            ),
        ),
    )


def front(view: RunView) -> Section | None:
    objectives = view.state.search.objectives
    found = pareto_front(view.individuals, objectives)
    if len(objectives) == 1 or not found:
        return None
    marks = letters(len(found))
    drawings = []
    for mark, each in list(zip(marks, found, strict=True))[:MOST_LISTED]:
        assert each.fitness is not None  # noqa: S101 only those have a place on the front
        costs = ", ".join(quantity(name, each.fitness.objective(name)) for name in objectives[1:])
        caption = f"{each.fitness.value:.4f}, {costs} ({each.name})"
        drawings.append(NetworkPicture(mark, drawing(view, each), caption))
    figures = [
        Picture(
            draw_front(view.individuals, found, name, view.measure),
            f"front-{name}",
            f"{view.measure} against {name}",
        )
        for name in objectives[1:]
    ]
    more = "" if len(found) <= MOST_LISTED else f" The first {MOST_LISTED} are drawn."
    return Section(
        "front",
        "Pareto front",
        f"{counted(len(found), 'network')} beaten by no other in all of {', '.join(objectives)} at once: the choice "
        f"is yours.{more}",
        figures=tuple(figures),
        drawings=tuple(drawings),
    )
