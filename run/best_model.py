"""Hands over the best network of a run: trains it once more where asked, tests it once, writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from image_data import ImageData
from image_data.tensors import image_tensor
from model_generator import load_model
from records import Individual, InputError, RunFault, TrainingJob
from records.canonical import to_json
from records.runs import Finalist, ModelInfo, TestScore
from run.time_estimate import trainings_after
from run.work import Work
from search_space.architecture import architecture_of
from storage.directory import RunDirectory
from storage.files import file_sha256, sealed
from storage.results import INFO, PARETO, read_info
from training.metrics import accuracy_and_loss, balanced_accuracy, predict

FINAL = "final"  # the name under which the trainings after the last generation keep their files


@dataclass(frozen=True)
class Choice:
    """The individual that a run hands over, the finalists that it was chosen from, and the training of its weights.

    `name` is that under which the training keeps its weights.
    """

    individual: Individual
    finalists: tuple[Finalist, ...]
    job: TrainingJob
    name: str


def hand_over(work: Work, data: ImageData, device: torch.device) -> ModelInfo:
    """Writes `best_model/` and returns what it holds. Weights come first, then what describes them.

    A model that was handed over before, by a run that was resumed after its end, is not tested again.
    """
    run = work.run
    choice = choose(work)
    job, name = choice.job, choice.name
    if (final_epochs := work.state.search.final_epochs) is not None:
        protocol = replace(job.protocol, epochs=final_epochs)
        job, name = replace(job, protocol=protocol, split="all", replicate=0, stop_below=()), FINAL
    result = work.trainings.trained(job, name)
    info = replace(
        work.info(choice.individual),
        split=job.split,
        result=result,
        weights=result.weights,
        finalists=choice.finalists,
    )
    _write_front(work)
    if (before := _handed_over_before(run, info)) is not None:
        return before
    run.evaluations.clear()  # of the model that is about to be replaced
    run.remove(run.model_card)
    run.write(run.best_model, (run.root / str(result.weights)).read_bytes())
    model = load_model(run.best_model, architecture_of(info.phenotype))
    is_balanced = work.state.training.metric == "balanced_accuracy"
    info = replace(info, test=test_score(model, data, device, info.precision, is_balanced))
    run.write(run.best_info, sealed(INFO, to_json(info)))
    return info


def choose(work: Work) -> Choice:
    """The best network, as measured in the search or by the mean of fresh trainings where there are finalists.

    Raises `RunFault` if no training has succeeded.
    """
    best = work.engine.best
    if best is None:
        raise RunFault("no training has succeeded, so there is no best network")
    if work.state.search.finalists_trained == 0:
        return Choice(best, (), work.last_job(best), best.name)
    return _best_finalist(work, work.engine.finalists(work.state.search.finalists_trained))


def _best_finalist(work: Work, candidates: Sequence[Individual]) -> Choice:
    """Trains the finalists with fresh seeds, so that luck in the search does not count, and compares their means.

    Of the winner's trainings the one with the best accuracy is handed over.
    """
    seeds = work.state.search.final_seeds
    count, fresh = len(candidates), f"{seeds} fresh seeds"
    who = f"the best {count} train again, each" if count > 1 else "the best trains again"
    work.watcher.said(f"{who} with {fresh}")
    trainings = [
        [replace(work.last_job(each), replicate=seed, stop_below=()) for seed in range(1, seeds + 1)]
        for each in candidates
    ]
    names = {job.key: f"{FINAL}/{job.key[:16]}" for jobs in trainings for job in jobs}
    networks = [work.space.network(each.chromosome) for each in candidates]
    following = trainings_after(work.state) - work.state.search.final_trainings
    work.trainings.estimate.expect_after(networks, following, work.jobs.rungs[-1])
    results = work.trainings.run_all({names[job.key]: job for jobs in trainings for job in jobs}, "the finalists")
    ranked = []
    for each, jobs in zip(candidates, trainings, strict=True):
        reached = [(fitness.value, job) for job in jobs if (fitness := results[names[job.key]].fitness) is not None]
        if reached:
            accuracies = tuple(value for value, _ in reached)
            finalist = Finalist(individual=each.name, chromosome=each.chromosome, accuracies=accuracies)
            ranked.append((finalist, each, max(reached, key=lambda pair: pair[0])[1]))
    if not ranked:
        raise RunFault(f"no training of the finalist {candidates[0].name} succeeded")
    ranked.sort(key=lambda entry: -entry[0].mean)
    _, best, job = ranked[0]
    return Choice(best, tuple(finalist for finalist, _, _ in ranked), job, names[job.key])


def _write_front(work: Work) -> None:
    """`pareto.json`: the networks that no other beats in all objectives, where there are several."""
    objectives = work.state.search.objectives
    if len(objectives) == 1:
        return
    front = []
    for each in work.front():
        info = work.info(each)
        front.append(
            {
                "individual": each.name,
                "chromosome": each.chromosome,
                "network": info.description,
                "objectives": {name: abs(each.fitness.objective(name)) for name in objectives if each.fitness},
                "weights": info.weights,
            }
        )
    work.run.write(work.run.pareto, sealed(PARETO, {"objectives": list(objectives), "front": front}))


def _handed_over_before(run: RunDirectory, info: ModelInfo) -> ModelInfo | None:
    """What `best_model/` holds, if it is this very model, tested."""
    if not (run.best_info.is_file() and run.best_model.is_file()) or info.result is None:
        return None
    try:
        before = read_info(run.best_info)
    except InputError:
        return None  # it is written anew
    same = before.test is not None and replace(before, test=None) == info
    return before if same and file_sha256(run.best_model) == info.result.weights_sha256 else None


def test_score(model: nn.Module, data: ImageData, device: torch.device, precision: str, is_balanced: bool) -> TestScore:
    """Accuracy and loss of a model on the test images, and where asked the mean accuracy of the classes."""
    model.to(device).to(memory_format=torch.channels_last)
    labels = torch.from_numpy(data.test_labels).to(device)
    logits = predict(model, image_tensor(data.test_images, device), precision)
    accuracy, loss = accuracy_and_loss(logits, labels)
    balanced = balanced_accuracy(logits, labels) if is_balanced else None
    return TestScore(accuracy=accuracy, loss=loss, images=len(labels), balanced_accuracy=balanced)
