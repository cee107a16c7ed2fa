"""Resolution of searches: days, users and times."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from app.search.criteria import BeyondCalendar, Criteria, DueSpan, InList, criteria_of
from app.search.parser import parse
from app.text.tokens import Needle

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 3, 8, 2, tzinfo=UTC)
"""The seventh of March in New York, the day before clocks go forward there."""


def resolved(text: str) -> Criteria:
    return criteria_of(parse(text, me="alice"), now=NOW, zone=NEW_YORK)


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("due:today", DueSpan(at(7, 5), at(8, 5), (date(2026, 3, 7), date(2026, 3, 8)))),
        ("due:tomorrow", DueSpan(at(8, 5), at(9, 4), (date(2026, 3, 8), date(2026, 3, 9)))),
        ("due:week", DueSpan(at(7, 5), at(14, 4), (date(2026, 3, 7), date(2026, 3, 14)))),
        ("due:<=tomorrow", DueSpan(None, at(9, 4), (None, date(2026, 3, 9)))),
        ("due:monday", DueSpan(at(9, 4), at(10, 4), (date(2026, 3, 9), date(2026, 3, 10)))),
        ('due:<"in 2 days"', DueSpan(None, at(9, 4), (None, date(2026, 3, 9)))),
        ("-due:>2026-03-08", DueSpan(at(9, 4), None, (date(2026, 3, 9), None), negated=True)),
        ("is:overdue", DueSpan(None, NOW, (None, date(2026, 3, 7)), open_only=True)),
        ("due:<2026-03-08T12:00:00+01:00", DueSpan(None, at(8, 11))),
        ("due:>=2026-03-08T12:00:00+01:00", DueSpan(at(8, 11), None)),
    ],
)
def test_days_begin_and_end_in_the_local_zone(text: str, span: DueSpan) -> None:
    """Some have 23 hours; a date without a time is compared as a date."""
    assert resolved(text).due == (span,)


def test_search_is_resolved_to_facets_lists_and_words() -> None:
    """Negated ones are separate; comparisons of priorities become sets."""
    assert resolved('#home -@bob p:>=high -list:Work is:open Milk* -"follow-up" …') == Criteria(
        statuses=frozenset({"open"}),
        any_of=(("tag:home",), ("p:high", "p:urgent")),
        none_of=("assignee:bob",),
        lists=(InList("Work", negated=True, place=(21, 10)),),
        needles=(Needle(("milk",), prefix=True), Needle(("follow", "up"), negated=True)),
    )


def test_contradictory_search_is_empty() -> None:
    """Open and done at once."""
    assert resolved("is:open is:done").statuses == frozenset()


@pytest.mark.parametrize("text", ["due:9999-12-31", "due:<=9999-12-31", 'due:"in 9999 years"'])
def test_last_day_of_the_calendar_is_searchable(text: str) -> None:
    """It has no next day."""
    with pytest.raises(BeyondCalendar):
        resolved(text)
