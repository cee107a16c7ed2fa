"""Next dates of series from due dates and from completions, across clock changes."""

from __future__ import annotations

from datetime import UTC, datetime
from time import process_time

import pytest

from app.recurrence.next_date import (
    Occurrence,
    following,
    following_completion,
    normal_rule,
    occurs,
)
from tests.recurrence.rules import (
    listed,
    series,
    utc,
)
from tests.recurrence.zones import APIA, LORD_HOWE, MADRID, NEW_YORK, NUUK


@pytest.mark.parametrize(
    ("rule", "scheduled", "expected"),
    [
        ("FREQ=MONTHLY", "2026-01-31", "2026-03-31"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31", "2026-02-28"),
        ("FREQ=YEARLY", "2024-02-29", "2028-02-29"),
        ("FREQ=YEARLY", "2096-02-29", "2104-02-29"),
        ("FREQ=YEARLY;BYMONTH=2;BYDAY=5SU", "2004-02-29", "2032-02-29"),
        ("FREQ=YEARLY;BYMONTHDAY=1", "2026-05-01", "2026-06-01"),
        ("FREQ=YEARLY;BYWEEKNO=20", "2026-05-13", "2027-05-19"),
        ("FREQ=YEARLY;INTERVAL=2;BYWEEKNO=1;BYDAY=MO", "2025-12-30", "2028-01-03"),
        ("FREQ=MONTHLY;BYDAY=MO,1TU", "2026-11-30", "2026-12-01"),
        ("FREQ=WEEKLY;BYDAY=WE,FR;BYSETPOS=1", "2026-11-26", "2026-12-02"),
        ("FREQ=WEEKLY;BYDAY=TU", "2026-11-26", "2026-12-01"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU", "2026-11-26", "2026-12-08"),
        ("FREQ=DAILY;BYHOUR=9,17", "2026-11-26", "2026-11-27"),
        ("FREQ=MONTHLY;BYDAY=MO;BYHOUR=9,17;BYSETPOS=2", "2026-11-09", "2026-12-14"),
        ("FREQ=HOURLY;INTERVAL=8", "2026-11-26", "2026-11-27"),
        ("FREQ=HOURLY;INTERVAL=36", "2026-11-26", "2026-11-27"),
        ("FREQ=HOURLY;INTERVAL=72", "2026-11-26", "2026-11-29"),
        ("FREQ=DAILY;UNTIL=20261127", "2026-11-26", "2026-11-27"),
        ("FREQ=DAILY;UNTIL=20261126", "2026-11-26", None),
        ("FREQ=DAILY;UNTIL=20261126T230000Z", "2026-11-26", "2026-11-27"),
        ("FREQ=DAILY;UNTIL=20261126T225959Z", "2026-11-26", None),
        ("FREQ=DAILY;UNTIL=20261127T000000", "2026-11-26", "2026-11-27"),
        ("FREQ=DAILY;UNTIL=99991231T235959Z", "2026-11-26", "2026-11-27"),
        ("FREQ=DAILY;UNTIL=00010101T000000Z", "2026-11-26", None),
        ("FREQ=YEARLY;BYYEARDAY=-1", "2024-12-31", "2025-12-31"),
        ("FREQ=YEARLY;BYYEARDAY=-366", "2024-01-01", "2028-01-01"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=31", "2026-01-31", "2026-03-31"),
        ("FREQ=DAILY", "9999-12-31", None),
        ("FREQ=YEARLY;BYWEEKNO=1;WKST=FR", "9999-12-31", None),
        ("FREQ=YEARLY;BYWEEKNO=2;WKST=TU", "0001-01-01", "0001-01-15"),
        ("FREQ=WEEKLY;BYDAY=MO,WE;BYSETPOS=2", "0001-01-02", "0001-01-03"),
        ("FREQ=DAILY", "0001-01-01", "0001-01-02"),
        ("FREQ=YEARLY;INTERVAL=51", "2026-11-26", None),
        ("FREQ=YEARLY;INTERVAL=50;BYWEEKNO=53;BYYEARDAY=1,366;BYSETPOS=2", "2026-06-01", "2077-01-01"),
        ("FREQ=YEARLY;INTERVAL=50;BYMONTH=11;BYDAY=TH;BYSETPOS=-1", "2026-11-26", "2076-11-26"),
    ],
)
def test_next_date_follows_the_previous_one(rule: str, scheduled: str, expected: str | None) -> None:
    """UNTIL with a time counts as a day in the task's zone, here Madrid's."""
    found = following(rule, scheduled, MADRID)
    assert found == (Occurrence(expected, normal_rule(rule)) if expected else None)


def test_count_is_the_number_left() -> None:
    """Each occurrence has one less, and the last has no next one."""
    second = following("FREQ=DAILY;COUNT=3", "2026-11-26", None)
    assert second == Occurrence("2026-11-27", "FREQ=DAILY;COUNT=2")
    third = following("FREQ=DAILY;COUNT=2", "2026-11-27", None)
    assert third == Occurrence("2026-11-28", "FREQ=DAILY;COUNT=1")
    assert following("FREQ=DAILY;COUNT=1", "2026-11-28", None) is None


@pytest.mark.parametrize(
    ("rule", "zone", "dates"),
    [
        # Forwards on 29 March 2026 at 02:00, back on 25 October at 03:00.
        ("FREQ=DAILY", MADRID, ["2026-03-28T09:00:00+01:00", "2026-03-29T09:00:00+02:00"]),
        (
            "FREQ=DAILY",
            MADRID,
            ["2026-03-28T02:30:00+01:00", "2026-03-29T02:30:00+01:00", "2026-03-30T02:30:00+02:00"],
        ),
        (
            "FREQ=DAILY",
            MADRID,
            ["2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "FREQ=WEEKLY;BYDAY=SU",
            NEW_YORK,
            ["2026-03-01T02:15:00-05:00", "2026-03-08T02:15:00-05:00", "2026-03-15T02:15:00-04:00"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=1SU",
            NEW_YORK,
            ["2026-10-04T01:30:00-04:00", "2026-11-01T01:30:00-04:00", "2026-12-06T01:30:00-05:00"],
        ),
        # Forwards on 4 October 2026 at 02:00 to 02:30, back on 5 April at 02:00 to 01:30.
        (
            "FREQ=DAILY",
            LORD_HOWE,
            ["2026-10-03T02:15:00+10:30", "2026-10-04T02:15:00+10:30", "2026-10-05T02:15:00+11:00"],
        ),
        (
            "FREQ=DAILY",
            LORD_HOWE,
            ["2026-04-04T01:45:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
        ),
        # 02:45 does not exist and means 03:45, which is after 03:15.
        (
            "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=15,45;BYSETPOS=2,3",
            MADRID,
            [
                "2026-03-28T03:15:00+01:00",
                "2026-03-29T03:15:00+02:00",
                "2026-03-29T02:45:00+01:00",
                "2026-03-30T02:45:00+02:00",
            ],
        ),
        # 02:00 does not exist and is the same instant as 03:00.
        (
            "FREQ=HOURLY",
            MADRID,
            ["2026-03-29T01:00:00+01:00", "2026-03-29T02:00:00+01:00", "2026-03-29T04:00:00+02:00"],
        ),
        (
            "FREQ=HOURLY",
            MADRID,
            ["2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"],
        ),
        # 23:30 does not exist and means 00:30 of the next day, which is after 00:15.
        (
            "FREQ=DAILY;BYHOUR=0,23;BYMINUTE=15,30;BYSETPOS=1,-1",
            NUUK,
            [
                "2026-03-28T00:15:00-02:00",
                "2026-03-29T00:15:00-01:00",
                "2026-03-28T23:30:00-02:00",
                "2026-03-29T23:30:00-01:00",
            ],
        ),
        (
            "FREQ=DAILY",
            APIA,
            ["2011-12-29T09:00:00-10:00", "2011-12-30T09:00:00-10:00", "2012-01-01T09:00:00+14:00"],
        ),
        # Without a zone, the offset that the date has.
        ("FREQ=MONTHLY", None, ["2026-01-10T09:00:00-03:30", "2026-02-10T09:00:00-03:30"]),
        ("FREQ=DAILY", "UTC", ["2026-03-28T09:00:00.500000+00:00", "2026-03-29T09:00:00.500000+00:00"]),
        ("FREQ=DAILY", "Nowhere/Never", ["2026-03-28T09:00:00+00:00", "2026-03-29T09:00:00+00:00"]),
    ],
)
def test_local_times_stay_across_clock_changes(rule: str, zone: str | None, dates: list[str]) -> None:
    """A skipped time takes the offset from before, a repeated one its first: 3.3.5."""
    assert series(rule, dates[0], zone, len(dates)) == dates
    assert sorted(dates, key=utc) == dates


def test_date_in_another_offset_is_converted_to_the_zone() -> None:
    """Eight in London is nine in Madrid."""
    assert following("FREQ=DAILY", "2026-03-28T08:00:00Z", MADRID) == Occurrence(
        "2026-03-29T09:00:00+02:00", "FREQ=DAILY"
    )


@pytest.mark.parametrize(
    ("until", "goes_on"),
    [
        ("20260329T010000Z", False),
        ("20260329T012959Z", False),
        ("20260329T013000Z", True),
        ("20260329T023000", True),
        ("20260329T022959", False),
        ("20260329T032959", False),
        ("20260329T033000", True),
        ("20260329", True),
        ("20260328", False),
    ],
)
def test_until_is_an_instant(until: str, *, goes_on: bool) -> None:
    """02:30, which Madrid skips, is 01:30 UTC and 03:30; a date includes its end."""
    found = following(f"FREQ=DAILY;UNTIL={until}", "2026-03-28T02:30:00+01:00", MADRID)
    assert (found is not None) == goes_on


@pytest.mark.parametrize(
    ("rule", "scheduled", "comes"),
    [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "2026-11-26", False),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "2026-11-26", False),
        ("FREQ=HOURLY;INTERVAL=2;BYHOUR=5", "2026-11-26T08:00:00Z", False),
        ("FREQ=HOURLY;BYMINUTE=0,15,30;BYSETPOS=4", "2026-11-26T08:00:00Z", False),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2026-11-26", True),
        ("FREQ=DAILY;COUNT=1", "2026-11-26", True),
        ("FREQ=DAILY;UNTIL=20200101", "2026-11-26T08:00:00Z", True),
    ],
)
def test_rule_without_dates_differs_from_an_ended_series(rule: str, scheduled: str, *, comes: bool) -> None:
    assert occurs(rule, scheduled, None) is comes


def filled(head: str, values: range, tail: str = "") -> str:
    """Return as many values as a rule may have."""
    return next(
        rule for most in range(len(values), 0, -1) if len(rule := head + listed(values[:most]) + tail) <= 500
    )


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;INTERVAL=2;BYHOUR=0,2,4,6,8,10,12,14,16,18,20,22",
        "FREQ=HOURLY;INTERVAL=168;BYDAY=MO,WE,TH,FR,SA,SU;BYMINUTE=0,15,30,45;BYSETPOS=4",
        "FREQ=HOURLY;BYMINUTE=0,15,30;BYSETPOS=4",
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        filled("FREQ=DAILY;BYHOUR=1;BYSETPOS=", range(2, 366)),
        filled("FREQ=WEEKLY;BYDAY=MO;BYSETPOS=", range(2, 366)),
        filled("FREQ=YEARLY;BYWEEKNO=40;BYYEARDAY=", range(2, 366)),
        filled("FREQ=HOURLY;INTERVAL=168;BYYEARDAY=", range(2, 366), ";BYDAY=MO,WE,TH,FR,SA,SU"),
    ],
)
def test_search_for_a_date_is_bounded(rule: str) -> None:
    """About a tenth of a second, though these rules have no date."""
    begun = process_time()
    assert following(rule, "2026-11-24T09:00:00+01:00", MADRID) is None
    assert process_time() - begun < 0.5


@pytest.mark.parametrize(
    ("rule", "completed_at", "due", "zone", "expected"),
    [
        ("FREQ=DAILY;INTERVAL=3", "2026-11-23T23:30Z", None, None, "2026-11-26"),
        ("FREQ=DAILY;INTERVAL=3", "2026-11-23T23:30Z", "2026-11-01", MADRID, "2026-11-27"),
        (
            "FREQ=DAILY;INTERVAL=3",
            "2026-11-23T07:00Z",
            "2026-11-20T09:00:00+01:00",
            MADRID,
            "2026-11-26T09:00:00+01:00",
        ),
        ("FREQ=DAILY", "2026-11-23T20:00Z", "2026-12-20T09:00:00+01:00", MADRID, "2026-11-24T09:00:00+01:00"),
        (
            "FREQ=DAILY;INTERVAL=3",
            "2026-03-27T20:00Z",
            "2026-03-20T09:00:00+01:00",
            MADRID,
            "2026-03-30T09:00:00+02:00",
        ),
        ("FREQ=DAILY", "2026-03-28T20:00Z", "2026-03-20T02:30:00+01:00", MADRID, "2026-03-29T02:30:00+01:00"),
        ("FREQ=DAILY", "2026-03-29T20:00Z", "2026-03-29T02:30:00+01:00", MADRID, "2026-03-30T02:30:00+02:00"),
        ("FREQ=DAILY", "2026-11-23T23:30Z", "2026-11-20T09:00:00+01:00", None, "2026-11-25T09:00:00+01:00"),
        (
            "FREQ=WEEKLY;BYDAY=MO",
            "2026-11-23T07:00Z",
            "2026-11-23T09:00:00+01:00",
            MADRID,
            "2026-11-30T09:00:00+01:00",
        ),
        ("FREQ=WEEKLY;BYDAY=MO", "2026-11-25T07:00Z", None, None, "2026-11-30"),
        ("FREQ=WEEKLY;INTERVAL=2", "2026-11-25T07:00Z", "2026-11-23", None, "2026-12-09"),
        (
            "FREQ=DAILY;BYHOUR=9,17;BYMINUTE=0",
            "2026-11-23T09:00Z",
            "2026-11-23T09:00:00+00:00",
            None,
            "2026-11-23T17:00:00+00:00",
        ),
        ("FREQ=DAILY;BYHOUR=9,17", "2026-11-23T09:00Z", "2026-11-23", None, "2026-11-24"),
        (
            "FREQ=HOURLY;INTERVAL=4",
            "2026-11-23T09:17:33Z",
            "2026-11-23T05:00:00+00:00",
            None,
            "2026-11-23T13:17:00+00:00",
        ),
        ("FREQ=HOURLY;INTERVAL=4", "2026-11-23T09:17:33Z", None, None, "2026-11-24"),
        ("FREQ=MONTHLY", "2026-01-31T12:00Z", None, None, "2026-02-28"),
        ("FREQ=MONTHLY", "2026-01-15T12:00Z", None, None, "2026-02-15"),
        (
            "FREQ=MONTHLY;INTERVAL=3;BYHOUR=9,17;BYMINUTE=0",
            "2026-01-31T18:00Z",
            "2026-01-31T09:00:00+00:00",
            None,
            "2026-04-30T09:00:00+00:00",
        ),
        ("FREQ=MONTHLY;BYHOUR=9,17", "2026-03-31T12:00Z", None, None, "2026-04-30"),
        ("FREQ=MONTHLY;BYMONTH=1,2", "2026-01-31T12:00Z", None, None, "2026-02-28"),
        ("FREQ=YEARLY;BYMONTH=2", "2026-01-31T12:00Z", None, None, "2026-02-28"),
        ("FREQ=YEARLY;BYMONTH=1,2", "2026-01-31T12:00Z", None, None, "2027-01-31"),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-31T12:00Z", None, None, "2026-03-31"),
        ("FREQ=YEARLY", "2024-02-29T12:00Z", None, None, "2025-02-28"),
        ("FREQ=YEARLY;UNTIL=20260101", "2025-02-28T12:00Z", None, None, None),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "2025-02-28T12:00Z", None, None, None),
        ("FREQ=DAILY", "9999-12-31T12:00Z", None, None, None),
        ("FREQ=DAILY", "9999-12-31T23:30Z", "9999-12-31T23:30:00+00:00", MADRID, None),
    ],
)
def test_next_date_counts_from_the_completion(
    rule: str, completed_at: str, due: str | None, zone: str | None, expected: str | None
) -> None:
    """From the local day of completion, at the time of day that was due."""
    found = following_completion(rule, datetime.fromisoformat(completed_at), due, zone)
    assert found == (Occurrence(expected, normal_rule(rule)) if expected else None)


def test_count_ends_a_series_from_completions() -> None:
    """As in a series from due dates."""
    completed_at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    found = following_completion("FREQ=DAILY;COUNT=2", completed_at, None, None)
    assert found == Occurrence("2026-11-24", "FREQ=DAILY;COUNT=1")
    assert following_completion("FREQ=DAILY;COUNT=1", completed_at, None, None) is None


def test_times_need_an_offset() -> None:
    """Otherwise their instant is ambiguous."""
    with pytest.raises(ValueError, match="must have an offset"):
        following("FREQ=DAILY", "2026-11-23T09:00:00", MADRID)
    with pytest.raises(ValueError, match="must have an offset"):
        following_completion("FREQ=DAILY", datetime.now(UTC), "2026-11-23T09:00:00", MADRID)
