"""Trainings of tiny networks on digits: their bits, their schedule, their failures, and the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import train_model as module
from image_data import ImageData, load_image_data
from image_data.tensors import TrainingData, to_device
from model_generator import build_model, load_model, weights_bytes
from records import DataConfig, InputError, TrainingJob
from records.command_line import run_command
from records.errors import TrainingFailure
from records.texts import Chromosome
from records.training_settings import AUGMENTATIONS, METRICS, OPTIMIZERS
from search_space.architecture import Architecture, Layer
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED
from tests.builders import chromosome
from tests.small_trainings import CPU, NETWORK, job, load_few_digits, train
from train_model import main, train_model
from training.metrics import accuracy_and_loss, balanced_accuracy, predict

ROOT = Path(__file__).parent.parent
PRECISIONS = ("float32", "bfloat16")
CHROMOSOME = Chromosome("0000000000001111111")  # the smallest network


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few_digits() -> ImageData:
    return load_few_digits()


@pytest.fixture(scope="module")
def data(few_digits: ImageData) -> TrainingData:
    return to_device(few_digits, CPU)


def test_the_same_job_gives_the_same_bits(data: TrainingData) -> None:
    first = train(job(epochs=2), data)
    train(job(epochs=1, training_seed=5), data)
    torch.manual_seed(99)
    assert train(job(epochs=2), data) == first


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_augmentation_learns_and_gives_the_same_bits(
    data: TrainingData, optimizer: str, augmentation: str
) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "augmentation": augmentation}
    options |= {"epochs": 3, "batch_size": 16, "learning_rate": 1.0 if optimizer == "adamw" else 0.2}
    first = train(job(**options), data)
    torch.manual_seed(99)
    assert train(job(**options), data) == first
    losses = [epoch.train_loss for epoch in first[0].epochs]
    assert losses[-1] < losses[0] - 0.05


def test_optimizers_and_augmentations_give_different_networks(data: TrainingData) -> None:
    jobs = [job(optimizer=optimizer, augmentation=each) for optimizer in OPTIMIZERS for each in AUGMENTATIONS]
    assert len({train(each, data)[1] for each in jobs}) == len(jobs)


@pytest.mark.parametrize(
    "genes",
    [{"residual": True}, {"squeeze_excitation": True}, {"residual": True, "squeeze_excitation": True, "dropout": 0.1}],
)
def test_networks_with_blocks_and_dropout_give_the_same_bits(data: TrainingData, genes: dict[str, Any]) -> None:
    network = decode(Encoding((1, 8, 8), 10, EXTENDED), chromosome(EXTENDED, kernel=1, **genes))
    first = train(job(network=network), data)
    torch.manual_seed(99)
    assert train(job(network=network), data) == first
    assert first[0].parameters == sum(weight.numel() for weight in build_model(network).parameters())


@pytest.mark.parametrize("other", [{"training_seed": 1}, {"replicate": 1}])
def test_another_training_seed_or_replicate_gives_another_network(data: TrainingData, other: dict[str, Any]) -> None:
    one, two = train(job(), data), train(job(**other), data)
    assert one[0].epochs != two[0].epochs
    assert one[1] != two[1]


def test_first_weights_and_order_of_images_both_follow_the_training_seed(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = [train_model(job(training_seed=seed, learning_rate=0.0), data, CPU)[1] for seed in (0, 1)]
    assert not torch.equal(*(next(model.parameters()) for model in still))

    def build(*arguments: Any) -> nn.Sequential:
        torch.manual_seed(0)
        return build_model(*arguments)

    monkeypatch.setattr(module, "build_model", build)
    assert train(job(training_seed=0), data)[1] != train(job(training_seed=1), data)[1]


def test_a_small_network_learns_the_digits() -> None:
    data = to_device(load_image_data(DataConfig(dataset="digits")), CPU)
    network = replace(NETWORK, layers=(Layer(16, 3, pool=True), Layer(32, 3)))
    result, _ = train(job(network=network, epochs=3), data)
    losses = [epoch.train_loss for epoch in result.epochs]
    assert losses == sorted(losses, reverse=True)
    assert result.fitness is not None
    assert result.fitness.value > 0.8


def test_a_result_describes_its_network_and_its_last_epoch(data: TrainingData) -> None:
    seen: list[Mapping[str, Any]] = []
    task = job(epochs=2)
    result, model = train_model(task, data, CPU, report=seen.append)
    assert (result.key, result.status, result.micro_batch, len(result.epochs)) == (task.key, "done", 32, 2)
    assert result.parameters == sum(weight.numel() for weight in model.parameters())
    assert not model.training
    logits = predict(model, data.val_images, "float32")
    last = result.epochs[-1]
    assert (last.score, last.loss) == accuracy_and_loss(logits, data.val_labels)
    assert result.fitness is not None
    assert (result.fitness.value, result.fitness.loss) == (last.score, last.loss)
    assert [report["epoch"] for report in seen if "accuracy" in report] == [1, 2]
    assert [report["accuracy"] for report in seen if "accuracy" in report] == [epoch.score for epoch in result.epochs]
    assert result.cost.peak_memory is not None
    assert min(result.cost.seconds, result.cost.images_per_second, result.cost.peak_memory) > 0


def test_a_weights_file_predicts_as_the_trained_network_did(data: TrainingData, tmp_path: Path) -> None:
    _, model = train_model(job(), data, CPU)
    path = tmp_path / "weights.pt"
    path.write_bytes(weights_bytes(model))
    again = predict(load_model(path, NETWORK), data.val_images, "float32")
    assert torch.allclose(again, predict(model, data.val_images, "float32"), atol=1e-4)


def test_bfloat16_learns_and_predicts_as_float32_does(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingJob, "seed", 7)  # else another precision is another seed
    fine, coarse = (train_model(job(epochs=2, precision=name), data, CPU)[0].epochs for name in PRECISIONS)
    for one, two in zip(fine, coarse, strict=True):
        assert one.train_loss != two.train_loss
        assert one.train_loss == pytest.approx(two.train_loss, abs=0.05)
    model = train_model(job(), data, CPU)[1]
    exact, rounded = (predict(model, data.val_images, name) for name in PRECISIONS)
    assert exact.dtype == rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.allclose(exact, rounded, atol=0.2)


def test_a_batch_larger_than_the_data_is_all_the_data(data: TrainingData) -> None:
    large, exact = (train(job(batch_size=size, micro_batch=60), data)[0] for size in (1000, 240))
    assert len(large.epochs) == len(exact.epochs) == 1
    assert large.epochs[0].train_loss == pytest.approx(exact.epochs[0].train_loss, rel=0.3)


@pytest.mark.parametrize("flip", ["off", "on"])
def test_training_without_momentum_padding_and_smoothing_works(data: TrainingData, flip: str) -> None:
    task = job(momentum=0.0, crop_padding=0, label_smoothing=0.0, weight_decay=0.0, flip=flip)
    assert train(task, data)[0].status == "done"


def other_validation_images(data: TrainingData) -> TrainingData:
    return replace(data, val_images=255 - data.val_images)


def test_validation_images_change_no_weight(data: TrainingData) -> None:
    one, two = train(job(), data), train(job(), other_validation_images(data))
    assert one[1] == two[1]
    assert one[0].epochs[0].train_loss == two[0].epochs[0].train_loss
    assert one[0].epochs[0].loss != two[0].epochs[0].loss


def test_a_training_on_all_images_uses_the_validation_images_and_has_no_accuracy(data: TrainingData) -> None:
    task = job(split="all", epochs=2)
    result, model = train_model(task, data, CPU)
    assert [(epoch.score, epoch.loss) for epoch in result.epochs] == [(None, None)] * 2
    assert result.fitness is None
    assert not model.training
    assert train(task, other_validation_images(data))[1] != weights_bytes(model)


def test_a_training_under_what_it_must_reach_ends_after_that_epoch_and_is_done(data: TrainingData) -> None:
    whole, _ = train(job(epochs=3), data)
    assert len(whole.epochs) == 3
    stopped, _ = train(replace(job(epochs=3), stop_below=(0.0, 1.1)), data)
    assert (stopped.status, len(stopped.epochs)) == ("done", 2)
    assert stopped.fitness is not None
    assert (stopped.fitness.epochs, stopped.fitness.value) == (2, stopped.epochs[-1].score)


@pytest.mark.parametrize("stop_below", [(0.0, 0.0, 0.0), (0.0,), (0.0, 0.0, 0.0, 1.1)])
def test_a_training_that_is_never_under_what_it_must_reach_goes_on_to_its_end(
    data: TrainingData, stop_below: tuple[float, ...]
) -> None:
    result, _ = train(replace(job(epochs=3), stop_below=stop_below), data)
    assert (result.status, len(result.epochs)) == ("done", 3)


@pytest.mark.parametrize(("threshold", "epochs"), [(0.5, 2), (0.5000001, 1)])
def test_an_accuracy_that_is_just_reached_is_enough(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, threshold: float, epochs: int
) -> None:
    monkeypatch.setattr(module, "accuracy_and_loss", lambda logits, labels: (0.5, 1.0))
    result, _ = train(replace(job(epochs=2), stop_below=(threshold,)), data)
    assert len(result.epochs) == epochs


def without_normalisation(
    architecture: Architecture, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> nn.Sequential:
    return nn.Sequential(
        *(layer for layer in build_model(architecture, mean, std) if not isinstance(layer, nn.BatchNorm2d))
    )


@pytest.mark.parametrize("micro_batch", [2, 7, 16, 31])
def test_gradients_of_micro_batches_add_up_to_those_of_the_batch(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, micro_batch: int
) -> None:
    """Only without batch normalisation, whose statistics are those of each micro-batch."""
    monkeypatch.setattr(module, "build_model", without_normalisation)
    task = job(learning_rate=0.02)
    (whole, model), (result, other) = train_model(task, data, CPU), train_model(task, data, CPU, micro_batch)
    assert result.micro_batch == micro_batch
    assert result.epochs[0].train_loss == pytest.approx(whole.epochs[0].train_loss, rel=1e-4)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("micro_batch", [2, 7, 16, 31, 32])
def test_no_forward_pass_sees_more_than_a_micro_batch(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, micro_batch: int
) -> None:
    sizes: list[int] = []

    def build(*arguments: Any) -> nn.Sequential:
        model = build_model(*arguments)
        model.register_forward_pre_hook(lambda model, inputs: sizes.append(len(inputs[0])) if model.training else None)
        return model

    monkeypatch.setattr(module, "build_model", build)
    train(job(), data, micro_batch)
    assert max(sizes) <= micro_batch
    assert min(sizes) >= 2 or micro_batch == 2
    assert sum(sizes) == 7 * 32  # whole batches of the 240 images


class Idle(nn.Module):
    """A weight and a bias on which nothing depends: what changes them is weight decay."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 3))
        self.bias = nn.Parameter(torch.ones(3))

    def forward(self, logits: Tensor) -> Tensor:
        return logits + 0 * (self.weight.sum() + self.bias.sum())


def test_weight_decay_is_for_weights_only(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build_model", lambda *arguments: build_model(*arguments).append(Idle()))
    model = train_model(job(weight_decay=0.01), data, CPU)[1]
    idle = list(model.children())[-1]
    assert isinstance(idle, Idle)
    assert (idle.weight < 1).all()
    assert (idle.bias == 1).all()


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ({"learning_rate": 1e30}, "the training loss of epoch 1 is"),
        ({"learning_rate": 1e30, "batch_size": 240}, "the validation loss of epoch 1 is"),
    ],
)
def test_a_loss_that_is_not_finite_ends_the_training_as_diverged(
    data: TrainingData, protocol: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingFailure) as caught:
        train(job(**protocol), data)
    assert caught.value.status == "diverged"
    assert said in caught.value.reason


def fail_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def build(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "build_model", build)


def test_too_little_memory_on_a_device_is_named(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(
        monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee the documentation")
    )
    with pytest.raises(TrainingFailure) as caught:
        train(job(), data)
    assert caught.value.status == "out_of_memory"
    assert caught.value.reason == "CUDA out of memory. Tried to allocate 2 GiB."


def test_too_little_memory_of_the_machine_is_named(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build_model", lambda *_: torch.empty(2**60))
    with pytest.raises(TrainingFailure) as caught:
        train(job(), data)
    assert caught.value.status == "out_of_memory"
    assert "\n" not in caught.value.reason


def test_any_other_error_stays_what_it_is(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(job(), data)


def test_a_training_reports_the_balanced_accuracy_where_the_protocol_asks_for_it(data: TrainingData) -> None:
    uneven = replace(data, val_images=data.val_images[20:], val_labels=data.val_labels[20:])
    plain, balanced = (train_model(job(metric=metric), uneven, CPU) for metric in METRICS)
    logits = predict(plain[1], uneven.val_images, "float32")
    assert plain[0].epochs[-1].score == accuracy_and_loss(logits, uneven.val_labels)[0]
    logits = predict(balanced[1], uneven.val_images, "float32")
    fitness = balanced[0].fitness
    assert fitness is not None
    assert fitness.value == balanced_accuracy(logits, uneven.val_labels)
    assert fitness.value != accuracy_and_loss(logits, uneven.val_labels)[0]


def test_the_command_trains_and_prints_each_epoch() -> None:
    line = [sys.executable, "train_model.py", "--chromosome", CHROMOSOME, "--dataset", "digits", "--epochs", "1"]
    ended = subprocess.run([*line, "--device", "cpu"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "7 blocks" in ended.stdout
    assert "epoch 1/1: training loss" in ended.stdout
    assert "validation accuracy" in ended.stdout


def test_a_wrong_chromosome_ends_the_command_with_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train_model.py", "--chromosome", "0110", "--dataset", "digits"])
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", "error: a chromosome has 19 bits, but '0110' has 4\n")


SHORT = ["--dataset", "digits", "--train_limit", "100", "--epochs", "1", "--batch_size", "20", "--device", "cpu"]


def test_the_command_writes_the_weights_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "weights.pt"
    assert main(["--chromosome", CHROMOSOME, *SHORT, "--model_path", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    state = torch.load(path, weights_only=True)
    assert all(isinstance(value, Tensor) and bool(value.isfinite().all()) for value in state.values())


def test_the_command_trains_what_an_extended_chromosome_codes_for(capsys: pytest.CaptureFixture[str]) -> None:
    chromosome = CHROMOSOME + "11" + "01" + "000" + "00" + "1" + "11" + "11"
    assert main(["--encoding", "extended", "--chromosome", chromosome, *SHORT]) == 0
    assert "residual, squeeze-and-excitation, dropout 0.1; AdamW, learning rate 0.03" in capsys.readouterr().out


def test_a_diverged_training_ends_the_command_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chromosome", CHROMOSOME, *SHORT, "--learning_rate", "1e30"]) == 1
    assert "training failed (diverged): the training loss of epoch 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chromosome", "01101a0110110011010"], "'a'"),
        (["--chromosome", CHROMOSOME, "--device", "abacus"], "--device abacus cannot be used here"),
        (["--chromosome", CHROMOSOME, "--epochs", "0"], "--epochs must be at least 1"),
        (["--chromosome", CHROMOSOME, "--dataset", "nowhere"], "no data set 'nowhere'"),
        ([], "--chromosome"),
        (["--chromosome", CHROMOSOME, "--encoding", "extended"], f"has {EXTENDED.length} bits"),
        (["--chromosome", CHROMOSOME, "--encoding", "extend"], "did you mean extended?"),
        (
            ["--chromosome", "0" * EXTENDED.length, "--encoding", "extended", "--learning_rate", "1"],
            "--learning_rate is a gene",
        ),
    ],
)
def test_what_is_typed_wrongly_is_refused_in_one_line(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        main([*SHORT, *arguments])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_piece_of_a_batch_is_a_single_image(data: TrainingData) -> None:
    """Batch normalisation on a map of one pixel needs two values."""
    deep = decode(Encoding((1, 8, 8), 10), Chromosome("0" * 19))
    result, _ = train(job(network=deep, batch_size=33, micro_batch=2), data)
    assert result.status == "done"


STARVED = """
import resource, sys
import torch
from image_data import load_image_data
from image_data.tensors import to_device
from records import DataConfig, TrainingConfig, TrainingJob
from records.errors import TrainingFailure
from search_space.encoding import Encoding
from train_model import train_model

torch.set_num_threads(1)
cpu = torch.device("cpu")
data = to_device(load_image_data(DataConfig(dataset="digits")), cpu)
phenotype = Encoding((1, 8, 8), 10).phenotype("1101101111110000000")
protocol = TrainingConfig(epochs=1, batch_size=1024, crop_padding=1, flip="off", precision="float32")
job = TrainingJob(phenotype=phenotype, protocol=protocol, data_fingerprint="")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), resource.RLIM_INFINITY))
try:
    train_model(job, data, cpu)
except TrainingFailure as failure:
    print(failure.status)
result, _ = train_model(job, data, cpu, micro_batch=64)
print(result.status)
"""


@pytest.mark.slow
def test_a_process_that_is_out_of_memory_says_so_and_trains_in_smaller_pieces() -> None:
    """For real: the operating system allows this training 400 MB."""
    done = subprocess.run([sys.executable, "-c", STARVED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["out_of_memory", "done"], done.stderr
