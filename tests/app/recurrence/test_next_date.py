"""Recurrence: valid rules, next dates across clock changes, and descriptions in words."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.recurrence.next_date import (
    Occurrence,
    describe,
    following,
    following_completion,
    normal_rule,
    occurs,
)
from tests.recurrence.rules import (
    WEEKDAYS,
    all_days,
    due,
    listed,
    local,
    moments,
    numbers,
    parts,
    series,
    times,
    weekdays,
    written,
)

MADRID = "Europe/Madrid"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"  # its clocks change by half an hour
NUUK = "America/Nuuk"  # its clocks go forward at 23:00, so that 23:30 is the next day
APIA = "Pacific/Apia"  # it left out 2011-12-30


def utc(due: str) -> datetime:
    return datetime.fromisoformat(due).astimezone(UTC)


# --- rules as text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("FREQ=DAILY", "FREQ=DAILY"),
        (" rrule:freq=weekly;byday=th,mo,th ", "FREQ=WEEKLY;BYDAY=MO,TH"),
        ("BYMONTHDAY=+15,-1;INTERVAL=01;FREQ=MONTHLY", "FREQ=MONTHLY;BYMONTHDAY=-1,15"),
        ("WKST=SU;FREQ=WEEKLY;COUNT=3;INTERVAL=2", "FREQ=WEEKLY;INTERVAL=2;COUNT=3;WKST=SU"),
        ("FREQ=WEEKLY;WKST=MO;UNTIL=20261201", "FREQ=WEEKLY;UNTIL=20261201"),
        ("FREQ=DAILY;UNTIL=20261201t090000z", "FREQ=DAILY;UNTIL=20261201T090000Z"),
        ("FREQ=DAILY;UNTIL=20261201T090000", "FREQ=DAILY;UNTIL=20261201T090000"),
        ("FREQ=MONTHLY;BYDAY=+1MO,-1FR", "FREQ=MONTHLY;BYDAY=1MO,-1FR"),
        ("FREQ=YEARLY;BYDAY=53SU", "FREQ=YEARLY;BYDAY=53SU"),
        ("FREQ=HOURLY;BYYEARDAY=1;BYHOUR=0", "FREQ=HOURLY;BYYEARDAY=1;BYHOUR=0"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYSETPOS=1", "FREQ=YEARLY;BYWEEKNO=20;BYSETPOS=1"),
    ],
)
def test_rules_have_a_canonical_form(text: str, normal: str) -> None:
    """Case, order, repetition and defaults do not matter."""
    assert normal_rule(text) == normal
    assert normal_rule(normal) == normal


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a recurrence rule, such as FREQ=WEEKLY;BYDAY=MO,TH"),
        ("every day", "must be a recurrence rule"),
        ("FREQ=DAILY;", "must be a recurrence rule"),
        ("FREQ=DAILY;COUNT=", "must be a recurrence rule"),
        ("COUNT=3", "must have a frequency"),
        ("FREQ=FORTNIGHTLY", "FREQ must be one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY"),
        ("FREQ=MINUTELY", "FREQ=MINUTELY is too often for a task"),
        ("FREQ=SECONDLY;INTERVAL=999", "FREQ=SECONDLY is too often for a task"),
        ("FREQ=HOURLY;BYMINUTE=0,10,20,30,40", "is too often for a task: more than 96 times a day"),
        ("FREQ=DAILY;FREQ=DAILY", "has FREQ twice"),
        ("FREQ=DAILY;RSCALE=HEBREW", "has an unknown part: RSCALE"),
        ("FREQ=DAILY;BYEASTER=1", "has an unknown part: BYEASTER"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20261201", "may have COUNT or UNTIL, not both"),
        ("FREQ=DAILY;COUNT=0", "COUNT must be 1 to 99999"),
        ("FREQ=DAILY;COUNT=1_0", "COUNT must be"),
        ("FREQ=DAILY;COUNT=٣", "COUNT must be"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be 1 to 999"),
        ("FREQ=DAILY;INTERVAL=1000", "INTERVAL must be 1 to 999"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL must be 1 to 999"),
        ("FREQ=DAILY;UNTIL=2026-12-01", r"UNTIL must be a date \(20261201\) or a date-time"),
        ("FREQ=DAILY;UNTIL=20261301", "UNTIL must be"),
        ("FREQ=DAILY;UNTIL=20261201T250000Z", "UNTIL must be"),
        ("FREQ=DAILY;UNTIL=20261201T090000+0100", "UNTIL must be"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY must be 1 to 31 or -1 to -31"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,,2", "BYMONTHDAY must be"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH must be 1 to 12"),
        ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH must be 1 to 12"),
        ("FREQ=DAILY;BYHOUR=24", "BYHOUR must be 0 to 23"),
        ("FREQ=DAILY;BYSECOND=60", "BYSECOND must be 0 to 59"),
        ("FREQ=WEEKLY;BYDAY=MON", "BYDAY must list weekdays"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY must list weekdays"),
        ("FREQ=YEARLY;BYDAY=54MO", "BYDAY must list weekdays"),
        ("FREQ=MONTHLY;BYDAY=6MO", "a month has no weekday 6 times"),
        ("FREQ=YEARLY;BYMONTH=2;BYDAY=-6MO", "a month has no weekday 6 times"),
        ("FREQ=WEEKLY;BYDAY=1MO", "numbered weekdays go with FREQ=MONTHLY or YEARLY only"),
        ("FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO", "numbered weekdays do not go with BYWEEKNO"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO goes with FREQ=YEARLY only"),
        ("FREQ=MONTHLY;BYYEARDAY=1", "BYYEARDAY goes with FREQ=YEARLY or HOURLY only"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY does not go with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs another BY part"),
        ("FREQ=WEEKLY;WKST=1", "WKST must be one of MO, TU"),
        ("FREQ=MONTHLY;BYMONTHDAY=" + "1," * 250, "must have 500 characters or fewer"),
    ],
)
def test_invalid_rule_is_refused_with_a_reason(text: str, message: str) -> None:
    """One line that tells what to change."""
    with pytest.raises(ValueError, match=message) as caught:
        normal_rule(text)
    assert "\n" not in str(caught.value)


@given(
    st.text() | st.lists(st.sampled_from(["FREQ", "DAILY", "=", ";", "BYDAY", ",", "-1", "MO"])).map("".join)
)
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        normal = normal_rule(text)
    except ValueError:
        return
    assert normal_rule(normal) == normal


# --- the examples of RFC 5545 ----------------------------------------------------------------------------

NINE = "1997-09-02T09:00:00-04:00"
"""When the series of section 3.8.5.3 begin, in New York, unless they say otherwise."""


def days(text: str) -> list[str]:
    """Return `1997-09: 2 3 30, 1997-10: 1` as dates."""
    months = (month.split(":") for month in text.split(", "))
    return [f"{month}-{int(day):02}" for month, numbers in months for day in numbers.split()]


@pytest.mark.parametrize(
    ("rule", "first", "expected"),
    [
        ("FREQ=DAILY;COUNT=10", NINE, "1997-09: 2 3 4 5 6 7 8 9 10 11"),
        ("FREQ=DAILY;INTERVAL=2", NINE, "1997-09: 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30, 1997-10: 2 4 …"),
        ("FREQ=DAILY;INTERVAL=10;COUNT=5", NINE, "1997-09: 2 12 22, 1997-10: 2 12"),
        (
            "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
            "2000-01-28T09:00:00-05:00",
            "2000-01: 28 29 30 31",
        ),
        ("FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1", "2000-01-29T09:00:00-05:00", "2000-01: 29 30 31"),
        ("FREQ=WEEKLY;COUNT=10", NINE, "1997-09: 2 9 16 23 30, 1997-10: 7 14 21 28, 1997-11: 4"),
        (
            "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
            NINE,
            "1997-09: 2 16 30, 1997-10: 14 28, 1997-11: 11 25, 1997-12: 9 23, 1998-01: 6 20, 1998-02: 3 17 …",
        ),
        (
            "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
            NINE,
            "1997-09: 2 4 9 11 16 18 23 25 30, 1997-10: 2",
        ),
        ("FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH", NINE, "1997-09: 2 4 9 11 16 18 23 25 30, 1997-10: 2"),
        (
            "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
            "1997-09-01T09:00:00-04:00",
            (
                "1997-09: 1 3 5 15 17 19 29, 1997-10: 1 3 13 15 17 27 29 31, "
                "1997-11: 10 12 14 24 26 28, 1997-12: 8 10 12 22"
            ),
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
            NINE,
            "1997-09: 2 4 16 18 30, 1997-10: 2 14 16",
        ),
        (
            "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
            "1997-09-05T09:00:00-04:00",
            (
                "1997-09: 5, 1997-10: 3, 1997-11: 7, 1997-12: 5, 1998-01: 2, 1998-02: 6, 1998-03: 6, "
                "1998-04: 3, 1998-05: 1, 1998-06: 5"
            ),
        ),
        (
            "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR",
            "1997-09-05T09:00:00-04:00",
            "1997-09: 5, 1997-10: 3, 1997-11: 7, 1997-12: 5",
        ),
        (
            "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
            "1997-09-07T09:00:00-04:00",
            "1997-09: 7 28, 1997-11: 2 30, 1998-01: 4 25, 1998-03: 1 29, 1998-05: 3 31",
        ),
        (
            "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
            "1997-09-22T09:00:00-04:00",
            "1997-09: 22, 1997-10: 20, 1997-11: 17, 1997-12: 22, 1998-01: 19, 1998-02: 16",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-3",
            "1997-09-28T09:00:00-04:00",
            "1997-09: 28, 1997-10: 29, 1997-11: 28, 1997-12: 29, 1998-01: 29, 1998-02: 26 …",
        ),
        (
            "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
            NINE,
            "1997-09: 2 15, 1997-10: 2 15, 1997-11: 2 15, 1997-12: 2 15, 1998-01: 2 15",
        ),
        (
            "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
            "1997-09-30T09:00:00-04:00",
            "1997-09: 30, 1997-10: 1 31, 1997-11: 1 30, 1997-12: 1 31, 1998-01: 1 31, 1998-02: 1",
        ),
        (
            "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
            "1997-09-10T09:00:00-04:00",
            "1997-09: 10 11 12 13 14 15, 1999-03: 10 11 12 13",
        ),
        (
            "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
            NINE,
            "1997-09: 2 9 16 23 30, 1997-11: 4 11 18 25, 1998-01: 6 13 20 27, 1998-03: 3 10 17 24 31 …",
        ),
        (
            "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
            "1997-06-10T09:00:00-04:00",
            (
                "1997-06: 10, 1997-07: 10, 1998-06: 10, 1998-07: 10, 1999-06: 10, 1999-07: 10, 2000-06: 10, "
                "2000-07: 10, 2001-06: 10, 2001-07: 10"
            ),
        ),
        (
            "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
            "1997-03-10T09:00:00-05:00",
            (
                "1997-03: 10, 1999-01: 10, 1999-02: 10, 1999-03: 10, 2001-01: 10, 2001-02: 10, 2001-03: 10, "
                "2003-01: 10, 2003-02: 10, 2003-03: 10"
            ),
        ),
        (
            "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
            "1997-01-01T09:00:00-05:00",
            (
                "1997-01: 1, 1997-04: 10, 1997-07: 19, 2000-01: 1, 2000-04: 9, 2000-07: 18, 2003-01: 1, "
                "2003-04: 10, 2003-07: 19, 2006-01: 1"
            ),
        ),
        (
            "FREQ=YEARLY;BYDAY=20MO",
            "1997-05-19T09:00:00-04:00",
            "1997-05: 19, 1998-05: 18, 1999-05: 17 …",
        ),
        (
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
            "1997-05-12T09:00:00-04:00",
            "1997-05: 12, 1998-05: 11, 1999-05: 17 …",
        ),
        (
            "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
            "1997-03-13T09:00:00-05:00",
            "1997-03: 13 20 27, 1998-03: 5 12 19 26, 1999-03: 4 11 18 25 …",
        ),
        (
            "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
            "1997-06-05T09:00:00-04:00",
            "1997-06: 5 12 19 26, 1997-07: 3 10 17 24 31, 1997-08: 7 14 21 28, 1998-06: 4 …",
        ),
        (
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
            "1998-02-13T09:00:00-05:00",
            "1998-02: 13, 1998-03: 13, 1998-11: 13, 1999-08: 13, 2000-10: 13 …",
        ),
        (
            "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
            "1997-09-13T09:00:00-04:00",
            (
                "1997-09: 13, 1997-10: 11, 1997-11: 8, 1997-12: 13, 1998-01: 10, 1998-02: 7, 1998-03: 7, "
                "1998-04: 11, 1998-05: 9, 1998-06: 13 …"
            ),
        ),
        (
            "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
            "1996-11-05T09:00:00-05:00",
            "1996-11: 5, 2000-11: 7, 2004-11: 2 …",
        ),
        (
            "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
            "1997-09-04T09:00:00-04:00",
            "1997-09: 4, 1997-10: 7, 1997-11: 6",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
            "1997-09-29T09:00:00-04:00",
            "1997-09: 29, 1997-10: 30, 1997-11: 27, 1997-12: 30, 1998-01: 29, 1998-02: 26, 1998-03: 30 …",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
            "1997-08-05T09:00:00-04:00",
            "1997-08: 5 10 19 24",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
            "1997-08-05T09:00:00-04:00",
            "1997-08: 5 17 19 31",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
            "2007-01-15T09:00:00-05:00",
            "2007-01: 15 30, 2007-02: 15, 2007-03: 15 30",
        ),
    ],
)
def test_examples_of_the_rfc_have_their_dates(rule: str, first: str, expected: str) -> None:
    """Daily to yearly series of section 3.8.5.3, at nine in New York; … means that it continues."""
    dates = days(expected.removesuffix(" …"))
    goes_on = expected.endswith("…")
    found = series(rule, first, NEW_YORK, len(dates) + (0 if goes_on else 1))
    assert [local(due) for due in found] == [f"{day}T09:00:00" for day in dates]
    assert {utc(due).astimezone(ZoneInfo(NEW_YORK)).isoformat() for due in found} == set(found)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z", ["09:00", "12:00", "15:00"]),
        (
            "FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,20,40;COUNT=6",
            ["09:00", "09:20", "09:40", "10:00", "10:20", "10:40"],
        ),
    ],
)
def test_examples_of_the_rfc_within_a_day_have_their_times(rule: str, expected: list[str]) -> None:
    """Every 3 hours to five o'clock (21:00 UTC: erratum 3883); every 20 minutes."""
    assert [due[11:16] for due in series(rule, NINE, NEW_YORK, 10)] == expected


# --- what follows what -----------------------------------------------------------------------------------


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


# --- from the completion ---------------------------------------------------------------------------------


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


# --- properties ------------------------------------------------------------------------------------------

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


# --- in words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=DAILY", "every day"),
        ("FREQ=DAILY;INTERVAL=3;COUNT=5", "every 3 days, 5 times"),
        ("FREQ=DAILY;COUNT=1", "every day, once"),
        ("FREQ=HOURLY;INTERVAL=8", "every 8 hours"),
        ("FREQ=WEEKLY", "every week"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=5", "every 2 weeks on Mon, Thu, 5 times"),
        ("FREQ=WEEKLY;BYDAY=FR,TH,WE,TU,MO", "every weekday"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU,WE,TH,FR", "every 2 weeks on Mon, Tue, Wed, Thu, Fri"),
        ("FREQ=WEEKLY;BYDAY=MO;BYHOUR=9,17;BYMINUTE=5", "every week on Mon at 09:05, 17:05"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,2,3,11,22", "every month on the 1st, 2nd, 3rd, 11th, 22nd"),
        ("FREQ=MONTHLY;BYMONTHDAY=15,-1,-3", "every month on the 15th, last day, 3rd last day"),
        ("FREQ=MONTHLY;BYDAY=1MO,-1FR", "every month on the 1st Mon, last Fri"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "every month on the last weekday"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=2", "every month on the 2nd day"),
        ("FREQ=MONTHLY;BYDAY=TU;BYSETPOS=1,3", "every month on the 1st, 3rd Tue"),
        ("FREQ=YEARLY", "every year"),
        ("FREQ=YEARLY;BYMONTH=2,8;BYMONTHDAY=29", "every year on Feb 29, Aug 29"),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=4TH", "every 4 years on the 4th Thu of Nov"),
        ("FREQ=DAILY;UNTIL=20261201", "every day, until 2026-12-01"),
        ("FREQ=DAILY;UNTIL=20261201T090000", "every day, until 2026-12-01 09:00"),
        ("FREQ=DAILY;UNTIL=20261201T090000Z", "every day, until 2026-12-01 09:00 UTC"),
    ],
)
def test_common_rules_are_described_in_words(rule: str, words: str) -> None:
    """For the command line and the page."""
    assert describe(rule) == words


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=MONTHLY;BYDAY=MO",
        "FREQ=MONTHLY;BYDAY=MO,1TU",
        "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=1",
        "FREQ=MONTHLY;BYDAY=1MO,2MO;BYSETPOS=1",
        "FREQ=MONTHLY;BYDAY=MO;BYHOUR=9,17;BYMINUTE=0;BYSETPOS=1",
        "FREQ=YEARLY;BYMONTH=3",
        "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=-1",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=MO",
        "FREQ=YEARLY;BYWEEKNO=20",
        "FREQ=DAILY;BYMONTH=3",
        "FREQ=DAILY;BYHOUR=9",
        "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;BYSECOND=30",
        "FREQ=HOURLY;BYMINUTE=30",
        "every now and then",
    ],
)
def test_other_rules_are_described_by_themselves(rule: str) -> None:
    """Words would omit something."""
    assert describe(rule) == rule
