"""Recurrence rules: canonical form, refusals, and descriptions in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.recurrence.next_date import (
    describe,
    normal_rule,
)


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
