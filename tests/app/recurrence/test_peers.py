"""Series compared with the expansions of ical.js and python-dateutil, which share no code with ours.

Kinds of rules that a library expands differently from RFC 5545 are not generated for it, with the reason;
each such kind is covered by the other library, or by the examples of test_next_date.py.
"""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from app.recurrence.expansion import HORIZON_YEARS
from app.recurrence.next_date import following, normal_rule
from tests.recurrence.rules import (
    WEEKDAYS,
    ZONES,
    Parts,
    all_days,
    days,
    due,
    intervals,
    local,
    moments,
    numbers,
    ordinals,
    parts,
    series,
    weekdays,
    written,
)
from tests.thoroughness import examples

EXPAND = Path(__file__).parents[2] / "recurrence" / "expand.mjs"
ANSWER_TIMEOUT_S = 20
MOST_DATES = 8

Expand = Callable[[str, str], list[str]]
"""The first `MOST_DATES` local dates of a rule from a local start."""


@dataclass(frozen=True)
class RuleQuery:
    """A rule, the start of its series, and its end."""

    rule: Parts
    start: date | datetime
    zone: str
    ending: tuple[str, int] = ("", 0)


@pytest.fixture(scope="module")
def ical_js() -> Iterator[Expand]:
    """Start one Node process for all questions: a line to it, a line back."""
    with subprocess.Popen(
        ["node", EXPAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        questions, answers = node.stdin, node.stdout

        def ask(rule: str, start: str) -> list[str]:
            questions.write(json.dumps({"rule": rule, "start": start, "most": MOST_DATES}) + "\n")
            answered, _, _ = select.select([answers], [], [], ANSWER_TIMEOUT_S)
            assert answered, f"ical.js is lost in {rule} from {start}"
            dates: list[str] = json.loads(answers.readline())["dates"]
            return dates

        yield ask
        questions.close()


def dateutil(rule: str, start: str) -> list[str]:
    """Return the expansion of python-dateutil, up to Tasktape's horizon."""
    found: list[datetime] = []
    for moment in rrulestr(rule, dtstart=datetime.fromisoformat(start)):
        if len(found) == MOST_DATES or (found and moment.year > found[-1].year + HORIZON_YEARS):
            break
        found.append(moment)
    return [moment.isoformat()[: len(start)] for moment in found]


def compare(asked: RuleQuery, expand: Expand) -> None:
    """Compare the expansions from the first date of the series at or after the start.

    The first date has to match the rule: else "the recurrence set generated is undefined", 3.8.5.3.
    """
    rule = written(asked.rule)
    begun = following(rule, due(asked.start, asked.zone), asked.zone)
    if begun is None:
        return  # nothing in sight: what never comes is among the examples
    rule = ended(rule, begun.due, asked.ending)
    ours = [local(date) for date in series(rule, begun.due, asked.zone, MOST_DATES)]
    theirs = expand(normal_rule(rule), local(begun.due))  # ical.js takes values in the order they come in
    assert ours == list(within_sight(theirs)), (rule, begun.due)


def ended(rule: str, first: str, ending: tuple[str, int]) -> str:
    """Generate the rule with COUNT, or with UNTIL at the same time of day: at a date or between two."""
    match ending:
        case "COUNT", count:
            return f"{rule};COUNT={count}"
        case "UNTIL", some_days:
            until = datetime.fromisoformat(local(first)) + timedelta(days=some_days)
            form = "%Y%m%d" if len(first) == 10 else "%Y%m%dT%H%M%S"
            return f"{rule};UNTIL={until:{form}}"
        case _:
            return rule


def within_sight(dates: list[str]) -> Iterator[str]:
    """Return the dates before the first gap of more than `HORIZON_YEARS`."""
    near = takewhile(lambda pair: int(pair[1][:4]) - int(pair[0][:4]) <= HORIZON_YEARS, pairwise(dates))
    yield from dates[:1]
    yield from (later for _, later in near)


# --- ical.js ---------------------------------------------------------------------------------------------

endings = st.one_of(
    st.just(("", 0)),
    st.tuples(st.just("COUNT"), st.integers(1, MOST_DATES - 1)),
    st.tuples(st.just("UNTIL"), st.integers(0, 2_000)),
)
week_starts = st.sampled_from(WEEKDAYS)
early_days = st.integers(1, 28)
months = numbers(1, 12)
one_time = {"BYHOUR": numbers(0, 23, 1), "BYMINUTE": numbers(0, 59, 1)}
some_times = {"BYHOUR": numbers(0, 23), "BYMINUTE": numbers(0, 59)}
every_kind_of_weekday = weekdays() | weekdays(ordinals(5)) | weekdays(ordinals(5) | st.just(0))
interval = {"INTERVAL": intervals}


def one_way(most: int) -> st.SearchStrategy[str]:
    """Return whether numbered weekdays all count from the beginning or all from the end."""
    return weekdays(st.integers(1, most)) | weekdays(st.integers(-most, -1))


# YEARLY. Left out, with what recur_iterator.js does instead of section 3.3.10:
# - days that a month lacks, and days counted from a month's end: expand_year_days lets the 30th of February
#   spill into March, and counts from the end of the start's month in every month; so days go up to 28;
# - BYMONTHDAY alone: expand_year_days takes the start's month for granted; by the RFC's table it expands to
#   all months (with BYDAY it does so here too);
# - ordinals of two digits: ruleDayOfWeek reads one, 20MO as every Monday;
# - what can name a day twice: 1MO,-4MO, or positive and negative days of the year: `next` counts it twice;
# - BYSETPOS over more than one month: it is applied to each month, and without BYMONTH not at all;
# - BYWEEKNO: "unimplemented in libical", says expand_year_days;
# - leap days on a certain weekday, which come every 28 or 40 years: `next` looks 28 years ahead.
yearly = st.one_of(
    parts({"FREQ": "YEARLY"}, interval | one_time),
    parts({"FREQ": "YEARLY", "BYMONTH": months}, interval | one_time),
    parts({"FREQ": "YEARLY", "BYMONTH": months, "BYMONTHDAY": numbers(1, 28)}, interval | one_time),
    parts({"FREQ": "YEARLY", "BYDAY": weekdays() | one_way(9)}, interval | one_time),
    parts({"FREQ": "YEARLY", "BYMONTH": months, "BYDAY": weekdays() | one_way(4)}, interval | one_time),
    parts(
        {
            "FREQ": "YEARLY",
            "BYMONTH": st.integers(1, 12),
            "BYDAY": weekdays(),
            "BYSETPOS": numbers(1, 4) | numbers(-4, -1),
        },
        interval,
    ),
    parts(
        {"FREQ": "YEARLY", "BYMONTHDAY": numbers(1, 28), "BYDAY": weekdays()}, interval | {"BYMONTH": months}
    ),
    parts({"FREQ": "YEARLY", "BYYEARDAY": numbers(1, 366) | numbers(-366, -1)}, interval),
    parts(
        {"FREQ": "YEARLY", "BYYEARDAY": numbers(1, 365) | numbers(-365, -1), "BYDAY": weekdays()}, interval
    ),
)

# MONTHLY. Left out:
# - more than one BYMONTH, or BYMONTH with INTERVAL: increment_month begins with the list's first month
#   wherever the series starts, goes through months twice, and steps through the list, not by the interval;
# - BYDAY with BYMONTHDAY counted from the end: _byDayAndMonthDay starts in the wrong month or throws;
# - more than one time a day: next_month stays on days that it has refused;
# - BYSETPOS from the end beyond -3: next_month asks only for position 1 on the first of a month.
monthly = st.one_of(
    parts({"FREQ": "MONTHLY"}, interval | one_time),
    parts({"FREQ": "MONTHLY", "BYMONTH": st.integers(1, 12)}),
    parts({"FREQ": "MONTHLY", "BYMONTHDAY": numbers(-31, 31)}, interval | one_time),
    parts({"FREQ": "MONTHLY", "BYDAY": every_kind_of_weekday}, interval | one_time),
    parts({"FREQ": "MONTHLY", "BYMONTHDAY": numbers(-31, 31), "BYMONTH": st.integers(1, 12)}),
    parts({"FREQ": "MONTHLY", "BYDAY": every_kind_of_weekday, "BYMONTH": st.integers(1, 12)}),
    parts({"FREQ": "MONTHLY", "BYMONTHDAY": numbers(1, 31), "BYDAY": weekdays()}),
    parts({"FREQ": "MONTHLY", "BYDAY": weekdays(), "BYSETPOS": numbers(-3, 10)}, interval),
)

# WEEKLY, DAILY and HOURLY. Left out:
# - BYSETPOS, which next_week, next_day and next_hour do not know;
# - days counted from a month's end, which check_contract_restriction compares as they are;
# - BYHOUR in hourly rules: next_generic goes through the hours, drops the interval and counts one twice.
on_days = {"BYDAY": weekdays(), "BYMONTH": months, "BYMONTHDAY": numbers(1, 31)}
weekly = parts({"FREQ": "WEEKLY"}, interval | {"BYDAY": weekdays(), "BYMONTH": months, "WKST": week_starts})
daily = parts({"FREQ": "DAILY"}, interval | on_days)
often = st.one_of(
    parts({"FREQ": "WEEKLY"}, interval | some_times | {"BYDAY": weekdays(), "WKST": week_starts}),
    parts({"FREQ": "DAILY"}, interval | some_times | {"BYDAY": weekdays()}),
    parts({"FREQ": "HOURLY"}, interval | on_days | {"BYMINUTE": numbers(0, 59)}),
)


def has_time(rule: Parts) -> bool:
    return rule["FREQ"] == "HOURLY" or "BYHOUR" in rule or "BYMINUTE" in rule


def starts(rule: Parts, dates: st.SearchStrategy[date]) -> st.SearchStrategy[date | datetime]:
    """Generate starts, with a time of day if the rule names one (else RFC 5545 ignores that)."""
    return moments(dates) if has_time(rule) else dates | moments(dates)


@st.composite
def queries_for_ical_js(draw: st.DrawFn) -> RuleQuery:
    """Generate rules that ical.js expands according to the RFC."""
    if draw(st.integers(0, 4)) == 0:
        # Several times a day: in a zone whose offset never changes, so that local order is the order of time.
        rule = draw(often)
        return RuleQuery(
            rule, draw(moments(all_days)), draw(st.sampled_from(["UTC", "Asia/Kathmandu"])), draw(endings)
        )
    rule = draw(st.one_of(yearly, monthly, weekly, daily))
    # A year without the start's day is another one that spills, see above.
    dates = st.builds(lambda day, number: day.replace(day=number), days, early_days)
    start = draw(starts(rule, dates if rule["FREQ"] == "YEARLY" else all_days))
    return RuleQuery(rule, start, draw(st.sampled_from(ZONES)), draw(endings))


@settings(max_examples=examples(600), derandomize=True, database=None, deadline=None)
@given(queries_for_ical_js())
def test_series_equal_those_of_ical_js(ical_js: Expand, asked: RuleQuery) -> None:
    """Our dates follow from each other; ical.js expands all from the first."""
    compare(asked, ical_js)


# --- python-dateutil -------------------------------------------------------------------------------------

# Left out, with what rrule.py does instead of section 3.3.10:
# - plain weekdays next to numbered ones, MO,1TU: _iter wants a day that is both;
# - BYWEEKNO without BYDAY: it takes all seven days instead of the start's weekday;
# - weeks at the turn of the year, and those counted from the end: rebuild takes this year's length for last
#   year's, and forgets the end of last year ("TODO: Check -numweeks for next year");
# - BYSETPOS in weekly rules: wdayset begins the first week with the start;
# - more parts at once, or hourly ones with BYSETPOS: what comes rarely, it seeks to the year 9999.
on_some_days = {"BYMONTH": months, "BYMONTHDAY": numbers(-31, 31)}
plain_or_numbered = weekdays() | weekdays(ordinals(5))
places = {"BYSETPOS": numbers(-4, 4)}
by_dateutil = st.one_of(
    parts({"FREQ": "YEARLY"}, interval | on_some_days | some_times | {"BYDAY": plain_or_numbered}),
    parts(
        {"FREQ": "YEARLY", "BYYEARDAY": numbers(-366, 366, 20)}, interval | some_times | {"BYDAY": weekdays()}
    ),
    parts(
        {"FREQ": "YEARLY", "BYDAY": plain_or_numbered, **places}, interval | {"BYMONTH": months} | some_times
    ),
    parts({"FREQ": "YEARLY", "BYMONTHDAY": numbers(-31, 31), **places}, interval | {"BYMONTH": months}),
    parts(
        {"FREQ": "YEARLY", "BYWEEKNO": numbers(2, 51), "BYDAY": weekdays()},
        interval | places | {"WKST": week_starts} | some_times,
    ),
    parts({"FREQ": "MONTHLY"}, interval | on_some_days | some_times | {"BYDAY": plain_or_numbered}),
    parts({"FREQ": "MONTHLY", "BYDAY": plain_or_numbered, **places}, interval | some_times),
    parts({"FREQ": "MONTHLY", "BYMONTHDAY": numbers(-31, 31), **places}, interval | some_times),
    parts(
        {"FREQ": "WEEKLY"},
        interval | some_times | {"BYDAY": weekdays(), "BYMONTH": months, "WKST": week_starts},
    ),
    parts({"FREQ": "DAILY"}, interval | on_some_days | some_times | {"BYDAY": weekdays()}),
    parts({"FREQ": "DAILY", "BYHOUR": numbers(0, 23), **places}, interval | {"BYDAY": weekdays()}),
    parts(
        {"FREQ": "HOURLY"},
        {"BYHOUR": numbers(0, 23), "BYMINUTE": numbers(0, 59), "BYDAY": weekdays(), "BYMONTH": months},
    ),
    parts({"FREQ": "HOURLY", "INTERVAL": st.integers(1, 99)}, {"BYDAY": weekdays(), "BYMONTH": months}),
)


@st.composite
def queries_for_dateutil(draw: st.DrawFn) -> RuleQuery:
    """Generate rules that python-dateutil expands according to the RFC, and quickly."""
    rule = draw(by_dateutil)
    return RuleQuery(rule, draw(starts(rule, all_days)), "UTC", draw(endings))


@settings(max_examples=examples(250), derandomize=True, database=None, deadline=None)
@given(queries_for_dateutil())
def test_series_equal_those_of_dateutil(asked: RuleQuery) -> None:
    """Includes the kinds of rules that ical.js does not support."""
    compare(asked, dateutil)
