"""What a person sees of a run, on a terminal and in a file."""

from __future__ import annotations

import io
import string
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console as Terminal

import console as module
from console import Console, duration
from job_queue import Attempt
from records import Cost, Epoch, Generation, Individual, TrainingConfig, TrainingJob, TrainingResult

DEVICES = [f"gpu {index}" for index in range(8)]


def screen(width: int = 100, **options: Any) -> Terminal:
    """What a run writes to, kept as text."""
    return Terminal(file=io.StringIO(), width=width, height=40, highlight=False, soft_wrap=True, **options)


def text_of(terminal: Terminal) -> str:
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


def attempt(name: str = "gen3/ind2", number: int = 1) -> Attempt:
    job = TrainingJob(phenotype=name, protocol=TrainingConfig(epochs=5), data_fingerprint="f")
    return Attempt(job=job, key=job.key, name=name, work=1.0, micro_batch=64, number=number)


def ended(status: str = "done", accuracy: float | None = 0.5, reason: str = "") -> TrainingResult:
    return TrainingResult(
        key="key",
        status=status,
        reason=reason,
        epochs=(Epoch(train_loss=1.0, accuracy=accuracy, loss=1.0),),
        cost=Cost(seconds=75.0, images_per_second=12345.6),
    )


def generation(*values: float | None) -> Generation:
    return Generation(
        number=3,
        individuals=tuple(
            Individual(generation=3, index=index, chromosome=str(index), origin="random").evaluated(value)
            for index, value in enumerate(values, 1)
        ),
    )


def tell_everything(console: Console) -> None:
    """A generation of three trainings as the workers and the search report it."""
    console.open(DEVICES[:2], generations=20)
    console.generation_started(3, [0.25], to_train=3)
    console.expect(3)
    console.job_started("gpu 0", attempt("gen3/ind1"))
    console.job_progress("gpu 0", attempt("gen3/ind1"), {"epoch": 1, "accuracy": 0.4, "images_per_second": 10.0})
    console.job_started("gpu 1", attempt("gen3/ind2"))
    console.job_ended("gpu 0", attempt("gen3/ind1"), ended(accuracy=0.5))
    console.job_retried("gpu 1", attempt("gen3/ind2"), "crashed", "signal SIGKILL")
    console.job_started("gpu 1", attempt("gen3/ind2", number=2))
    console.job_ended("gpu 1", attempt("gen3/ind2", number=2), ended(accuracy=0.75))
    console.job_started("gpu 0", attempt("gen3/ind3"))
    console.job_ended("gpu 0", attempt("gen3/ind3", number=3), ended("timed_out", reason="no result after 9 s"))
    console.generation_ended(generation(0.5, 0.75, None, 0.25), seconds=185, busy=0.938)
    console.close()


def test_each_event_is_one_plain_line_where_there_is_no_terminal() -> None:
    terminal = screen()
    tell_everything(Console(terminal=terminal))
    assert text_of(terminal).splitlines() == [
        "generation 3/20: 3 to train, 1 known already",
        "gen3/ind1: validation accuracy 0.5000, 1:15 min, 12,346 images/s (1/3)",
        "gen3/ind2: crashed (signal SIGKILL); try 2 follows",
        "gen3/ind2: validation accuracy 0.7500, 1:15 min, 12,346 images/s (2/3)",
        "gen3/ind3: failed, timed_out after 3 tries (no result after 9 s)",
        "generation 3/20 in 3:05 min: best 0.7500 (gen3/ind2), mean 0.5000, devices 94% busy",
    ]


def test_a_long_line_is_not_broken_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Console().say("word " * 50 + "end")
    assert capsys.readouterr().out == "word " * 50 + "end\n"


def test_quiet_says_only_what_is_always_said() -> None:
    terminal = screen(force_terminal=True)
    console = Console(quiet=True, terminal=terminal)
    tell_everything(console)
    console.say("not this")
    assert text_of(terminal) == ""
    console.say("but this", always=True)
    assert text_of(terminal) == "but this\n"


@pytest.mark.parametrize("message", ["[red]not red[/red]", "[Errno 28] full", "x[/]", "[[a]]", "\\[b]", "[link=x]y"])
def test_brackets_are_shown_as_they_are(message: str) -> None:
    terminal = screen(force_terminal=True)
    console = Console(terminal=terminal)
    console.say(message)
    console.job_retried("gpu 0", attempt(), "error", message)
    assert text_of(terminal) == f"{message}\ngen3/ind2: error ({message}); try 2 follows\n"


def test_a_training_without_accuracy_is_only_said_to_be_trained() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.generation_started(1, [], to_train=1)
    console.expect(1)
    console.job_ended("gpu 0", attempt("final"), ended(accuracy=None))
    assert "final: trained, 1:15 min" in text_of(terminal)


def test_what_a_person_should_know_of_a_training_is_said_once() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    result = replace(ended(accuracy=0.5), cost=Cost(note="no CUDA graph: out of luck"))
    for _ in range(3):
        console.job_ended("gpu 0", attempt(), result)
    assert text_of(terminal).count("note: no CUDA graph: out of luck") == 1


# The live table


def picture(console: Console, width: int) -> list[str]:
    terminal = Terminal(file=io.StringIO(), record=True, width=width, height=40)
    terminal.print(console.picture())
    lines = terminal.export_text().splitlines()
    assert all(len(line) <= width for line in lines)
    return lines


def working_console() -> Console:
    console = Console(terminal=screen())
    console.open(DEVICES, generations=20)
    console.generation_started(3, [0.25], to_train=10)
    console.expect(10)
    for index, device in enumerate(DEVICES[:-1], 1):
        console.job_started(device, attempt(f"gen3/ind{index}"))
    console.job_progress("gpu 0", attempt("gen3/ind1"), {"epoch": 2, "accuracy": 0.8125, "images_per_second": 123456.0})
    console.job_progress("gpu 0", attempt("gen3/ind1"), {"epoch": 2.5, "images_per_second": 123000.0})
    return console


@pytest.mark.parametrize("width", [80, 160])
def test_every_device_is_a_row_with_what_it_works_on(width: int) -> None:
    header, columns, *rows = picture(working_console(), width)
    assert "generation 3/20" in header
    assert "0/10 trained" in header
    assert "mean 0.2500" in header
    assert "ETA –" in header
    assert all(word in columns for word in ("device", "individual", "epoch", "accuracy", "images/s"))
    assert [row.split("  ")[0] for row in rows] == DEVICES
    for index, row in enumerate(rows[:-1], 1):
        assert f"gen3/ind{index}" in row
    assert "–" in rows[-1]


@pytest.mark.parametrize("width", [80, 160])
def test_a_row_keeps_the_last_accuracy_within_an_epoch(width: int) -> None:
    row = picture(working_console(), width)[2]
    assert all(word in row for word in ("gpu 0", "3/5", "0.8125", "123,000"))


def test_a_device_that_has_ended_its_job_is_shown_idle() -> None:
    console = working_console()
    console.job_ended("gpu 0", attempt("gen3/ind1"), ended(accuracy=0.9))
    header, _, row, *_ = picture(console, 100)
    assert "1/10 trained" in header
    assert "best 0.9000" in header
    assert "gen3/ind1" not in row
    assert "gpu 0" in row


def test_the_header_fits_a_narrow_terminal() -> None:
    console = working_console()
    console.job_ended("gpu 0", attempt("gen3/ind1"), ended(accuracy=0.9))
    assert "ETA" in picture(console, 80)[0]
    assert "…" not in picture(console, 80)[0]


def test_the_time_that_is_left_runs_down_between_two_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    console = Console(terminal=screen())
    console.open(["cpu 1"], generations=2)
    assert console.remaining() is None
    console.foresee(100.0)
    now[0] += 20
    assert console.remaining() == pytest.approx(80)
    assert "ETA 1:20 min" in picture(console, 100)[0]
    now[0] += 90
    assert console.remaining() == 0.0  # late, never less than nothing
    console.foresee(None)
    assert "ETA –" in picture(console, 100)[0]


def test_each_rung_is_counted_anew() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.generation_started(1, [], to_train=3)
    for count in (3, 1):
        console.expect(count)
        for number in range(1, count + 1):
            console.job_ended("gpu 0", attempt(f"gen1/ind{number}"), ended())
    counts = [line.rpartition("(")[2] for line in text_of(terminal).splitlines()[1:]]
    assert counts == ["1/3)", "2/3)", "3/3)", "1/1)"]


def test_a_run_that_a_budget_ends_counts_its_generations_without_a_last_one() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.open(DEVICES, generations=None)
    console.generation_started(3, [], to_train=2)
    assert text_of(terminal) == "generation 3: 2 to train\n"
    assert "generation 3 ·" in picture(console, 100)[0]


def test_a_terminal_gets_a_live_table_and_is_given_back() -> None:
    terminal = screen(force_terminal=True)
    console = Console(terminal=terminal)
    console.open(DEVICES, generations=20)
    console.generation_started(3, [], to_train=2)
    console.expect(2)
    console.job_ended("gpu 0", attempt("gen3/ind1"), ended())
    console.job_ended("gpu 1", attempt("gen3/ind2"), ended("diverged", reason="loss is nan"))
    console.close()
    console.close()
    text = text_of(terminal)
    assert all(device in text for device in DEVICES)
    assert "gen3/ind2: failed, diverged after 1 tries (loss is nan)" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden, and shown again
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(5)
    assert text_of(terminal) == text  # nothing is drawn later


def test_no_table_is_drawn_where_there_is_no_terminal() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.open(DEVICES, generations=20)
    console.close()
    assert text_of(terminal) == ""


# Times


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (8.21, "8.2 s"),
        (59.9, "59.9 s"),
        (60, "1:00 min"),
        (185, "3:05 min"),
        (3599.4, "59:59 min"),
        (3599.6, "1:00:00 h"),
        (7650, "2:07:30 h"),
        (360000, "100:00:00 h"),
    ],
)
def test_seconds_are_said_as_a_person_says_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(seconds=st.floats(0, 1e7))
@settings(deadline=None)
def test_what_is_said_of_a_time_is_that_time(seconds: float) -> None:
    number, unit = duration(seconds).split(" ")
    parts = [float(part) for part in number.split(":")]
    said = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    assert len(parts) == {"s": 1, "min": 2, "h": 3}[unit]
    assert all(part < 60 for part in parts[1:])
    assert abs(said - seconds) <= (0.05001 if unit == "s" else 0.50001)


@pytest.mark.parametrize("message", ["/data:x:/images", ":smile:", "C:\\images\\"])
def test_paths_are_shown_as_they_are(message: str) -> None:
    terminal = screen()
    Console(terminal=terminal).say(message)
    assert text_of(terminal) == message + "\n"


def test_a_time_of_almost_a_minute_is_a_minute() -> None:
    assert duration(59.96) == "1:00 min"


@settings(deadline=None)
@given(message=st.text(string.ascii_letters + string.digits + "[]/\\:;.,_-#@ äß中", min_size=1))
def test_any_message_is_shown_as_it_is(message: str) -> None:
    terminal = screen()
    Console(terminal=terminal).say(message)
    assert text_of(terminal) == message + "\n"


@given(devices=st.integers(1, 130), width=st.integers(60, 200), height=st.integers(8, 70))
@settings(max_examples=60, deadline=None)
def test_any_number_of_devices_fits_on_the_screen(devices: int, width: int, height: int) -> None:
    terminal = Terminal(file=io.StringIO(), width=width, height=height, highlight=False, soft_wrap=True)
    console = Console(terminal=terminal)
    console.open([f"gpu {number}" for number in range(devices)], 30)
    for number in range(0, devices, 2):
        console.job_started(f"gpu {number}", attempt(f"gen12/ind{number + 1}"))
        console.job_progress(f"gpu {number}", attempt(f"gen12/ind{number + 1}"), {"epoch": number % 6})
    terminal.print(console.picture())
    lines = text_of(terminal).splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    if devices > height - 3:
        assert lines[1].startswith(f"{-(-devices // 2)} of {devices} devices train")
        assert sum(line.count("·") for line in lines[1:]) == devices // 2
        assert sum(line.count(sign) for line in lines[1:] for sign in module.LEVELS) == -(-devices // 2)
    else:
        assert len(lines) == devices + 2
