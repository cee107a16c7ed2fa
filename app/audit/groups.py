"""The groups that events of the audit are counted in."""

from __future__ import annotations

from collections.abc import Mapping

from app.audit.changed_values import SEVERAL_VALUES
from app.audit.filters import nearest
from app.audit.query import AuditQuery
from app.errors import FieldError, Invalid

PERIODS: Mapping[str, str] = {
    "hour": "The hour of the event, as its beginning",
    "day": "The day of the event",
    "week": "The week of the event, as its Monday",
    "recorded_hour": "The hour in which the log recorded the event",
    "recorded_day": "The day on which the log recorded the event",
    "recorded_week": "The week in which the log recorded the event, as its Monday",
}
"""The groups of times, in the time zone of the question, each with its documentation."""
VALUES: Mapping[str, str] = {
    "stream": "The stream",
    "list_id": "The list that the event is of, or that its task is in",
    "actor": "The user",
    "type": "The event type",
    "outcome": "The outcome",
    "field": "Each changed field",
    "from": "The value that was replaced; needs `field` with a field that has one value at a time",
    "to": "The new value; needs `field` with a field that has one value at a time",
    "correlation_id": "The request",
    "causation_id": "The event that caused it",
    "source": "The program that wrote it",
    "partition": "The partition of the log",
}
"""The other groups."""
GROUPS: Mapping[str, str] = {**VALUES, **PERIODS}
"""All groups, with their documentation."""


def read_group(text: str, query: AuditQuery) -> str:
    """Return what to count by. Raise `Invalid`."""
    if text not in GROUPS:
        raise Invalid([FieldError("group_by", f"{text[:50]!r} is no group; {nearest(text, GROUPS)}")])
    if text in ("from", "to"):
        single = [name for name in query.fields if name not in SEVERAL_VALUES]
        if len(query.fields) != 1 or not single:
            message = f"{text} needs one field that has one value at a time, such as field=stage"
            raise Invalid([FieldError("group_by", message)])
    return text
