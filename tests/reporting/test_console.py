"""What a person sees of a run, on a terminal and in a file."""

from __future__ import annotations

import importlib.util
import io
import string
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console as Terminal

from job_queue import Attempt
from records import Generation, Individual, RunState, TrainingConfig, TrainingJob, TrainingResult
from records.costs import Cost
from records.texts import Chromosome, JobKey, NetworkText
from records.trainings import Epoch
from records.words import duration
from reporting import console as module
from reporting.console import Console
from reporting.terminal import PlainTerminal
from tests.faults.small_run import birth

DEVICES = [f"gpu {index}" for index in range(8)]


def screen(width: int = 100, **options: Any) -> Terminal:
    """What a run writes to, kept as text."""
    return Terminal(file=io.StringIO(), width=width, height=40, highlight=False, soft_wrap=True, **options)


def text_of(terminal: Terminal) -> str:
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


def attempt(name: str = "gen3/ind2", number: int = 1) -> Attempt:
    job = TrainingJob(phenotype=NetworkText(name), protocol=TrainingConfig(epochs=5), data_fingerprint="f")
    return Attempt(job=job, key=job.key, name=name, work=1.0, micro_batch=64, number=number)


def ended(status: str = "done", accuracy: float | None = 0.5, reason: str = "") -> TrainingResult:
    return TrainingResult(
        key=JobKey("key"),
        status=status,
        reason=reason,
        epochs=(Epoch(train_loss=1.0, score=accuracy, loss=1.0),),
        cost=Cost(seconds=75.0, images_per_second=12345.6),
    )


def state(generations: int | None = 20, metric: str = "accuracy") -> RunState:
    """The state of a run with this number of generations, or of one that a budget ends."""
    found = birth(0)
    search = replace(found.search, generations=generations or 20, budget=100 if generations is None else None)
    return replace(found, search=search, training=replace(found.training, metric=metric))


def state_after(*values: float | None) -> RunState:
    """The state after a third generation with these fitnesses."""
    third = Generation(
        number=3,
        individuals=tuple(
            Individual(generation=3, index=index, chromosome=Chromosome(str(index)), origin="random").evaluated(value)
            for index, value in enumerate(values, 1)
        ),
    )
    return replace(state(), generations=(third,))


def tell_everything(console: Console) -> None:
    """A generation of three trainings as the workers and the search report it."""
    console.run_began(state(generations=20), DEVICES[:2])
    console.generation_began(3, [0.25], to_train=3)
    console.queue_began(3)
    console.training_began("gpu 0", attempt("gen3/ind1"))
    console.training_progressed("gpu 0", attempt("gen3/ind1"), {"epoch": 1, "accuracy": 0.4, "images_per_second": 10.0})
    console.training_began("gpu 1", attempt("gen3/ind2"))
    console.training_ended("gpu 0", attempt("gen3/ind1"), ended(accuracy=0.5))
    console.training_retried("gpu 1", attempt("gen3/ind2"), "crashed", "signal SIGKILL")
    console.training_began("gpu 1", attempt("gen3/ind2", number=2))
    console.training_ended("gpu 1", attempt("gen3/ind2", number=2), ended(accuracy=0.75))
    console.training_began("gpu 0", attempt("gen3/ind3"))
    console.training_ended("gpu 0", attempt("gen3/ind3", number=3), ended("timed_out", reason="no result after 9 s"))
    console.generation_ended(state_after(0.5, 0.75, None, 0.25), seconds=185, busy=0.938)
    console.run_ended()


def test_each_event_is_one_plain_line_where_there_is_no_terminal() -> None:
    terminal = screen()
    tell_everything(Console(terminal=terminal))
    assert text_of(terminal).splitlines() == [
        "generation 3/20: 3 to train, 1 known already",
        "gen3/ind1: accuracy 0.5000, 1:15 min, 12,346 images/s (1/3)",
        "gen3/ind2: crashed (signal SIGKILL); try 2 follows",
        "gen3/ind2: accuracy 0.7500, 1:15 min, 12,346 images/s (2/3)",
        "gen3/ind3: failed, timed_out after 3 tries (no result after 9 s)",
        "generation 3/20 in 3:05 min: best 0.7500 (gen3/ind2), mean 0.5000, 94% busy",
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
    console.training_retried("gpu 0", attempt(), "error", message)
    assert text_of(terminal) == f"{message}\ngen3/ind2: error ({message}); try 2 follows\n"


def test_a_training_without_accuracy_is_only_said_to_be_trained() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.generation_began(1, [], to_train=1)
    console.queue_began(1)
    console.training_ended("gpu 0", attempt("final"), ended(accuracy=None))
    assert "final: trained, 1:15 min" in text_of(terminal)


def test_what_a_person_should_know_of_a_training_is_said_once() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    result = replace(ended(accuracy=0.5), cost=Cost(note="no CUDA graph: out of luck"))
    for _ in range(3):
        console.training_ended("gpu 0", attempt(), result)
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
    console.run_began(state(generations=20), DEVICES)
    console.generation_began(3, [0.25], to_train=10)
    console.queue_began(10)
    for index, device in enumerate(DEVICES[:-1], 1):
        console.training_began(device, attempt(f"gen3/ind{index}"))
    console.training_progressed(
        "gpu 0", attempt("gen3/ind1"), {"epoch": 2, "accuracy": 0.8125, "images_per_second": 123456.0}
    )
    console.training_progressed("gpu 0", attempt("gen3/ind1"), {"epoch": 2.5, "images_per_second": 123000.0})
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
    console.training_ended("gpu 0", attempt("gen3/ind1"), ended(accuracy=0.9))
    header, _, row, *_ = picture(console, 100)
    assert "1/10 trained" in header
    assert "best 0.9000" in header
    assert "gen3/ind1" not in row
    assert "gpu 0" in row


def test_the_header_fits_a_narrow_terminal() -> None:
    console = working_console()
    console.training_ended("gpu 0", attempt("gen3/ind1"), ended(accuracy=0.9))
    assert "ETA" in picture(console, 80)[0]
    assert "…" not in picture(console, 80)[0]


def test_the_time_that_is_left_runs_down_between_two_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    console = Console(terminal=screen())
    console.run_began(state(generations=2), ["cpu 1"])
    assert console.remaining() is None
    console.time_left(100.0)
    now[0] += 20
    assert console.remaining() == pytest.approx(80)
    assert "ETA 1:20 min" in picture(console, 100)[0]
    now[0] += 90
    assert console.remaining() == 0.0  # late, never less than nothing
    console.time_left(None)
    assert "ETA –" in picture(console, 100)[0]


def test_each_rung_is_counted_anew() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.generation_began(1, [], to_train=3)
    for count in (3, 1):
        console.queue_began(count)
        for number in range(1, count + 1):
            console.training_ended("gpu 0", attempt(f"gen1/ind{number}"), ended())
    counts = [line.rpartition("(")[2] for line in text_of(terminal).splitlines()[1:]]
    assert counts == ["1/3)", "2/3)", "3/3)", "1/1)"]


def test_a_run_that_a_budget_ends_counts_its_generations_without_a_last_one() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.run_began(state(generations=None), DEVICES)
    console.generation_began(3, [], to_train=2)
    assert text_of(terminal) == "generation 3: 2 to train\n"
    assert "generation 3 ·" in picture(console, 100)[0]


def test_a_terminal_gets_a_live_table_and_is_given_back() -> None:
    terminal = screen(force_terminal=True)
    console = Console(terminal=terminal)
    console.run_began(state(generations=20), DEVICES)
    console.generation_began(3, [], to_train=2)
    console.queue_began(2)
    console.training_ended("gpu 0", attempt("gen3/ind1"), ended())
    console.training_ended("gpu 1", attempt("gen3/ind2"), ended("diverged", reason="loss is nan"))
    console.run_ended()
    console.run_ended()
    text = text_of(terminal)
    assert all(device in text for device in DEVICES)
    assert "gen3/ind2: failed, diverged after 1 try (loss is nan)" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden, and shown again
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(5)
    assert text_of(terminal) == text  # nothing is drawn later


def test_no_table_is_drawn_where_there_is_no_terminal() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.run_began(state(generations=20), DEVICES)
    console.run_ended()
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


# Any number of devices, any terminal


def crowd(devices: int, working: int, name: str = "gen12/ind{}/epochs_3") -> Console:
    """A console with so many devices, of which so many train."""
    console = Console(terminal=screen())
    slots = [f"gpu {index}" for index in range(devices)]
    console.run_began(state(generations=200), slots)
    console.generation_began(123, [0.25], to_train=1000)
    console.queue_began(1000)
    console.time_left(123456.0)
    for index, slot in enumerate(slots[:working], 1):
        tried = attempt(name.format(index))
        console.training_began(slot, tried)
        console.training_progressed(slot, tried, {"epoch": 2, "accuracy": 0.8125, "images_per_second": 123456.0})
    return console


def shown(console: Console, width: int, height: int) -> list[str]:
    terminal = Terminal(file=io.StringIO(), record=True, width=width, height=height)
    terminal.print(console.picture())
    return terminal.export_text().splitlines()


@given(devices=st.integers(1, 128), idle=st.integers(0, 128), width=st.integers(60, 250), height=st.integers(8, 80))
@settings(deadline=None, max_examples=100)
def test_any_number_of_devices_fits_any_terminal(devices: int, idle: int, width: int, height: int) -> None:
    lines = shown(crowd(devices, max(0, devices - idle)), width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    assert "ETA 34:17:36 h" in lines[0]


def test_64_devices_are_all_seen_on_80_columns_and_24_lines() -> None:
    lines = shown(crowd(64, working=60), 80, 24)
    assert len(lines) <= 19
    assert lines[1] == "64 devices, 60 at work"
    text = "\n".join(lines)
    for index in range(60):
        assert f"gpu {index} ind{index + 1} 3/5" in text
    assert "gpu 63 –" in text


def test_devices_that_do_not_fit_are_counted() -> None:
    lines = shown(crowd(128, working=127), 60, 24)
    seen = sum(line.count("gpu ") for line in lines)
    assert 0 < seen < 128
    assert lines[-1] == f"and {128 - seen} more, {127 - seen} at work"


def test_columns_stay_where_they_are_when_names_get_shorter() -> None:
    console = crowd(2, working=2)
    before = shown(console, 100, 24)[1]
    console.training_began("gpu 0", attempt("gen13/ind1"))
    console.training_began("gpu 1", attempt("gen13/ind2"))
    assert shown(console, 100, 24)[1] == before


@pytest.mark.parametrize(("width", "left_out"), [(78, ""), (70, "━"), (55, "images/s")])
def test_a_narrow_terminal_leaves_columns_out_rather_than_breaking_rows(width: int, left_out: str) -> None:
    lines = shown(crowd(3, working=3), width, 24)
    assert len(lines) == 5
    assert all(f"gen12/ind{index}/epochs_3" in line for index, line in enumerate(lines[2:], 1))
    assert all("0.8125" in line for line in lines[2:])
    assert not left_out or left_out not in "".join(lines)


def test_a_line_that_is_too_long_for_the_terminal_breaks_between_words_under_its_text() -> None:
    terminal = screen(width=60, force_terminal=True)
    console = Console(terminal=terminal)
    path = "/a/path/that/is/longer/than/the/terminal/is/wide/and/stays/in/one/piece/fitness.png"
    console.say(f"files                best_model/, history, {path}", always=True)
    console.say("word " * 20 + "end")
    assert text_of(terminal).splitlines() == [
        "files                best_model/, history,",
        " " * 21 + path,
        ("word " * 12).strip(),
        "  " + "word " * 8 + "end",
    ]


def test_a_command_to_copy_is_left_in_one_piece() -> None:
    terminal = screen(width=60, force_terminal=True)
    Console(terminal=terminal).say("next  " + "word " * 20 + "end", wrap=False)
    assert text_of(terminal).count("\n") == 1


def test_a_reason_without_end_is_cut() -> None:
    terminal = screen()
    console = Console(terminal=terminal)
    console.training_retried("gpu 0", attempt(), "error", "x" * 2000)
    console.training_ended("gpu 0", attempt(), ended("error", reason="y" * 2000))
    assert all(len(line) < 260 and "…" in line for line in text_of(terminal).splitlines())


def test_the_mean_counts_each_individual_once_by_its_longest_training() -> None:
    console = Console(terminal=screen())
    console.run_began(state(generations=20), DEVICES)
    console.generation_began(1, [0.5], to_train=2)
    told = (("gen1/ind1/epochs_1", 0.1), ("gen1/ind2/epochs_1", 0.3), ("gen1/ind2", 0.9), ("final/420c", 1.0))
    for name, accuracy in told:
        console.training_ended("gpu 0", attempt(name), ended(accuracy=accuracy))
    assert "mean 0.5000" in shown(console, 100, 24)[0]  # of 0.5, 0.1 and 0.9


@pytest.mark.parametrize(("seconds", "said"), [(0.0, "ETA soon"), (0.2, "ETA 1 s"), (59.5, "ETA 1:00 min")])
def test_an_expected_time_is_no_better_than_a_second(seconds: float, said: str) -> None:
    assert module.eta(seconds) == said


def test_failures_are_counted_in_the_header_until_the_next_generation() -> None:
    console = crowd(2, working=2)
    assert "failed" not in shown(console, 80, 24)[0]
    console.training_ended("gpu 0", attempt("gen12/ind1"), ended("diverged", reason="loss is nan"))
    assert "1/1000 trained, 1 failed" in shown(console, 80, 24)[0]
    console.generation_began(124, [], to_train=2)
    assert "failed" not in shown(console, 80, 24)[0]


# Without rich


def without_rich(monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)  # an import of it fails
    monkeypatch.setattr(PlainTerminal, "is_terminal", property(lambda self: is_terminal))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_without_rich_a_run_prints_the_same_lines(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_rich = screen()
    tell_everything(Console(terminal=with_rich))
    without_rich(monkeypatch, is_terminal)
    monkeypatch.setenv("COLUMNS", "200")
    tell_everything(Console())
    assert capsys.readouterr().out == text_of(with_rich)


def test_without_rich_long_lines_are_wrapped_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_rich(monkeypatch, is_terminal=True)
    monkeypatch.setenv("COLUMNS", "40")
    console = Console()
    console.say("word " * 20)
    console.say("a command " * 10, wrap=False)
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 40
    assert len(last) == 100
