"""What each bit of the best network is worth: its neighbours in the space, trained with fresh seeds beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from records import Individual, TrainingJob, TrainingResult
from records.runs import Ablation, ModelInfo, Neighbour
from records.texts import Chromosome
from run.best_model import FINAL
from run.loop import Search
from search.operators import flip
from search_space.encoding import value_in_words
from storage.results import save_ablation, save_pruned


def ablate(search: Search, info: ModelInfo) -> Ablation | None:
    """Trains every network that differs from the best in one coding bit, and the best itself, with fresh seeds.

    Their seeds are none of the finalists', by which the best was chosen. Networks that several bits
    lead to train once. What comes out stands in `results/ablation.json`; the weights are removed,
    as nothing needs them. None where no ablation was asked for.
    """
    if not search.state.search.ablation:
        return None
    best = next(each for each in search.individuals() if each.name == info.individual.name)
    flipped = {locus: flip(best.chromosome, locus) for locus in search.space.coding_loci}
    networks = {search.space.phenotype(text): text for text in (best.chromosome, *flipped.values())}
    jobs = {network: fresh_trainings(search, best, text) for network, text in networks.items()}
    named = {f"{FINAL}/{job.key[:16]}": job for trainings in jobs.values() for job in trainings}
    search.console.say(f"ablation: the best and {len(jobs) - 1} networks one bit away, {len(named)} trainings")
    search.estimate.expect_after([], 0, 0)
    results = {result.key: result for result in search.run_jobs(named, "the ablation").values()}
    accuracies = {network: reached(results[job.key] for job in trainings) for network, trainings in jobs.items()}
    own = search.space.phenotype(best.chromosome)

    def neighbour(locus: int, chromosome: Chromosome) -> Neighbour:
        gene = next(gene for gene in search.encoding.table.genes if locus in gene.loci)
        network = search.space.phenotype(chromosome)
        return Neighbour(
            locus=locus,
            gene=gene.name,
            best_value=value_in_words(gene.value(best.chromosome)),
            value=value_in_words(gene.value(chromosome)),
            chromosome=chromosome,
            is_same_network=network == own,
            accuracies=accuracies[network],
        )

    ablation = Ablation(
        individual=best.name,
        chromosome=best.chromosome,
        accuracies=accuracies[own],
        neighbours=tuple(neighbour(locus, chromosome) for locus, chromosome in flipped.items()),
    )
    save_ablation(search.run, ablation)
    remove_weights(search, results.values())
    return ablation


def fresh_trainings(search: Search, best: Individual, chromosome: Chromosome) -> list[TrainingJob]:
    """Full trainings of a network, with seeds that no finalist had."""
    seeds = search.state.search.final_seeds
    job = search.job(replace(best, chromosome=chromosome), search.rungs[-1])
    return [replace(job, replicate=replicate, stop_below=()) for replicate in range(seeds + 1, 2 * seeds + 1)]


def reached(results: Iterable[TrainingResult]) -> tuple[float, ...]:
    """The accuracies of those that succeeded."""
    return tuple(fitness.value for result in results if (fitness := result.fitness) is not None)


def remove_weights(search: Search, results: Iterable[TrainingResult]) -> None:
    """Removes the weights of these trainings; the record that says so is written first."""
    there = {each.key: search.run.root / each.weights for each in results if each.weights is not None}
    search.pruned |= there.keys()
    save_pruned(search.run, search.pruned)
    for path in there.values():
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()
