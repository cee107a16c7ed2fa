"""The conditions of a search, such as `is:open` or `due:<2026-12-01`: the values and meaning of each key."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from datetime import UTC, date, datetime
from typing import Literal, NoReturn, get_args

from app.natural_dates.due import read_day
from app.search.facets import HAS
from app.tasks.fields import FIELDS
from app.values import Priority, Status

Field = Literal["status", "stage", "tag", "assignee", "creator", "priority", "due", "list", "has", "number"]
Operator = Literal["=", "<", "<=", ">", ">="]
Span = Literal["week", "overdue"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that a task must meet or, negated, must not.

    `value` is a `Status`, a `Priority`, a word of `HAS`, or a number. For due it is a day in English, a
    date-time with an offset or, with `=` only, a `Span`. For other keys it is the text as typed: a stage, a
    tag, a user's id, a list's name or id. Only priority, due and numbers have operators other than `=`.
    `place` is its start and its length, in characters. `name` is the field that has the number.
    """

    field: Field
    value: str
    operator: Operator = "="
    negated: bool = False
    place: tuple[int, int] | None = dataclass_field(default=None, compare=False)
    name: str = ""


class SearchError(ValueError):
    """Error for a text outside of the language; `at` and `length`, in characters, locate the fault."""

    def __init__(self, message: str, at: int, length: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.length = length


@dataclass(frozen=True, slots=True)
class Value:
    """A word or a quotation: its text, its place, and its value."""

    written: str
    at: int
    text: str
    quoted: bool

    def wrong(self, message: str) -> NoReturn:
        """Raise `SearchError` for this value."""
        raise SearchError(message, self.at, len(self.written))


def _is(value: Value, _: Operator) -> Condition:
    return _IS[_one_of(value, "is", _IS)]


def _status(value: Value, _: Operator) -> Condition:
    return Condition("status", _one_of(value, "status", get_args(Status)))


def _has(value: Value, _: Operator) -> Condition:
    plural = f"{value.text.lower()}s"
    value = replace(value, text=plural) if plural in HAS else value
    return Condition("has", _one_of(value, "has", HAS))


def _priority(value: Value, operator: Operator) -> Condition:
    return Condition("priority", _one_of(value, "priority", get_args(Priority)), operator)


def _due(value: Value, operator: Operator) -> Condition:
    if _is_date(value.text):
        return Condition("due", value.text, operator)
    if read_day(value.text) is not None:
        return Condition("due", " ".join(value.text.lower().split()), operator)
    due = _one_of(value, "due", _DUE, "a day (2026-12-01, tomorrow, friday)", "a date-time with an offset")
    if operator != "=":
        value.wrong(f"{operator} takes a day, such as 2026-12-01, tomorrow or friday")
    return Condition("has", "due", negated=True) if due == "none" else Condition("due", due, operator)


def _number_in(name: str, largest: int) -> Callable[[Value, Operator], Condition]:
    def condition(value: Value, operator: Operator) -> Condition:
        if value.text.lower() == "none" and operator == "=":
            return Condition("has", name, negated=True)
        if not _NUMBER.fullmatch(value.text) or int(value.text) > largest:
            value.wrong(f"{name}: takes a whole number up to {largest:,}, or none")
        return Condition("number", value.text, operator, name=name)

    return condition


def _text_in(field: Field) -> Callable[[Value, Operator], Condition]:
    return lambda value, _: Condition(field, value.text.strip())


def _one_of(value: Value, key: str, known: Collection[str], *others: str) -> str:
    word = value.text.lower()
    return word if word in known else value.wrong(f"{key}: takes {', '.join([*others, *known])}")


def _is_date(text: str) -> bool:
    if not _DATE.match(text):
        return False
    try:
        if len(text) == 10:
            return bool(date.fromisoformat(text))
        moment = datetime.fromisoformat(text)
        return moment.tzinfo is not None and bool(moment.astimezone(UTC))
    except (ValueError, OverflowError):
        return False


_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NUMBER = re.compile("[0-9]{1,19}")
_DUE = (*get_args(Span), "none")
_IS = {
    "open": Condition("status", "open"),
    "done": Condition("status", "done"),
    "overdue": Condition("due", "overdue"),
    "recurring": Condition("has", "recurrence"),
    "subtask": Condition("has", "parent"),
    "assigned": Condition("has", "assignees"),
    "unassigned": Condition("has", "assignees", negated=True),
}

_NUMBERS = {
    name: _number_in(name, field.rules.sort.largest)
    for name, field in FIELDS.items()
    if field.rules.kind == "number" and field.rules.sort is not None
}

KEYS: Mapping[str, Callable[[Value, Operator], Condition]] = {
    "is": _is,
    "status": _status,
    "stage": _text_in("stage"),
    "tag": _text_in("tag"),
    "assignee": _text_in("assignee"),
    "by": _text_in("creator"),
    "list": _text_in("list"),
    "priority": _priority,
    "p": _priority,
    "due": _due,
    "has": _has,
    **_NUMBERS,
}
"""The parser of each key's value; it raises `SearchError` for an invalid value."""

COMPARABLE = frozenset({"priority", "p", "due", *_NUMBERS})
"""The keys that take an operator."""
PEOPLE = frozenset({"assignee", "by"})
"""The keys that accept `me`."""
