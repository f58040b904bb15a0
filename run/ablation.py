"""What each bit of the best network is worth: its neighbours in the space, trained with fresh seeds beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from records import Individual, TrainingJob, TrainingResult
from records.runs import Ablation, Neighbour
from records.texts import Chromosome
from run.best_model import FINAL
from run.work import Work
from search.operators import flip
from search_space.genes import value_in_words
from storage.results import save_ablation


def ablate(work: Work, name: str) -> Ablation | None:
    """Trains every network that differs from the individual `name` in one coding bit, and its own, with fresh seeds.

    Their seeds are none of the finalists', by which the best was chosen. Networks that several bits
    lead to train once. What comes out is written to `results/ablation.json`; the weights are removed,
    as nothing needs them. None where no ablation was asked for.
    """
    if not work.state.search.ablation:
        return None
    best = next(each for each in work.individuals() if each.name == name)
    flipped = {locus: flip(best.chromosome, locus) for locus in work.space.coding_loci}
    networks = {work.space.phenotype(text): text for text in (best.chromosome, *flipped.values())}
    jobs = {network: fresh_trainings(work, best, text) for network, text in networks.items()}
    named = {f"{FINAL}/{job.key[:16]}": job for trainings in jobs.values() for job in trainings}
    work.watcher.said(f"ablation: the best and {len(jobs) - 1} networks one bit away, {len(named)} trainings")
    work.trainings.estimate.expect_after([], 0, 0)
    results = {result.key: result for result in work.trainings.run_all(named, "the ablation").values()}
    accuracies = {network: reached(results[job.key] for job in trainings) for network, trainings in jobs.items()}
    ablation = Ablation(
        individual=best.name,
        chromosome=best.chromosome,
        accuracies=accuracies[work.space.phenotype(best.chromosome)],
        neighbours=tuple(_neighbour(work, best, locus, text, accuracies) for locus, text in flipped.items()),
    )
    save_ablation(work.run, ablation)
    _remove_weights(work, results.values())
    return ablation


def _neighbour(
    work: Work, best: Individual, locus: int, chromosome: Chromosome, accuracies: Mapping[str, tuple[float, ...]]
) -> Neighbour:
    """The network with one bit changed, and what its trainings reached; `accuracies` are by phenotype."""
    gene = next(gene for gene in work.space.encoding.table.genes if locus in gene.loci)
    network = work.space.phenotype(chromosome)
    return Neighbour(
        locus=locus,
        gene=gene.name,
        best_value=value_in_words(gene.value(best.chromosome)),
        value=value_in_words(gene.value(chromosome)),
        chromosome=chromosome,
        is_same_network=network == work.space.phenotype(best.chromosome),
        accuracies=accuracies[network],
    )


def fresh_trainings(work: Work, best: Individual, chromosome: Chromosome) -> list[TrainingJob]:
    """Full trainings of a network, with seeds that no finalist had."""
    seeds = work.state.search.final_seeds
    job = work.job(replace(best, chromosome=chromosome), work.jobs.rungs[-1])
    return [replace(job, replicate=replicate, stop_below=()) for replicate in range(seeds + 1, 2 * seeds + 1)]


def reached(results: Iterable[TrainingResult]) -> tuple[float, ...]:
    """The accuracies of those that succeeded."""
    return tuple(fitness.value for result in results if (fitness := result.fitness) is not None)


def _remove_weights(work: Work, results: Iterable[TrainingResult]) -> None:
    """Removes the weights of these trainings, and their folders."""
    removed = list(results)
    work.trainings.remove_weights(removed)
    for folder in {(work.run.root / each.weights).parent for each in removed if each.weights is not None}:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
