"""Criteria: a search, resolved to conditions that can be checked on a task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar, assert_never
from zoneinfo import ZoneInfo

from app.bounds import MAX_NUMBER
from app.dates import due_at
from app.natural_dates.due import read_day
from app.search.conditions import Condition, Operator
from app.search.facets import facet, facets_of
from app.search.parser import Search, Term
from app.tasks.sorting import PRIORITY_ORDER
from app.tasks.state import Task
from app.text.tokens import Needle, forms_of
from app.values import Status

DAYS_OF_A_WEEK = 7
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_When = TypeVar("_When", date, datetime)
_STATUSES: frozenset[Status] = frozenset({"open", "done"})


@dataclass(frozen=True, slots=True)
class DueSpan:
    """A time span that tasks are due in or, `negated`, are not; each end is the first moment outside, if any.

    A due date without a time of day is compared by `days`, if set, regardless of time zones.
    """

    start: datetime | None
    end: datetime | None
    days: tuple[date | None, date | None] | None = None
    open_only: bool = False
    negated: bool = False

    def fits(self, task: Task) -> bool:
        """Return whether the task is due in the span or, negated, is not."""
        return self._holds(task) != self.negated

    def _holds(self, task: Task) -> bool:
        instant = None if task.due is None else due_at(task.due, task.time_zone)
        if task.due is None or instant is None or (self.open_only and task.status != "open"):
            return False
        if self.days is not None and len(task.due) == 10:
            first, end = self.days
            day = date.fromisoformat(task.due)
            return (first is None or day >= first) and (end is None or day < end)
        return (self.start is None or instant >= self.start) and (self.end is None or instant < self.end)


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A range of a field's numbers, both ends included, that tasks have or, `negated`, have not.

    A task without a number is in no range.
    """

    name: str
    least: int
    most: int
    negated: bool = False

    def fits(self, task: Task) -> bool:
        """Return whether the task's number is in the range or, negated, is not."""
        number = getattr(task, self.name)
        return (number is not None and self.least <= number <= self.most) != self.negated


@dataclass(frozen=True, slots=True)
class InList:
    """A list, by its name or its id, that contains the tasks or, `negated`, does not."""

    called: str
    negated: bool = False
    place: tuple[int, int] | None = None
    """The place of the condition in the text; see `Condition`."""


class BeyondCalendar(ValueError):
    """Error for a due date so close to an end of the calendar that its day cannot be determined."""

    def __init__(self, condition: Condition) -> None:
        super().__init__("is beyond the calendar's end")
        self.condition = condition


@dataclass(frozen=True, slots=True)
class Criteria:
    """Criteria that a task must meet, all of them.

    A task has at least one facet of each group in `any_of`, and none of `none_of`.
    """

    statuses: frozenset[Status] = _STATUSES
    any_of: tuple[tuple[str, ...], ...] = ()
    none_of: tuple[str, ...] = ()
    due: tuple[DueSpan, ...] = ()
    numbers: tuple[NumberRange, ...] = ()
    lists: tuple[InList, ...] = ()
    needles: tuple[Needle, ...] = ()

    def fits(self, task: Task) -> bool:
        """Return whether a task meets the criteria, except those on its list and its words."""
        facets = set(facets_of(task))
        ranges: tuple[DueSpan | NumberRange, ...] = (*self.due, *self.numbers)
        return (
            task.status in self.statuses
            and all(not facets.isdisjoint(group) for group in self.any_of)
            and facets.isdisjoint(self.none_of)
            and all(each.fits(task) for each in ranges)
        )

    def found_in(self, texts: Iterable[str]) -> bool:
        """Return whether texts together contain the required words and no excluded ones; see `Needle`."""
        forms = [forms_of(text) for text in texts]
        return all(
            any(True for each in forms for _ in needle.found_at(each)) != needle.negated
            for needle in self.needles
        )


def criteria_of(search: Search, *, now: datetime, zone: ZoneInfo, parent_id: str | None = None) -> Criteria:
    """Return the criteria of a search; `now` and `zone` determine "today".

    Raise `BeyondCalendar`.
    """
    statuses = set(_STATUSES)
    any_of: list[tuple[str, ...]] = []
    none_of: list[str] = []
    due: list[DueSpan] = []
    numbers: list[NumberRange] = []
    lists: list[InList] = []
    for condition in search.conditions:
        match condition.field:
            case "due":
                due.append(_due_span(condition, now, zone))
            case "number":
                numbers.append(_number_range(condition))
                # The index of facets finds tasks that have a number.
                any_of += [] if condition.negated else [(facet("has", condition.name),)]
            case "list":
                lists.append(InList(condition.value, condition.negated, condition.place))
            case "status":
                statuses &= {s for s in _STATUSES if (s == condition.value) != condition.negated}
            case _:
                facets = _facets(condition)
                if condition.negated:
                    none_of += facets
                else:
                    any_of.append(facets)
    if parent_id is not None:
        any_of.append((facet("parent", parent_id),))
    needles = tuple(map(_needle, search.terms))
    return Criteria(
        frozenset(statuses), tuple(any_of), tuple(none_of), tuple(due), tuple(numbers), tuple(lists), needles
    )


def _needle(term: Term) -> Needle:
    return Needle(tuple(forms_of(term.text)), term.kind == "prefix", term.negated)


def _facets(condition: Condition) -> tuple[str, ...]:
    """Return the facets of which a task that meets the condition has one, ignoring its negation."""
    match condition.field:
        case "priority":
            than = PRIORITY_ORDER[condition.value]  # type: ignore[index]
            return tuple(
                facet("p", p)
                for p, order in PRIORITY_ORDER.items()
                if _compare(order, condition.operator, than)
            )
        case "creator":
            return (facet("by", condition.value),)
        case "stage" | "tag" | "assignee" | "has":
            return (facet(condition.field, condition.value),)
        case "status" | "due" | "list" | "number":
            raise AssertionError(f"{condition.field} is no facet")
        case _:
            assert_never(condition.field)


def _compare(one: int, operator: Operator, other: int) -> bool:
    match operator:
        case "=":
            return one == other
        case "<":
            return one < other
        case "<=":
            return one <= other
        case ">":
            return one > other
        case ">=":
            return one >= other
        case _:
            assert_never(operator)


def _number_range(condition: Condition) -> NumberRange:
    number = int(condition.value)
    least, most = {
        "=": (number, number),
        "<": (0, number - 1),
        "<=": (0, number),
        ">": (number + 1, MAX_NUMBER),
        ">=": (number, MAX_NUMBER),
    }[condition.operator]
    return NumberRange(condition.name, least, most, condition.negated)


def _due_span(condition: Condition, now: datetime, zone: ZoneInfo) -> DueSpan:
    try:
        return _span(condition, now, zone)
    except (ValueError, OverflowError):
        raise BeyondCalendar(condition) from None


def _span(condition: Condition, now: datetime, zone: ZoneInfo) -> DueSpan:
    today = now.astimezone(zone).date()
    match condition.value:
        case "overdue":
            return DueSpan(None, now, (None, today), open_only=True, negated=condition.negated)
        case "week":
            return _days(today, today + DAYS_OF_A_WEEK * _DAY, zone, negated=condition.negated)
    day = read_day(condition.value)
    if day is None:
        return _instants(datetime.fromisoformat(condition.value).astimezone(UTC), condition)
    named = day(today)
    from_, to = _ends(condition.operator, named, named + _DAY)
    return _days(from_, to, zone, negated=condition.negated)


def _instants(moment: datetime, condition: Condition) -> DueSpan:
    from_, to = _ends(condition.operator, moment, moment + _INSTANT)
    return DueSpan(from_, to, negated=condition.negated)


def _ends(operator: Operator, start: _When, end: _When) -> tuple[_When | None, _When | None]:
    """Return the ends of the times before, in or after `[start, end)`."""
    match operator:
        case "=":
            return start, end
        case "<":
            return None, start
        case "<=":
            return None, end
        case ">":
            return end, None
        case ">=":
            return start, None
        case _:
            assert_never(operator)


def _days(first: date | None, end: date | None, zone: ZoneInfo, *, negated: bool) -> DueSpan:
    start, stop = _beginning(first, zone), _beginning(end, zone)
    return DueSpan(start, stop, (first, end), negated=negated)


def _beginning(day: date | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, zone).astimezone(UTC)
