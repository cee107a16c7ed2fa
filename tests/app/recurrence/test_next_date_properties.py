"""Properties of next dates, for random rules and starts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.recurrence.next_date import (
    following,
    following_completion,
)
from tests.recurrence.rules import (
    WEEKDAYS,
    all_days,
    due,
    local,
    moments,
    numbers,
    parts,
    series,
    times,
    utc,
    weekdays,
    written,
)
from tests.recurrence.zones import APIA, LORD_HOWE, MADRID, NEW_YORK, NUUK

TRANSITIONS = [
    (MADRID, date(2026, 3, 29)),
    (MADRID, date(2026, 10, 25)),
    (NEW_YORK, date(2026, 3, 8)),
    (LORD_HOWE, date(2026, 10, 4)),
    (LORD_HOWE, date(2026, 4, 5)),
    (NUUK, date(2026, 3, 29)),
    (APIA, date(2011, 12, 30)),
]
NOON = time(12)
times_of_day = {"BYHOUR": numbers(0, 23, 4), "BYMINUTE": numbers(0, 59, 2)}
often = st.one_of(
    parts({"FREQ": "DAILY", "INTERVAL": st.integers(1, 2), **times_of_day}),
    parts({"FREQ": "WEEKLY", "BYDAY": weekdays(), **times_of_day}),
    parts({"FREQ": "HOURLY", "INTERVAL": st.integers(1, 3), "BYMINUTE": times_of_day["BYMINUTE"]}),
).map(written)


@settings(deadline=None, max_examples=60)
@given(often, st.sampled_from(TRANSITIONS), times)
@example("FREQ=DAILY;BYHOUR=0,23;BYMINUTE=0,30", (NUUK, date(2026, 3, 29)), NOON)
def test_series_is_the_set_of_its_instants(rule: str, change: tuple[str, date], at: time) -> None:
    """Around a clock change: each local time once as an instant, in order."""
    zone, day = change
    start = datetime.combine(day - timedelta(days=2), at)
    begun = following(rule, due(start, "UTC"), "UTC")
    assert begun is not None
    walls = [datetime.fromisoformat(local(wall)) for wall in series(rule, begun.due, "UTC", 180)]
    instants = sorted({wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for wall in walls})
    found = series(rule, due(walls[0], zone), zone, 120)
    assert [utc(moment) for moment in found] == instants[:120]


@settings(deadline=None)
@given(st.sampled_from([MADRID, NEW_YORK, LORD_HOWE, NUUK]), often, moments(all_days))
def test_dates_have_the_offset_of_their_zone(zone: str, rule: str, start: datetime) -> None:
    """The text alone determines instant and local time."""
    for moment in series(rule, due(start, zone), zone, 5)[1:]:
        meant = datetime.fromisoformat(local(moment))
        assert moment == due(meant, zone)


@settings(deadline=None)
@given(numbers(-53, 53), weekdays(), all_days)
def test_weeks_follow_iso_8601(weeks: str, on: str, start: date) -> None:
    """With Monday as the first day, week numbers are those of `date.isocalendar`."""
    numbers = {int(week) for week in weeks.split(",")}
    names = set(on.split(","))
    wanted = []
    for day in (start + timedelta(days=ahead) for ahead in range(1, 9_000)):
        year, week, weekday = day.isocalendar()
        last = date(year, 12, 28).isocalendar().week
        if WEEKDAYS[weekday - 1] in names and numbers & {week, week - last - 1}:
            wanted.append(day.isoformat())
    rule = f"FREQ=YEARLY;BYWEEKNO={weeks};BYDAY={on}"
    assert series(rule, start.isoformat(), None, 4)[1:] == wanted[:3]


@settings(deadline=None)
@given(weekdays(), st.sampled_from(WEEKDAYS), st.integers(1, 3), all_days)
def test_bysetpos_in_a_week_is_a_weekday(on: str, wkst: str, interval: int, start: date) -> None:
    """Libraries differ at its start; it selects the same as naming the day."""
    from_start = WEEKDAYS[WEEKDAYS.index(wkst) :] + WEEKDAYS[: WEEKDAYS.index(wkst)]
    in_order = sorted(on.split(","), key=from_start.index)
    for place in (1, len(in_order), -1):
        rule = f"FREQ=WEEKLY;INTERVAL={interval};WKST={wkst};BYDAY="
        chosen = rule + in_order[place - 1 if place > 0 else place]
        assert (
            series(f"{rule}{on};BYSETPOS={place}", start.isoformat(), None, 5)[1:]
            == (series(chosen, start.isoformat(), None, 5)[1:])
        )


@settings(deadline=None)
@given(
    often | st.sampled_from(["FREQ=MONTHLY", "FREQ=YEARLY", "FREQ=WEEKLY;BYDAY=MO", "FREQ=DAILY;INTERVAL=3"]),
    moments(all_days).map(lambda moment: moment.replace(tzinfo=UTC)),
    moments(all_days),
    st.sampled_from([MADRID, NEW_YORK, LORD_HOWE, NUUK]),
)
def test_next_date_is_after_the_completion(
    rule: str, completed_at: datetime, due_at: datetime, zone: str
) -> None:
    """However late or early; for a date, on a later day."""
    timed = following_completion(rule, completed_at, due(due_at, zone), zone)
    dated = following_completion(rule, completed_at, due(due_at.date(), zone), zone)
    assert timed is not None
    assert dated is not None
    assert utc(timed.due) > completed_at
    assert dated.due > completed_at.astimezone(ZoneInfo(zone)).date().isoformat()
