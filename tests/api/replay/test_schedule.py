"""The schedule of a replay."""

from __future__ import annotations

from datetime import timedelta

from api.replay.schedule import MAX_LAG_S, Schedule
from tests.spec import START


def at(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_gaps_are_divided_by_the_speed() -> None:
    schedule = Schedule(10.0, 2.0, START, 100.0)
    assert schedule.due_s(START + at(5)) == 100.5
    schedule.sent(START + at(5), 100.5)
    assert schedule.due_s(START + at(6)) == 100.6


def test_long_gaps_are_capped_after_division() -> None:
    schedule = Schedule(10.0, 2.0, START, 100.0)
    assert schedule.due_s(START + timedelta(days=9)) == 102.0


def test_events_of_one_time_are_due_together() -> None:
    schedule = Schedule(10.0, 2.0, START, 100.0)
    schedule.sent(START, 100.0)
    assert schedule.due_s(START) == 100.0


def test_small_delays_do_not_add_up() -> None:
    schedule = Schedule(1.0, 2.0, START, 100.0)
    for second in range(1, 50):
        due_s = schedule.due_s(START + at(second))
        schedule.sent(START + at(second), due_s + 0.01)
    assert schedule.due_s(START + at(50)) == 150.0


def test_slow_reader_shifts_the_schedule() -> None:
    schedule = Schedule(1.0, 2.0, START, 100.0)
    schedule.sent(START + at(1), 130.0)
    assert schedule.due_s(START + at(2)) == 131.0 - MAX_LAG_S


def test_pause_keeps_the_rest_of_the_gap() -> None:
    schedule = Schedule(1.0, 4.0, START, 100.0)
    schedule.pause(START + at(4), 101.0)
    schedule.resume(200.0)
    assert schedule.due_s(START + at(4)) == 203.0


def test_speed_applies_to_the_rest_of_the_gap() -> None:
    schedule = Schedule(1.0, 100.0, START, 100.0)
    schedule.pause(START + at(10), 105.0)
    schedule.speed = 5.0
    assert schedule.due_s(START + at(10)) == 106.0


def test_pause_without_a_next_event_loses_nothing() -> None:
    schedule = Schedule(1.0, 4.0, START, 100.0)
    schedule.pause(None, 101.0)
    schedule.resume(110.0)
    assert schedule.due_s(START + at(1)) == 111.0


def test_extreme_speeds_stay_finite() -> None:
    slow, fast = Schedule(5e-324, 2.0, START, 0.0), Schedule(1e9, 2.0, START, 0.0)
    assert slow.due_s(START + timedelta(days=100_000)) == 2.0
    assert 0.0 <= fast.due_s(START + at(1)) < 1e-8


def test_step_before_its_time_begins_the_next_gap_now() -> None:
    schedule = Schedule(1.0, 10.0, START, 100.0)
    schedule.sent(START + at(10), 101.0)
    assert schedule.due_s(START + at(12)) == 103.0
