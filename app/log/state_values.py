"""The values of fields in the JSON of a state, and changes of them, without decoding the whole state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise

from pydantic_core import from_json, to_json

from app.log.event_json import NO_CHANGES, changes_json
from app.log.fold import first_changes
from app.tasks.state import Task

_NAMES = tuple(field.name for field in fields(Task))
_MARKS = {name: b',"%s":' % name.encode() for name in _NAMES}
_ENDS = {name: _MARKS[following] for name, following in pairwise(_NAMES)} | {_NAMES[-1]: b"}"}
_AFTER_SERIES = frozenset(_NAMES[_NAMES.index("series") + 1 :])


def value_in(state: bytes, name: str) -> bytes:
    """Return the JSON of a field, other than the first, in that of a task.

    The fields are in order, and each quote in a string follows a backslash. So a comma and a name in quotes
    are only where an object has such a field. `series` may have values of the fields that precede it.
    """
    mark = _MARKS[name]
    start = (state.rindex if name in _AFTER_SERIES else state.index)(mark) + len(mark)
    return state[start : state.index(_ENDS[name], start)]


def changes_since(former: str, kind: str, state: bytes) -> bytes:
    """Return the changes of a state as JSON; `former` is the JSON of the fields' values before them."""
    if kind != "task":
        new = from_json(state)
        return changes_json({name: (value, new[name]) for name, value in from_json(former).items()})
    if former.count('":') == 1:
        name, _, value = former[2:-1].partition('":')
        return b'{"%s":[%s,%s]}' % (name.encode(), value.encode(), value_in(state, name))
    values: Mapping[str, object] = from_json(former)
    return b"{%s}" % b",".join(
        b'"%s":[%s,%s]' % (name.encode(), to_json(value), value_in(state, name))
        for name, value in values.items()
    )


def changes_to_first(kind: str, state: bytes) -> bytes:
    """Return the changes that made the first state of a stream, as JSON."""
    if kind == "user":
        return NO_CHANGES
    return changes_json(first_changes(kind, from_json(state, cache_strings="keys")))
