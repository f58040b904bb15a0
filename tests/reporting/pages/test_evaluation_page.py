"""The page of an evaluation: what it says, that it stands alone, and that text of data stays text."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from image_data import ImageData
from reporting.evaluation.classification import classification_report
from reporting.evaluation.errors import Misclassified, most_confident_errors
from reporting.pages.evaluation_page import evaluation_page, picture

HOSTILE = (
    "<script>alert(1)</script>",
    "a & b",
    "$x^2$",
    "very long " * 30,
    "日本語 ünï",
    "line\nbreak",
    "\x1b[31mred\x01",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}",
    "http" + "://x.y/z",
    "#0072B2",
)


def report_of(
    truth: Sequence[int],
    predicted: Sequence[int],
    names: Sequence[str],
    shape: tuple[int, int, int] = (8, 8, 1),
    sure: Sequence[float] = (),
) -> tuple[dict[str, Any], list[Misclassified]]:
    """The report and the errors of these predictions, each with so large a logit (3 if not given)."""
    logits = torch.zeros(len(truth), len(names))
    logits[torch.arange(len(truth)), torch.tensor(predicted)] = torch.tensor(list(sure) or [3.0] * len(truth))
    labels = np.array(truth)
    images = (np.arange(len(truth))[:, None, None, None] + np.zeros(shape)).astype(np.uint8)
    data = ImageData(images, labels, images, labels, images, labels, class_names=tuple(names), fingerprint="")
    report = {
        "model": "weights.pt",
        "description": "1 block",
        "dataset": "some data",
        "precision": "float32",
        "device": "the CPU",
        "torch": "2",
        "parameters": 1234,
        "flops": 5_600_000,
        **classification_report(logits, torch.from_numpy(labels), names),
        "speed": {"latency_ms": [1.0, 2.0, 3.0], "images_per_second": [1.0, 2.0, 3.0], "batch_size": 8},
    }
    return report, most_confident_errors(logits, data)


class Words(HTMLParser):
    """The text of a page as a person reads it, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.inside = "", set[str](), ""
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.inside = tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self.inside != "style":
            self.text += data


def words_of(*arguments: Any, **settings: Any) -> str:
    return Words(evaluation_page(*report_of(*arguments, **settings)).decode()).text


def test_the_page_says_what_the_report_does() -> None:
    text = words_of([0] * 4 + [1] * 5, [0] * 4 + [1, 1, 1, 0, 0], ["oak", "ash"])
    assert "0.7778 test accuracy (95% interval 0.4526 to 0.9368)" in text
    assert "1,234 parameters" in text
    assert "5.6 M FLOPs an image" in text
    assert "2.00 ms latency" in text
    assert "the most frequent confusion is ash classified as oak: 2 of 5 images" in text
    assert "The hardest class is ash (F1 0.75; recall 60%, precision 100%)" in text
    assert "the easiest is oak (F1 0.80)" in text
    assert "is 0.953 and their accuracy 0.778: the network is overconfident by 0.175" in text
    assert "Of 2 errors in 9 test images, all of them" in text


@pytest.mark.parametrize("classes", [2, 30, 1000])
def test_the_page_names_no_address_outside_itself_and_is_small(classes: int) -> None:
    rng = np.random.default_rng(classes)
    truth, predicted = rng.integers(0, classes, (2, 2000)).tolist()
    names = [f"the class number {number}" for number in range(classes)]
    page = evaluation_page(*report_of(truth, predicted, names, shape=(32, 32, 3))).decode()
    assert "http:" not in page
    assert "https:" not in page
    assert len(page) < 3_000_000
    assert page.count("<img ") == 24


def test_large_photographs_do_not_make_the_page_large() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 160, 3), dtype=np.uint8)
    uri = picture(noise)
    assert 24 * len(uri) < 2_000_000
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as found:
        assert found.size == (91, 128)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("height", [8, 9, 128])
def test_a_picture_is_the_image_to_the_last_pixel(height: int, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, 8, channels), dtype=np.uint8)
    kind, _, content = picture(image).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as found:
        assert np.asarray(found).reshape(image.shape).tolist() == image.tolist()


def test_names_of_classes_stay_text_whatever_they_are() -> None:
    classes = len(HOSTILE)
    truth = [number for number in range(classes) for _ in range(3)]
    predicted = [(number + (place % 3 == 0)) % classes for place, number in enumerate(truth)]
    page = evaluation_page(*report_of(truth, predicted, HOSTILE)).decode()
    found = Words(page)
    assert "script" not in found.tags
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("<img ") == classes  # one for each error
    for name in ("<script>alert(1)</script>", "a & b", "$x^2$", "日本語 ünï", "line break", "{{ 7*7 }}", "#0072B2"):
        assert name in found.text
    assert HOSTILE[3] not in page  # it is shortened


def test_the_most_confident_errors_are_shown_in_order() -> None:
    sure = [9.0, 1.0, 5.0, 3.0, 8.0]
    report, errors = report_of([0, 0, 0, 1, 1], [0, 1, 1, 0, 0], ["oak", "ash"], sure=sure)
    assert [error.index for error in errors] == [4, 2, 3, 1]
    assert [(error.truth, error.predicted) for error in errors][:2] == [("ash", "oak"), ("oak", "ash")]
    assert errors[0].confidence == pytest.approx(1 / (1 + np.exp(-8)))
    assert errors[0].image[0, 0, 0] == 4
    text = Words(evaluation_page(report, errors).decode()).text
    assert text.index("oak 100.0% true class: ash") < text.index("ash 99.3% true class: oak") < text.index("oak 95.3%")


def test_only_24_errors_are_shown_of_many() -> None:
    text = words_of([0] * 30, [1] * 30, ["oak", "ash"])
    assert "Of 30 errors in 30 test images, the 24 of highest confidence" in text
    assert text.count("true class: oak") == 24


def test_a_network_without_an_error_is_said_to_have_none() -> None:
    text = words_of([0, 1, 2], [0, 1, 2], ["a", "b", "c"])
    assert "There are none: all 3 test images were classified correctly." in text
    assert "no class was confused" in text
    assert "All classes have the same F1 score, 1.00" in text


def test_a_network_that_is_always_wrong_has_a_page() -> None:
    text = words_of([0, 1, 2], [1, 2, 0], ["a", "b", "c"])
    assert "0.0000 test accuracy (95% interval 0.0000 to 0.5615)" in text
    assert "no two classes were confused more than once" in text
    assert "All classes have the same F1 score, 0.00" in text


def test_a_network_that_names_one_class_only_is_said_to_do_so() -> None:
    assert "Every image was classified as c, whatever it showed." in words_of([0, 1, 2, 2], [2] * 4, ["a", "b", "c"])


def test_classes_without_test_images_are_no_hard_ones() -> None:
    names = [str(number) for number in range(40)]
    text = words_of([*range(30), 0, 1], [*range(29), 0, 1, 1], names)
    assert "The hardest class is 29 (F1 0.00; none of its images is classified correctly)" in text
    assert "the easiest are 2 and 26 more (F1 1.00)" in text
    assert "The figure shows the 20 of 30 classes with the lowest F1" in text


def test_weights_that_give_no_numbers_still_have_a_page() -> None:
    with np.errstate(invalid="ignore"):
        assert "nan" in words_of([0, 1], [0, 0], ["a", "b"], sure=[float("nan"), float("nan")])


def test_where_classes_are_uneven_both_accuracies_are_shown() -> None:
    """Of twenty images of one class and four of another, the first are all found and one of the second."""
    report, errors = report_of([0] * 20 + [1] * 4, [0] * 21 + [1] + [0] * 2, ["many", "few"])
    assert report["balanced_accuracy"] == 0.625
    low, high = report["balanced_accuracy_interval"]
    text = Words(evaluation_page(report, errors).decode()).text
    words = f"0.6250 balanced accuracy (95% interval {low:.4f} to {high:.4f})"
    assert words in text
    assert "0.8750 test accuracy" in text


def test_where_classes_are_even_the_balanced_accuracy_would_only_say_the_same() -> None:
    report, errors = report_of([0, 1, 0, 1], [0, 1, 1, 1], ["a", "b"])
    assert report["balanced_accuracy"] == report["accuracy"] == 0.75
    assert "balanced" not in Words(evaluation_page(report, errors).decode()).text
