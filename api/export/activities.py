"""The activities of process mining: what an event of a task is called, and what it changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from app.log.event_json import RecordedEvent

PLACING = frozenset({"task.created", "task.completed", "task.reopened", "task.moved"})
"""The types of events that put a task into a stage, or leave it there."""
PLACING_FIELDS = frozenset({"stage", "assignees"})
"""The fields whose edits belong to the work in a stage."""


class TaskEvent(NamedTuple):
    """An event of a task with its activity."""

    event: RecordedEvent
    activity: str
    changes: Mapping[str, Any]


class Case:
    """The events of one task, in order."""

    def __init__(self) -> None:
        self._stage: str | None = None

    def next(self, event: RecordedEvent) -> TaskEvent:
        """Return the next event of the task.

        Its activity is the stage that it puts the task into, or that the work belongs to; otherwise its type.
        """
        changes: Mapping[str, Any] = orjson.loads(event.changes)
        if "stage" in changes:
            self._stage = changes["stage"][1]
        kind = event.type or ""
        placing = kind in PLACING or (kind == "task.edited" and not PLACING_FIELDS.isdisjoint(_edited(event)))
        return TaskEvent(event, self._stage if placing and self._stage else kind, changes)


def _edited(event: RecordedEvent) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = orjson.loads(event.data).get("fields", {})
    return fields
