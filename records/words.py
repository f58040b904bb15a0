"""Numbers and settings in words, the same wherever people read them."""

from __future__ import annotations


def metric_in_words(metric: str) -> str:
    """A metric, as it is called where people read it; one that was left open is the accuracy."""
    return "balanced accuracy" if metric == "balanced_accuracy" else "accuracy"


def quantity(objective: str, value: float) -> str:
    """An objective other than accuracy, in words: 12,345 parameters, 1.2 MFLOPs, 0.53 ms."""
    if objective == "latency":
        return f"{1000 * value:.2f} ms"
    return f"{value / 1e6:,.2f} MFLOPs" if objective == "flops" else f"{value:,.0f} {objective}"


def counted(number: int, noun: str) -> str:
    """So many things in words: 1 network, 2,000 networks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percentage_points(difference: float) -> str:
    """A difference of accuracies in words: +1.23 points (of a hundred)."""
    return f"{100 * difference:+.2f} points".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.2 s, 3:05 min, 2:07:30 h."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
