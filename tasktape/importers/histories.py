"""The history of a task from a trace: the Tasktape events that its events become.

Each event of the trace becomes one event with its own time and actor. The first event creates the task. An
event with a stage that ends the work completes it, one that leaves such a stage reopens it, and any other
moves it between stages and people. Only a trace whose single event ends the work becomes two events: created
and completed. A trace that begins with an ending stage and continues is completed by the next event that ends
the work. Events are sorted by time; events of the same time keep their order in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from app.text.graphemes import shortened
from app.text.names import MAX_USER_CHARS, normal_user, user_name
from app.values import MAX_TITLE_CHARS
from tasktape.importers.recorded import recorded
from tasktape.importers.stages import one_line, stage_of
from tasktape.importers.xes import DATA, XesEvent, XesTrace

UNKNOWN_ACTOR = "unknown"

Event = dict[str, Any]
"""An event as the import takes it: `type`, `time`, `actor`, `data`."""


class History(NamedTuple):
    """The title and the events of a new task."""

    title: str
    events: list[Event]


def history_of(trace: XesTrace) -> History:
    """Return the history of a trace, with at least one event. Raise `Unusable` if there is none."""
    if all(event.recorded is not None for event in trace.events):
        return _recorded_history(trace)
    first, *others = in_order(trace.events)
    title = shortened(trace.label, MAX_TITLE_CHARS)
    stage, ends = stage_of(first.name, first.transition)
    assignee = user_of(first.resource)
    created = _event("task.created", first, {"title": title, **_placed(stage, assignee)})
    if not others and ends:
        return History(title, [created, _event("task.completed", first, _placed(stage, assignee))])
    events, done = [created], False
    for event in others:
        new_stage, ends = stage_of(event.name, event.transition)
        new_stage, new_assignee = new_stage or stage, user_of(event.resource) or assignee
        if ends == done:
            events.append(_event("task.edited", event, _edit(stage, assignee, new_stage, new_assignee)))
        else:
            kind = "task.completed" if ends else "task.reopened"
            events.append(_event(kind, event, _placed(new_stage, new_assignee)))
        stage, assignee, done = new_stage, new_assignee, ends
    return History(title, events)


def _recorded_history(trace: XesTrace) -> History:
    """Return the history of a trace that Tasktape exported: its events in order, as they were recorded."""
    events: list[Event] = []
    for event in trace.events:
        assert event.recorded is not None
        try:
            found = recorded(*event.recorded)
        except ValueError as error:
            raise Unusable(f"{DATA} {error}") from None
        if found is not None:
            events.append(_event(found[0], event, found[1]))
    if not events or events[0]["type"] != "task.created":
        raise Unusable("its first event does not create the task: the export has a part of its history")
    return History(events[0]["data"].get("title", trace.label), events)


def in_order(events: Sequence[XesEvent]) -> Sequence[XesEvent]:
    """Return the events sorted by time."""
    if all(earlier.time <= later.time for earlier, later in pairwise(events)):
        return events
    return sorted(events, key=attrgetter("time"))


class Unusable(Exception):
    """An error: a trace cannot be the history of a task. The message names the cause."""


@lru_cache(maxsize=4_096)
def user_of(resource: str | None) -> str | None:
    """Return the user that a resource names, if any. Raise `Unusable` for an invalid name."""
    name = shortened(normal_user(one_line(resource)), MAX_USER_CHARS, sign="...")
    if not name:
        return None
    try:
        return user_name(name)
    except ValueError as error:
        raise Unusable(f"org:resource {name!r} {error}") from None


def _event(kind: str, event: XesEvent, data: dict[str, Any]) -> Event:
    return {
        "type": kind,
        "time": event.time,
        "actor": user_of(event.resource) or UNKNOWN_ACTOR,
        "data": data,
    }


def _placed(stage: str | None, assignee: str | None) -> dict[str, Any]:
    data: dict[str, Any] = {} if stage is None else {"stage": stage}
    if assignee is not None:
        data["assignees"] = (assignee,)
    return data


def _edit(stage: str | None, assignee: str | None, new_stage: str | None, new_assignee: str | None) -> Event:
    """Return the changed fields, or the stage if none changed, so that the event stays in the history."""
    data: dict[str, Any] = {}
    if new_assignee != assignee:
        data["assignees"] = (new_assignee,)
    if new_stage != stage or not data:
        data["stage"] = new_stage
    return data
