"""The values of commands, each with its rules: valid titles, dates and reminders."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.dates import duration
from app.recurrence.next_date import normal_rule
from app.text.names import MAX_USER_CHARS, is_visible, label_of, user_name
from app.zones import zone

Priority = Literal["none", "low", "medium", "high", "urgent"]
Status = Literal["open", "done"]
Role = Literal["owner", "editor", "viewer"]
Category = Literal["open", "active", "done"]
RecurrenceFrom = Literal["due", "completion"]
Scope = Literal["this", "following"]
"""The scope of an edit of a recurring task: this occurrence only, or this one and all following ones."""

MAX_LABEL_CHARS = 100
MAX_TITLE_CHARS = 500
"""Characters are code points everywhere, as JSON Schema's `maxLength` counts them."""
MAX_REMINDERS = 20
_A_MOMENT = "a date-time with an offset (2026-12-01T09:00:00+01:00)"
MAX_STAGES = 50
_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_MOMENT = re.compile(
    r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})\Z", re.ASCII
)


class Command(BaseModel):
    """Base class of commands: validated by their types, decided by a decider."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def storable(text: str) -> str:
    """Return a text that Postgres can store. Raise `ValueError`."""
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return text


def _due(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if _DATE.match(text) else moment(text)
    except ValueError:
        raise ValueError(f"must be a date (2026-12-01) or {_A_MOMENT}") from None


def calendar_day(text: str) -> date:
    """Parse a date such as 2026-12-01. Raise `ValueError`."""
    with suppress(ValueError):
        if _DATE.match(text):
            return date.fromisoformat(text)
    raise ValueError("must be a date (2026-12-01)")


def moment(text: str) -> str:
    """Return a date-time with an offset, as ISO 8601. Raise as `instant` does."""
    return instant(text).isoformat()


def instant(text: str) -> datetime:
    """Parse a date-time with an offset. Raise `ValueError`, also at the ends of the calendar.

    It has the form of RFC 3339, or lacks the seconds, or the colon of its offset. ISO 8601 has more forms,
    which programs interpret in different ways.
    """
    if not _MOMENT.match(text):
        raise ValueError(f"must be {_A_MOMENT}")
    try:
        parsed = datetime.fromisoformat(text)
        parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"must be {_A_MOMENT}") from None
    return parsed


def _seen(text: str) -> str:
    if not is_visible(text):
        raise ValueError("must contain a visible character")
    return text


def _label(name: str) -> str:
    return label_of(name, MAX_LABEL_CHARS)


def _list_name(name: str) -> str:
    return label_of(name, MAX_TITLE_CHARS)


def _time_zone(name: str) -> str:
    return zone(name).key


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


# The constraints come before the check: pydantic strips before it measures only if they sit on `str` itself.
Notes = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(storable)]
_TitleText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TITLE_CHARS)
]
Title = Annotated[_TitleText, AfterValidator(storable), AfterValidator(_seen)]
ListName = Annotated[_TitleText, AfterValidator(_list_name)]
StoredLabel = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_LABEL_CHARS),
    AfterValidator(storable),
]
"""A tag or a stage as stored in events; `Label` has the rules for commands."""
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_LABEL_CHARS),
    AfterValidator(_label),
]
StoredUserId = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_USER_CHARS),
    AfterValidator(storable),
]
"""The name of a user as stored in events."""
UserId = Annotated[StoredUserId, AfterValidator(user_name)]
CommentText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000),
    AfterValidator(storable),
    AfterValidator(_seen),
]
# In strict mode a JSON list would not be a tuple; its items are still validated strictly.
_FEW = Field(max_length=50, strict=False)
Labels = Annotated[tuple[Label, ...], _FEW, AfterValidator(_unique)]
UserIds = Annotated[tuple[UserId, ...], _FEW, AfterValidator(_unique)]
StoredLabels = Annotated[tuple[StoredLabel, ...], _FEW, AfterValidator(_unique)]
StoredUserIds = Annotated[tuple[StoredUserId, ...], _FEW, AfterValidator(_unique)]
Due = Annotated[str, AfterValidator(_due)]
Moment = Annotated[str, AfterValidator(moment)]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_time_zone)]
UUID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
Uuid = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
ListId = Uuid
TaskId = Uuid
Rule = Annotated[str, StringConstraints(max_length=500), AfterValidator(normal_rule)]
"""An RFC 5545 recurrence rule, without `RRULE:`."""


def _duration(text: str) -> str:
    duration(text)
    return text.upper()


@with_config(ConfigDict(extra="forbid"))
class NewReminder(TypedDict, total=False):
    """A new reminder: `at` a date-time with offset, or `before` the due date by an ISO 8601 duration."""

    at: Moment
    before: Annotated[str, AfterValidator(_duration)]


def _one_kind(reminder: NewReminder) -> NewReminder:
    if len(reminder) != 1:
        raise ValueError('must be {"at": date-time} or {"before": duration, such as "PT30M"}')
    return reminder


def _unlike(reminders: tuple[NewReminder, ...]) -> tuple[NewReminder, ...]:
    return tuple(reminder for place, reminder in enumerate(reminders) if reminder not in reminders[:place])


Reminders = Annotated[
    tuple[Annotated[NewReminder, AfterValidator(_one_kind)], ...],
    Field(max_length=MAX_REMINDERS, strict=False),
    AfterValidator(_unlike),
]
