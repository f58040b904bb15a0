"""The model card, which accompanies the weights: model, data, search, evaluation, cost and usage.

After Mitchell et al. (2019), "Model cards for model reporting", as far as a program can fill it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from records import RunState
from records.individuals import all_individuals
from records.runs import ModelInfo
from records.words import counted, mean_with_error, printable
from reporting.analysis.energy import energy_used
from reporting.analysis.progress import spending
from search_space.encoding import describe_hyperparameters
from search_space.tables import encoding_of
from training.statistics import is_uneven, wilson_interval

CLASSES_NAMED = 20

USAGE = """With plain PyTorch, independent of this program: `--export code` writes `model.py` beside the weights.

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
images (N, C, H, W) with pixel values from 0 to 255, since normalisation is part of the network, and compute in
float32."""


def model_card(info: ModelInfo, state: RunState | None = None, evaluation: Mapping[str, Any] | None = None) -> str:
    """The card in Markdown. The state of the run adds the search to it, the report of an evaluation its results."""
    sections = (
        ("Model", _model(info)),
        ("Data", _data(info)),
        ("Search and training", _search(info, state)),
        ("Evaluation", _evaluation(info, evaluation)),
        ("Cost", _cost(info, state)),
    )
    parts = ["# Model card: an image classifier found by architecture search"]
    parts += [f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) for title, lines in sections]
    parts.append(f"## Usage\n\n{USAGE}")
    return "\n\n".join(parts) + "\n"


def _model(info: ModelInfo) -> Iterator[str]:
    channels, height, width = info.facts.input_shape
    yield f"Convolutional network: {_plain(info.description)}."
    yield f"Chromosome: `{info.individual.chromosome}` ({info.individual.name}); written by version {info.version}."
    yield f"Input: uint8 images of {height}×{width} pixels with {counted(channels, 'channel')}."
    if info.result is not None:
        yield f"{info.result.parameters:,} parameters, {info.result.flops / 1e6:,.1f} million FLOPs an image."
        yield f"SHA-256 of the weights file: `{info.result.weights_sha256}`."


def _data(info: ModelInfo) -> Iterator[str]:
    facts, names = info.facts, info.facts.class_names
    more = f" and {len(names) - CLASSES_NAMED} more" if len(names) > CLASSES_NAMED else ""
    yield f"{_plain(info.data.dataset)}; fingerprint of images, order and splits `{facts.fingerprint}`."
    yield f"{facts.train_images:,} training, {facts.val_images:,} validation and {facts.test_images:,} test images."
    yield f"{len(names)} classes: {', '.join(map(_plain, names[:CLASSES_NAMED]))}{more}."
    trained = "training and validation images" if info.split == "all" else "training images only"
    yield f"The weights were trained on the {trained}."
    yield "**Licence of the data: to be checked by anyone who redistributes the model.** It may extend to the weights."


def _search(info: ModelInfo, state: RunState | None) -> Iterator[str]:
    if state is not None:
        search, known = state.search, encoding_of(state.facts, state.gene_table)
        scheme = " in a steady state" if search.scheme == "steady_state" else ""
        generations = counted(state.generation, "generation")
        yield (
            f"Found by the search `{search.algorithm}`{scheme}: {generations} of {search.population} individuals, "
            f"seed {search.seed}, objectives {', '.join(search.objectives)}."
        )
        settings = asdict(state.training) | known.hyperparameters(info.individual.chromosome)
        names = ("optimizer", "learning_rate", "weight_decay", "label_smoothing", "augmentation")
        words = describe_hyperparameters({name: settings[name] for name in names})
        yield f"Trained in batches of {state.training.batch_size}: {words}."
    if info.result is not None:
        yield f"Trained for {counted(len(info.result.epochs), 'epoch')} in {info.precision}."
    for finalist in info.finalists:
        mean = mean_with_error(finalist.mean, finalist.standard_error)
        kind = "" if finalist.standard_error is None else " (standard error)"
        seeds = counted(len(finalist.accuracies), "fresh seed")
        yield f"Finalist {finalist.individual}: {mean}{kind}, mean of {seeds}."


def _evaluation(info: ModelInfo, evaluation: Mapping[str, Any] | None) -> Iterator[str]:
    fitness, count = info.individual.fitness, info.facts.val_images
    if fitness is not None:
        before = ", before the final training" if info.split == "all" else ""
        is_balanced = info.metric == "balanced_accuracy"
        reached = f"{fitness.value:.4f} ({count:,} images)" if is_balanced else _share(fitness.value, count)
        yield (
            f"Validation {info.measure} {reached}{before}. The search selected by it, so it is biased upwards: "
            f"quote the test {info.measure} instead."
        )
    if info.test is not None and info.test.balanced_accuracy is not None:
        balanced = info.test.balanced_accuracy
        yield f"Test balanced accuracy {balanced:.4f}, the mean recall of the classes."
    if info.test is not None:
        yield (
            f"Test accuracy {_share(info.test.accuracy, info.test.images)}, loss {info.test.loss:.4f}. "
            "No decision was based on these images."
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
                f"Classes are imbalanced: balanced accuracy {evaluation['balanced_accuracy']:.4f} "
                f"(95% interval {low:.4f} to {high:.4f})."
            )
        yield f"Expected calibration error {sure['ece']:.4f}, mean confidence {sure['mean_confidence']:.4f}."
        weakest = min(evaluation["classes"], key=lambda row: row["recall"])
        yield f"Weakest class: {_plain(weakest['class'])}, recall {weakest['recall']:.4f} ({weakest['images']} images)."
        yield f"Latency {speed['latency_ms'][1]:.2f} ms an image on {_plain(evaluation['device'])}."
    yield "Measured on images from the same source as the training images; accuracy on other images may be lower."


def _cost(info: ModelInfo, state: RunState | None) -> Iterator[str]:
    if state is not None and (spent := spending(state)):
        yield (
            f"Search: {spent[-1].trainings:,.1f} full trainings for {len(spent)} individuals, "
            f"{spent[-1].device_hours:,.3g} device hours, not counting trainings after the search."
        )
        if (energy := energy_used(state.results.values())) is not None:
            yield f"The GPUs used {energy.words} while they trained."
    if info.result is not None:
        cost = info.result.cost
        where = f" on {_plain(cost.hardware)}" if cost.hardware else ""
        yield f"Training of these weights: {cost.seconds:,.1f} seconds{where}."


def knows(state: RunState, info: ModelInfo) -> bool:
    """Whether a model comes from this run."""
    return info.individual in all_individuals(state.generations)


def _share(accuracy: float, count: int) -> str:
    """An accuracy with its 95% interval."""
    low, high = wilson_interval(round(accuracy * count), count)
    return f"{accuracy:.4f} ({count:,} images; 95% interval {low:.4f} to {high:.4f})"


def _plain(text: str) -> str:
    """Text from files and data, with the special characters of Markdown and terminals escaped."""
    return "".join("\\" + each if each in "\\`*_[]<>#|!&" else each for each in printable(text))
