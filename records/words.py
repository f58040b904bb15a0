"""Numbers and settings as text for people."""

from __future__ import annotations

from collections.abc import Sequence


def metric_in_words(metric: str) -> str:
    """The name of a metric for people; an unresolved one ("auto") is called accuracy."""
    return "balanced accuracy" if metric == "balanced_accuracy" else "accuracy"


def printable(text: str) -> str:
    """Text from files and data on one line, without characters that would command a terminal or turn its direction."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 network, 2,000 networks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in quotation marks, and how many more there are: 'cat', 'dog' and 3 more."""
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def percentage_points(difference: float, error: float | None = None) -> str:
    """A difference of accuracies in words, with its error where there is one: +1.23 points ± 0.40 (of a hundred)."""
    return f"{100 * difference:+.2f} points{_with_sign(error, 2, 100)}".replace("-", "−")


def mean_with_error(mean: float, error: float | None, digits: int = 4) -> str:
    """A mean with its standard error, where there is one: 0.9167 ± 0.0040."""
    return f"{mean:.{digits}f}{_with_sign(error, digits)}"


def _with_sign(error: float | None, digits: int, scale: float = 1) -> str:
    return "" if error is None else f" ± {scale * error:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.2 s, 3:05 min, 2:07:30 h."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
