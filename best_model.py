"""Hands over the best network of a run: trains it once more where asked, tests it once, writes it."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from torch import nn

from chromosome import architecture_of
from image_data import ImageData, image_tensor
from model_generator import load_model
from records import InputError, ModelInfo, RunFault, TestScore
from run_directory import RunDirectory, file_sha256, sealed, write_durably
from run_state import INFO, read_info
from search import Search
from train_model import accuracy_and_loss, predict

FINAL = "final"  # the name under which the last, longer training of the best keeps its files


def hand_over(search: Search, data: ImageData, device: torch.device) -> ModelInfo:
    """Writes `best_model/` and returns what it holds. Weights come first, then what describes them.

    A model that was handed over before, by a run that was resumed after its end, is not tested again.
    """
    run, best = search.run, search.engine.best
    if best is None or best.fitness is None:
        raise RunFault("no training has succeeded, so there is no best network")
    job = search.job(best)
    if (final_epochs := search.state.search.final_epochs) is not None:
        job = replace(job, protocol=replace(job.protocol, epochs=final_epochs), split="all")
    result = search.trained(job, best.name if final_epochs is None else FINAL)
    info = replace(search.info(best), split=job.split, result=result, weights=result.weights)
    if (before := _handed_over_before(run, info)) is not None:
        return before
    for stale in run.best_model.parent.glob("*"):
        if stale.name.startswith(("evaluation.", "confusion_matrix.")):
            stale.unlink()  # of the model that is about to be replaced
    write_durably(run.best_model, (run.root / str(result.weights)).read_bytes())
    model = load_model(run.best_model, architecture_of(info.phenotype))
    info = replace(info, test=test_score(model, data, device, info.precision))
    write_durably(run.best_info, sealed(INFO, asdict(info)))
    return info


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


def test_score(model: nn.Module, data: ImageData, device: torch.device, precision: str) -> TestScore:
    """Accuracy and loss of a model on the test images."""
    model.to(device).to(memory_format=torch.channels_last)
    labels = torch.from_numpy(data.test_labels).to(device)
    accuracy, loss = accuracy_and_loss(predict(model, image_tensor(data.test_images, device), precision), labels)
    return TestScore(accuracy=accuracy, loss=loss, images=len(labels))
