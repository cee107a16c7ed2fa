"""The values of changed fields as texts, by which events are found."""

from __future__ import annotations

from json import JSONEncoder
from typing import Any

from app.lists.state import LIST_FIELDS
from app.tasks.fields import FIELDS
from app.tasks.state import TASK_FIELDS

CHANGED_FIELDS = tuple(sorted({*TASK_FIELDS, *LIST_FIELDS}))
"""The fields that changes may have."""
SEVERAL_VALUES = frozenset(
    {"members", "reminded", "series", "stages"}
    | {name for name, field in FIELDS.items() if isinstance(field.default, tuple)}
)
"""Those that have several values at a time."""
MOST_VALUES = 256
"""The number of values that were added to a field, or removed from it, by which an event is found."""
_JSON = JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
_SINGLE = frozenset({str, type(None)})
EMPTY = ""
"""The text of a field without a value."""


def texts_of(value: Any) -> tuple[str, ...]:
    """Return a value of JSON as texts: each item of a list or object, or the value; none if it is empty."""
    if isinstance(value, list):
        return tuple(map(_text_of, value))
    if isinstance(value, dict):
        return tuple(f"{key}:{_text_of(each)}" for key, each in value.items())
    return () if value in (None, EMPTY) else (_text_of(value),)


def replaced_texts(before: Any, after: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts of the values that a change removed, and of those that it added."""
    if type(before) in _SINGLE and type(after) in _SINGLE:  # as nearly always
        return (before or EMPTY,), (after or EMPTY,)
    if type(before) is type(after) is list and max(len(before), len(after)) == 1 and before != after:
        return texts_of(before) or (EMPTY,), texts_of(after) or (EMPTY,)
    former, new = texts_of(before), texts_of(after)
    return _without(former, new), _without(new, former)


def _without(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    if not some:
        return (EMPTY,)
    excluded = frozenset(others)
    return tuple(dict.fromkeys(text for text in some if text not in excluded))[:MOST_VALUES]


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else _JSON(value)
