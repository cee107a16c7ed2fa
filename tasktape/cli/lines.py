"""The output of objects as single lines on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.recurrence.describe import describe
from app.text.graphemes import shortened
from app.text.names import with_replacements

if TYPE_CHECKING:
    from tasktape_client import Event, Task
    from tasktape_client.models import Quick, QuickPart

SHORT_ID_CHARS = 7
LONGEST_VALUE_CHARS = 60
UNTOLD = frozenset({"rank", "series"})
"""Fields that say nothing to a person."""
UNTOLD_OF_NEW = frozenset({"list_id", "status", "inbox", "members", "recurrence_from"})
"""Fields that say nothing of something new."""
NOTHING: tuple[object, ...] = (None, "none", "", [], {}, 0)
"""Values that say nothing of a field that had none."""


def short(identifier: str) -> str:
    """Return the end of an id, where ids differ most."""
    return identifier[-SHORT_ID_CHARS:]


def moment(time: datetime | None) -> str:
    """Return a time in UTC."""
    return "" if time is None else time.isoformat().replace("+00:00", "Z")


def task_line(task: Task) -> str:
    """Return a task as one line."""
    mark = "x" if task.status == "done" else " "
    parts = [task.title]
    if task.priority != "none":
        parts.append(f"!{task.priority}")
    if task.due:
        parts.append(f"due {task.due}")
    if task.recurrence:
        parts.append(f"({describe(task.recurrence)})")
    if task.stage:
        parts.append(f"({task.stage})")
    parts += [f"#{tag}" for tag in task.tags]
    parts += [f"@{user}" for user in task.assignees]
    return printable(f"[{mark}]  {short(task.id)}  {' '.join(parts)}")


def reading_lines(quick: Quick) -> Iterator[str]:
    """Yield the recognised parts of a quick text on one line, and each unrecognised part with its reason."""
    read = ", ".join(f"{part.text.strip()} as {part.field} {_said(part)}" for part in quick.parts)
    if read:
        yield printable(f"Read {read}")
    for part in quick.unread:
        yield printable(f"Not read: {part.text}: {part.reason}")


def _said(part: QuickPart) -> str:
    value = part.value or ""
    return describe(value) if part.field == "recurrence" else value


def event_line(event: Event, changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Return an event as one line: time, actor, type and changes."""
    hidden = UNTOLD | (UNTOLD_OF_NEW if str(event.type).endswith(".created") else frozenset())
    details = [
        f"{name}: {brief(after)}"
        for name, (before, after) in changes.items()
        if name not in hidden and not (before is None and after in NOTHING)
    ]
    return printable(f"{moment(event.time)}  {event.actor}  {event.type}  {', '.join(details)}".rstrip())


def field_text(value: object) -> str:
    """Return the value of a field as text."""
    if isinstance(value, list):
        return ", ".join(field_text(each) for each in value)
    if isinstance(value, dict):
        return " ".join(f"{name} {field_text(each)}" for name, each in value.items() if each not in NOTHING)
    return str(value)


def printable(text: str) -> str:
    """Return foreign text without characters that control a terminal or reverse the line."""
    return with_replacements(text)


def brief(value: object) -> str:
    """Return a value of a field as JSON of limited length."""
    return shortened(json.dumps(value, ensure_ascii=False), LONGEST_VALUE_CHARS)
