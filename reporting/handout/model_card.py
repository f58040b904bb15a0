"""The card that lies beside a model: what it is, what it learnt from, how it was found, how good it is, how to load it.

After Mitchell et al. (2019), "Model cards for model reporting", as far as a program can know it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from records import RunState
from records.individuals import all_individuals
from records.runs import ModelInfo
from reporting.analysis.energy import energy_used
from reporting.analysis.progress import spending
from reporting.terminal import printable
from search_space.encoding import describe_hyperparameters
from search_space.tables import encoding_of
from training.statistics import is_uneven, wilson_interval

CLASSES_NAMED = 20

LOADING = """Without the program that found it, by plain PyTorch: `--export code` writes `model.py` beside the weights.

```
python evaluate.py --model_path best_model/best_model.pt --info_path best_model/info.json --export code
```

```python
import torch, model

network = model.load()
images = torch.zeros(1, *model.INPUT_SHAPE, dtype=torch.uint8)
print(model.CLASSES[int(model.predict(images, network)[0].argmax())])
```

The same flag writes ONNX (`onnx`), a `torch.export` program (`torch`) and `safetensors`. All of them take uint8
images (N, C, H, W) with pixel values from 0 to 255, as the normalisation is part of the network, and compute in
float32."""


def model_card(info: ModelInfo, state: RunState | None = None, evaluation: Mapping[str, Any] | None = None) -> str:
    """The card in Markdown: with `state`, of the run, also how the model was found; with what an evaluation reports."""
    sections = (
        ("What it is", _what(info)),
        ("Data", _data(info)),
        ("How it was found", _found(info, state)),
        ("How good it is", _accuracy(info, evaluation)),
        ("What it cost", _cost(info, state)),
    )
    parts = ["# Model card: an image classifier that was found by search"]
    parts += [f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in sections]
    parts.append(f"## How to load it\n\n{LOADING}")
    return "\n\n".join(parts) + "\n"


def _what(info: ModelInfo) -> Iterator[str]:
    channels, height, width = info.facts.input_shape
    yield f"A convolutional network: {_plain(info.description)}."
    yield f"Its chromosome: `{info.individual.chromosome}` ({info.individual.name}); made by version {info.version}."
    yield f"It reads uint8 images of {height}×{width} pixels with {channels} channel{'s' if channels > 1 else ''}."
    if info.result is not None:
        yield f"{info.result.parameters:,} parameters, {info.result.flops / 1e6:,.1f} million FLOPs an image."
        yield f"SHA-256 of its weights file: `{info.result.weights_sha256}`."


def _data(info: ModelInfo) -> Iterator[str]:
    facts, names = info.facts, info.facts.class_names
    more = f" and {len(names) - CLASSES_NAMED} more" if len(names) > CLASSES_NAMED else ""
    yield f"{_plain(info.data.dataset)}; fingerprint of images, order and splits `{facts.fingerprint}`."
    yield f"{facts.train_images:,} training, {facts.val_images:,} validation and {facts.test_images:,} test images."
    yield f"{len(names)} classes: {', '.join(map(_plain, names[:CLASSES_NAMED]))}{more}."
    trained = "training and validation images" if info.split == "all" else "training images alone"
    yield f"The weights were trained on the {trained}."
    yield "**Licence of the data: to be checked by whoever passes the model on.** It may bind the weights, too."


def _found(info: ModelInfo, state: RunState | None) -> Iterator[str]:
    if state is not None:
        search, known = state.search, encoding_of(state.facts, state.gene_table)
        scheme = " in a steady state" if search.scheme == "steady_state" else ""
        generations = f"{state.generation} generation{'s' if state.generation != 1 else ''}"
        yield (
            f"By the search `{search.algorithm}`{scheme}: {generations} of {search.population} individuals, "
            f"seed {search.seed}, for {', '.join(search.objectives)}."
        )
        settings = asdict(state.training) | known.hyperparameters(info.individual.chromosome)
        names = ("optimizer", "learning_rate", "weight_decay", "label_smoothing", "augmentation")
        words = describe_hyperparameters({name: settings[name] for name in names})
        yield f"Trained in batches of {state.training.batch_size}: {words}."
    if info.result is not None:
        count = len(info.result.epochs)
        yield f"Trained for {count} epoch{'s' if count > 1 else ''} in {info.precision}."
    for finalist in info.finalists:
        error = finalist.standard_error
        spread = "" if error is None else f" ± {error:.4f} (standard error)"
        count = len(finalist.accuracies)
        yield f"Finalist {finalist.individual}: {finalist.mean:.4f}{spread}, mean of {count} fresh seeds."


def _accuracy(info: ModelInfo, evaluation: Mapping[str, Any] | None) -> Iterator[str]:
    fitness, count = info.individual.fitness, info.facts.val_images
    if fitness is not None:
        before = ", before the final training" if info.split == "all" else ""
        is_balanced = info.metric == "balanced_accuracy"
        reached = f"{fitness.value:.4f} ({count:,} images)" if is_balanced else _share(fitness.value, count)
        yield (
            f"Validation {info.measure} {reached}{before}. The search selected by it, "
            f"so it flatters: the test {info.measure} is the one to quote."
        )
    if info.test is not None and info.test.balanced_accuracy is not None:
        balanced = info.test.balanced_accuracy
        yield f"Test balanced accuracy {balanced:.4f}, the mean over classes of the share that is found."
    if info.test is not None:
        yield (
            f"Test accuracy {_share(info.test.accuracy, info.test.images)}, loss {info.test.loss:.4f}. "
            "No choice was based on these images."
        )
    if evaluation is not None:
        sure, speed = evaluation["calibration"], evaluation["speed"]
        yield (
            f"Evaluated in {evaluation['precision']}: test accuracy "
            f"{_share(evaluation['accuracy'], evaluation['images'])}, loss {evaluation['loss']:.4f}."
        )
        if is_uneven([row["images"] for row in evaluation["classes"]]):
            low, high = evaluation["balanced_accuracy_interval"]
            yield (
                f"Classes are uneven: balanced accuracy {evaluation['balanced_accuracy']:.4f} "
                f"(95% interval {low:.4f} to {high:.4f})."
            )
        yield f"Expected calibration error {sure['ece']:.4f}, mean confidence {sure['mean_confidence']:.4f}."
        weakest = min(evaluation["classes"], key=lambda row: row["recall"])
        yield f"Weakest class: {_plain(weakest['class'])}, recall {weakest['recall']:.4f} ({weakest['images']} images)."
        yield f"Latency {speed['latency_ms'][1]:.2f} ms an image on {_plain(evaluation['device'])}."
    yield "Measured on images of the same source as those it learnt from; on others it may do worse."


def _cost(info: ModelInfo, state: RunState | None) -> Iterator[str]:
    if state is not None and (spent := spending(state)):
        yield (
            f"The search: {spent[-1].trainings:,.1f} full trainings for {len(spent)} individuals, "
            f"{spent[-1].device_hours:,.3g} device hours, without what was trained after it."
        )
        if (energy := energy_used(state.results.values())) is not None:
            yield f"The GPUs used {energy.words} while they trained for it."
    if info.result is not None:
        cost = info.result.cost
        where = f" on {_plain(cost.hardware)}" if cost.hardware else ""
        yield f"The training of these weights: {cost.seconds:,.1f} seconds{where}."


def knows(state: RunState, info: ModelInfo) -> bool:
    """Whether a model comes from this run."""
    return info.individual in all_individuals(state.generations)


def _share(accuracy: float, count: int) -> str:
    """An accuracy with what chance may have done to it."""
    low, high = wilson_interval(round(accuracy * count), count)
    return f"{accuracy:.4f} ({count:,} images; 95% interval {low:.4f} to {high:.4f})"


def _plain(text: str) -> str:
    """Text from files and data, without what Markdown or a terminal would act upon."""
    return "".join("\\" + each if each in "\\`*_[]<>#|!&" else each for each in printable(text))
