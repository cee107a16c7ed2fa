"""Quick add: parsed parts of a text, and the remaining title."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.quick_add.parser import QuickContext, QuickTask, read_quick
from app.recurrence.next_date import normal_rule
from app.tasks.commands import CreateTask

MADRID = ZoneInfo("Europe/Madrid")
WEDNESDAY = datetime(2026, 11, 25, 15, 30, tzinfo=UTC)
"""Half past four in Madrid."""
LIST_ID = "0190f3c0-0000-7000-8000-000000000000"


def read(text: str, now: datetime = WEDNESDAY, zone: str = "Europe/Madrid", **more: Any) -> QuickTask:
    people = ("alice", "bob", "Bob Smith", "張偉")
    return read_quick(text, QuickContext(now, ZoneInfo(zone), "alice", people, **more))


def due_of(text: str, now: datetime = WEDNESDAY, zone: str = "Europe/Madrid") -> str | None:
    found = read(f"call {text}", now, zone)
    assert found.title == "call", found
    due: str | None = found.fields.get("due")
    return due


def test_line_with_everything_is_parsed_into_its_fields() -> None:
    """Example of the documentation, with the position of each part."""
    found = read("call bob #home !high @bob tomorrow 5pm")
    assert found.title == "call bob"
    assert found.fields == {
        "due": "2026-11-26T17:00:00+01:00",
        "time_zone": "Europe/Madrid",
        "tags": ["home"],
        "priority": "high",
        "assignees": ["bob"],
    }
    assert [(part.at, part.text, part.field, part.value) for part in found.parts] == [
        (9, "#home", "tags", "home"),
        (15, "!high", "priority", "high"),
        (21, "@bob", "assignees", "bob"),
        (26, "tomorrow 5pm", "due", "2026-11-26T17:00:00+01:00"),
    ]


@pytest.mark.parametrize(
    "title",
    [
        "Review May report",
        "Buy 5 apples",
        "mon ami",
        "Fix bug #123",
        "a!b",
        "me@example.org",
        "C# course",
        "call Tom",
        "Enjoy the sun",
        "I sat",
        "Read the daily",
        "Daily standup notes",
        "Black Friday shopping",
        "Cancel the monday meeting",
        "Support 24/7",
        "3/4 of the budget",
        "Every little thing",
        "Second opinion",
        "March to the sea",
        "today's news",
        "Good morning",
        "yesterday",
        "High noon",
        "Wow!!! Really",
        "$ #! /bin/sh",
        "What (tomorrow)",
        "room 25:00",
        "13pm",
        "feb 30",
        "2026-02-30",
        "every 32nd",
        "every 0 days",
        "in 9999 years",
        "in ٣ days",
        "買い物　リスト",
        "a  b\n c",
        'Say "tomorrow" twice',
        "\\o/ hooray",
        "C:\\new",
        "# heading",
        "! note",
    ],
)
def test_plain_titles_are_unchanged(title: str) -> None:
    """Nothing that only looks like a date or a sign is removed."""
    found = read(title)
    assert (found.title, found.fields, found.parts) == (title, {}, ())


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("today", "2026-11-25"),
        ("tod", "2026-11-25"),
        ("Tomorrow", "2026-11-26"),
        ("tom", "2026-11-26"),
        ("the day after tomorrow", "2026-11-27"),
        ("thursday", "2026-11-26"),
        ("wednesday", "2026-12-02"),
        ("fri", "2026-11-27"),
        ("on fri", "2026-11-27"),
        ("this friday", "2026-11-27"),
        ("next friday", "2026-12-04"),
        ("next monday", "2026-11-30"),
        ("this weekend", "2026-11-28"),
        ("next weekend", "2026-12-05"),
        ("next week", "2026-11-30"),
        ("next month", "2026-12-01"),
        ("next year", "2027-01-01"),
        ("end of week", "2026-11-29"),
        ("end of month", "2026-11-30"),
        ("end of next month", "2026-12-31"),
        ("eom", "2026-11-30"),
        ("end of the year", "2026-12-31"),
        ("in 3 days", "2026-11-28"),
        ("in two weeks", "2026-12-09"),
        ("in a month", "2026-12-25"),
        ("dec 24", "2026-12-24"),
        ("December 24th", "2026-12-24"),
        ("24 dec 2027", "2027-12-24"),
        ("24th of december, 2027", "2027-12-24"),
        ("nov 24", "2027-11-24"),
        ("nov 25", "2026-11-25"),
        ("feb 29", "2028-02-29"),
        ("on the 15th", "2026-12-15"),
        ("on the 31st", "2026-12-31"),
        ("2026-12-01", "2026-12-01"),
        ("2026/12/01", "2026-12-01"),
        ("01.12.2026", "2026-12-01"),
        ("12/24", "2026-12-24"),
        ("24/12/2027", "2027-12-24"),
        ("by friday", "2026-11-27"),
        ("due on friday,", "2026-11-27"),
        ("5pm", "2026-11-25T17:00:00+01:00"),
        ("4pm", "2026-11-26T16:00:00+01:00"),
        ("12am", "2026-11-26T00:00:00+01:00"),
        ("12pm tomorrow", "2026-11-26T12:00:00+01:00"),
        ("5:45 p.m.", "2026-11-25T17:45:00+01:00"),
        ("at 17:05", "2026-11-25T17:05:00+01:00"),
        ("9:00", "2026-11-26T09:00:00+01:00"),
        ("at noon", "2026-11-26T12:00:00+01:00"),
        ("tomorrow noon", "2026-11-26T12:00:00+01:00"),
        ("5pm tomorrow", "2026-11-26T17:00:00+01:00"),
        ("today 9am", "2026-11-25T09:00:00+01:00"),
        ("monday morning", "2026-11-30T09:00:00+01:00"),
        ("tonight", "2026-11-25T20:00:00+01:00"),
        ("tonight at 9pm", "2026-11-25T21:00:00+01:00"),
        ("mon 9:00", "2026-11-30T09:00:00+01:00"),
        ("dec 24 at 17:00", "2026-12-24T17:00:00+01:00"),
        ("in 2 hours", "2026-11-25T18:30:00+01:00"),
        ("in 90 min", "2026-11-25T18:00:00+01:00"),
        ("2026-12-01T09:00", "2026-12-01T09:00:00+01:00"),
        ("2026-12-01 09:00:30", "2026-12-01T09:00:30+01:00"),
        ("2026-12-01T09:00Z", "2026-12-01T10:00:00+01:00"),
        ("2026-12-01T09:00+05:30", "2026-12-01T04:30:00+01:00"),
    ],
)
def test_dates_are_parsed_relative_to_now(text: str, due: str) -> None:
    """Half past four on Wednesday, 25 November 2026, in Madrid."""
    assert due_of(text) == due


@pytest.mark.parametrize(
    ("text", "now", "zone", "due"),
    [
        # The clocks jump from two to three, and what is between has the offset from before.
        ("tomorrow 2:30am", "2027-03-27T12:00Z", "Europe/Madrid", "2027-03-28T02:30:00+01:00"),
        # What comes twice is the first.
        ("tomorrow 2:30am", "2026-10-24T12:00Z", "Europe/Madrid", "2026-10-25T02:30:00+02:00"),
        ("in 3 hours", "2027-03-28T00:00Z", "Europe/Madrid", "2027-03-28T05:00:00+02:00"),
        ("tomorrow", "2026-12-31T23:30Z", "UTC", "2027-01-01"),
        ("tomorrow", "2026-12-31T23:30Z", "Asia/Tokyo", "2027-01-02"),
        ("today", "2026-12-31T23:30Z", "America/Los_Angeles", "2026-12-31"),
        ("in a month", "2027-01-31T12:00Z", "UTC", "2027-02-28"),
        ("in a year", "2028-02-29T12:00Z", "UTC", "2029-02-28"),
        ("end of month", "2028-02-10T12:00Z", "UTC", "2028-02-29"),
        ("jan 1", "2026-12-31T12:00Z", "UTC", "2027-01-01"),
        ("this weekend", "2026-11-29T12:00Z", "UTC", "2026-11-29"),
        ("monday", "2026-11-29T12:00Z", "UTC", "2026-11-30"),
        ("next monday", "2026-11-29T12:00Z", "UTC", "2026-11-30"),
        ("on the 31st", "2027-02-01T12:00Z", "UTC", "2027-03-31"),
    ],
)
def test_dates_follow_the_calendar_and_clock_of_the_zone(text: str, now: str, zone: str, due: str) -> None:
    """Clock changes, ends of months, leap years, the turn of the year, other days elsewhere."""
    assert due_of(text, datetime.fromisoformat(now), zone) == due


@pytest.mark.parametrize(
    ("text", "rule", "due"),
    [
        ("every day", "FREQ=DAILY", "2026-11-25"),
        ("every day 9am", "FREQ=DAILY", "2026-11-26T09:00:00+01:00"),
        ("every monday", "FREQ=WEEKLY;BYDAY=MO", "2026-11-30"),
        ("every wednesday", "FREQ=WEEKLY;BYDAY=WE", "2026-11-25"),
        ("every wed at 9am", "FREQ=WEEKLY;BYDAY=WE", "2026-12-02T09:00:00+01:00"),
        ("every mon, wed and fri", "FREQ=WEEKLY;BYDAY=MO,WE,FR", "2026-11-25"),
        ("every weekday", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "2026-11-25"),
        ("every 2 weeks", "FREQ=WEEKLY;INTERVAL=2", "2026-11-25"),
        ("every other friday", "FREQ=WEEKLY;INTERVAL=2;BYDAY=FR", "2026-11-27"),
        ("every 2 weeks on mon and thu", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "2026-11-26"),
        ("every month", "FREQ=MONTHLY", "2026-11-25"),
        ("every month on the 31st", "FREQ=MONTHLY;BYMONTHDAY=31", "2026-12-31"),
        ("every 1st and 15th", "FREQ=MONTHLY;BYMONTHDAY=1,15", "2026-12-01"),
        ("every 3rd friday", "FREQ=MONTHLY;BYDAY=3FR", "2026-12-18"),
        ("every last day of the month", "FREQ=MONTHLY;BYMONTHDAY=-1", "2026-11-30"),
        ("every last workday", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-11-30"),
        ("every quarter", "FREQ=MONTHLY;INTERVAL=3", "2026-11-25"),
        ("every dec 24", "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24", "2026-12-24"),
        ("every year on dec 24", "FREQ=YEARLY", "2026-12-24"),
        ("every feb 29", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2028-02-29"),
        ("every morning", "FREQ=DAILY", "2026-11-26T09:00:00+01:00"),
        ("every 3 hours", "FREQ=HOURLY;INTERVAL=3", "2026-11-25T19:30:00+01:00"),
        ("every day for 5 times", "FREQ=DAILY;COUNT=5", "2026-11-25"),
        ("every day until dec 24", "FREQ=DAILY;UNTIL=20261224", "2026-11-25"),
        ("every monday starting dec 10", "FREQ=WEEKLY;BYDAY=MO", "2026-12-14"),
        ("daily", "FREQ=DAILY", "2026-11-25"),
        ("ev tue", "FREQ=WEEKLY;BYDAY=TU", "2026-12-01"),
    ],
)
def test_recurrence_is_parsed_as_a_rule_with_its_first_date(text: str, rule: str, due: str) -> None:
    """In canonical form; the first date is not past."""
    found = read(f"water the plants {text}")
    assert found.title == "water the plants"
    assert (found.fields["recurrence"], found.fields["due"]) == (normal_rule(rule), due)
    assert found.fields["time_zone"] == "Europe/Madrid"
    assert "recurrence_from" not in found.fields


def test_every_with_exclamation_mark_counts_from_completion() -> None:
    """As in Todoist."""
    found = read("every! 3 days mow the lawn")
    assert found.title == "mow the lawn"
    assert (found.fields["recurrence"], found.fields["recurrence_from"]) == (
        "FREQ=DAILY;INTERVAL=3",
        "completion",
    )


@pytest.mark.parametrize(
    ("text", "title", "fields"),
    [
        ("x #home, #a/b-c", "x", {"tags": ["home", "a/b-c"]}),
        ('x #"two words" #home #home', "x", {"tags": ["two words", "home"]}),
        ("x \uff03家 #हिन्दी #🏠", "x", {"tags": ["家", "हिन्दी", "🏠"]}),
        ("(see #home)", "(see #home)", {}),
        ("x @Bob smith, @BOB @me", "x", {"assignees": ["Bob Smith", "bob", "alice"]}),
        ("x \uff20張偉", "x", {"assignees": ["張偉"]}),
        ("x @bob's @bobby", "x @bob's @bobby", {}),
        ("x !1", "x", {"priority": "urgent"}),
        ("x !2", "x", {"priority": "high"}),
        ("x !3", "x", {"priority": "medium"}),
        ("x !4", "x", {"priority": "low"}),
        ("x !Urgent", "x", {"priority": "urgent"}),
        ("x !low !high", "x !low", {"priority": "high"}),
        ("\\#not-a-tag \\tomorrow \\!high", "#not-a-tag tomorrow !high", {}),
        ("\\next monday", "next monday", {}),
        ("\\\\#x", "\\#x", {}),
        ('"Buy milk tomorrow" #home', "Buy milk tomorrow", {"tags": ["home"]}),
        ('Watch "Tomorrow Never Dies" #tv', 'Watch "Tomorrow Never Dies"', {"tags": ["tv"]}),
        ('"say \\"hi\\" today"', 'say "hi" today', {}),
        ("“Buy milk tomorrow”", "Buy milk tomorrow", {}),
        ("明日 #家 買う", "明日 買う", {"tags": ["家"]}),
    ],
)
def test_signs_quotes_and_backslashes_are_parsed(text: str, title: str, fields: dict[str, Any]) -> None:
    """Tags, persons and priorities."""
    found = read(text)
    assert (found.title, found.fields) == (title, fields)


def test_ineffective_sign_is_reported() -> None:
    """It stays in the title."""
    found = read("ask @carol !hgih")
    assert (found.title, found.fields) == ("ask @carol !hgih", {})
    assert [(each.text, each.at) for each in found.unread] == [("@carol", 4), ("!hgih", 11)]
    assert "nobody" in found.unread[0].reason
    assert "!high" in found.unread[1].reason


def test_text_of_a_given_field_stays_in_the_title() -> None:
    """For each field; recurrence then has no date of its own."""
    found = read("call tomorrow !high #home", given=("due", "priority"))
    assert (found.title, found.fields) == ("call tomorrow !high", {"tags": ["home"]})
    found = read("call every monday", given=("due",))
    assert found.fields == {"recurrence": "FREQ=WEEKLY;BYDAY=MO", "time_zone": "Europe/Madrid"}
    found = read("call every monday 5pm", given=("recurrence",))
    assert (found.title, found.fields["due"]) == ("call every monday", "2026-11-25T17:00:00+01:00")


def test_last_of_several_dates_counts() -> None:
    """The others stay in the title."""
    found = read("prepare friday party on thursday")
    assert (found.title, found.fields["due"]) == ("prepare friday party", "2026-11-26")


WORDS = st.sampled_from(
    (
        *(
            "call",
            "#home",
            "#123",
            "@bob",
            "@carol",
            "!high",
            "!x",
            "every",
            "every!",
            "monday",
            "mon",
            "next",
        ),
        *("tomorrow", "in", "3", "days", "5pm", "17:00", "at", "noon", "dec", "24", "12/24", "2026-12-01"),
        *("until", "daily", "tom", '"a', 'b"', "\\#x", "\\tomorrow", '"', "\\", ",", ".", "9999", "years"),
        *("next", "end", "of", "month"),
    )
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map(" ".join))
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001  # the zone is added
ZONES = st.sampled_from(("UTC", "Europe/Madrid", "Pacific/Apia", "America/St_Johns"))


@given(TEXTS, MOMENTS, ZONES)
@example("tomorrow", datetime(9999, 12, 30), "Pacific/Apia")  # noqa: DTZ001
@example("#\x1b #a\u200b !high", datetime(2000, 1, 1), "UTC")  # noqa: DTZ001
def test_any_text_is_parsed_completely(text: str, moment: datetime, zone: str) -> None:
    """Title and parts cover the text, and the fields are valid for a task."""
    found = read(text, moment.replace(tzinfo=UTC), zone)
    rest, at = "", 0
    for part in found.parts:
        assert part.at >= at
        assert text[part.at : part.at + part.length] == part.text
        rest += text[at : part.at]
        at = part.at + part.length
    left = (rest + text[at:]).replace("\\", "").replace('"', "").split()
    assert found.title.replace("\\", "").replace('"', "").split() == left
    CreateTask(title="x", list_id=LIST_ID, **found.fields)


@given(st.text(min_size=1, max_size=60))
def test_any_title_can_be_quoted(title: str) -> None:
    """With backslashes before quotation marks and backslashes."""
    quoted = title.replace("\\", "\\\\").replace('"', '\\"')
    assert read(f'"{quoted}"').title == title


def test_dates_use_the_day_of_the_writer() -> None:
    """Not that of UTC."""
    late = datetime(2026, 11, 25, 23, 30, tzinfo=UTC)
    assert due_of("today", late) == date(2026, 11, 26).isoformat()
    assert due_of("today", late, "America/New_York") == "2026-11-25"
