"""The trainings of a run by device."""

from __future__ import annotations

from reporting.analysis.devices import PAUSE, timeline
from tests.reporting.examples import result


def test_a_timeline_knows_how_busy_the_devices_were() -> None:
    found = timeline([result("b", 105.0, 10.0, "cpu 2"), result("a", 100.0, 10.0), result("c", 110.0, 10.0)])
    assert [(bar.key, bar.start, bar.end) for bar in found.bars] == [("a", 0, 10), ("b", 5, 15), ("c", 10, 20)]
    assert (found.seconds, found.busy, found.utilisation) == (20.0, 30.0, 0.75)
    assert found.pauses == ()


def test_the_time_between_sessions_is_cut_out() -> None:
    found = timeline(
        [result("a", 100.0, 10.0), result("b", 110.0 + 10 * PAUSE, 5.0), result("c", 116.0 + 10 * PAUSE, 5.0)]
    )
    assert found.pauses == ((10.0, 10 * PAUSE),)
    assert [(bar.start, bar.end) for bar in found.bars] == [(0, 10), (10, 15), (16, 21)]


def test_results_of_earlier_runs_and_those_without_a_clock_are_no_bars() -> None:
    assert timeline([result("a", 100.0, 10.0, reused="/earlier"), result("b", 0.0, 10.0)]).bars == ()
    assert timeline([]).utilisation == 0.0


def test_devices_are_in_the_order_of_their_numbers() -> None:
    found = timeline(result(str(n), 1.0 + n, 1.0, f"gpu {n}") for n in (10, 9, 2))
    assert found.devices == ("gpu 2", "gpu 9", "gpu 10")
