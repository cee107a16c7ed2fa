"""Changes that statistics count: the entries of a task in its list, and in the list that it left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum, IntFlag
from operator import attrgetter
from typing import NamedTuple

from app.tasks.state import Task


class Place(IntEnum):
    """The place of a task in a list: open or done there, or not there (deleted, or in another list)."""

    OPEN = 0
    DONE = 1
    GONE = 2


class Counted(IntFlag):
    """The counts of a day to which a change adds one."""

    CREATED = 1
    COMPLETED = 2
    REOPENED = 4
    DELETED = 8
    RESTORED = 16
    MOVED_IN = 32
    MOVED_OUT = 64


NOTHING = Counted(0)


class FlowEntry(NamedTuple):
    """The place of a task in a list from an event on, the counts of the event, and the task's values."""

    list_id: str
    place: Place
    counted: Counted
    task: Task


_values = attrgetter(
    "list_id",
    "status",
    "stage",
    "priority",
    "assignees",
    "tags",
    "estimate",
    "due",
    "time_zone",
)
"""The values on which statistics depend, besides the deletion."""


def flow_entries(before: Task | None, after: Task, time: datetime) -> Sequence[FlowEntry]:
    """Return the entries of an accepted event; none if it changes nothing that statistics count.

    An event with an earlier `time` than its predecessor always has one: the predecessor's values no longer
    hold then.
    """
    if before is None:
        return (FlowEntry(after.list_id, place_of(after), Counted.CREATED, after),)
    was_here, is_here = before.deleted_at is None, after.deleted_at is None
    if _values(before) == _values(after) and was_here == is_here and time >= before.updated_at:
        return ()
    counted = _counted(before, after)
    if before.list_id == after.list_id:
        return (FlowEntry(after.list_id, place_of(after), counted, after),)
    entered = (Counted.MOVED_IN if was_here else Counted.RESTORED) if is_here else NOTHING
    left = (Counted.MOVED_OUT if is_here else Counted.DELETED) if was_here else NOTHING
    turned = counted & (Counted.COMPLETED | Counted.REOPENED)
    return (
        FlowEntry(after.list_id, place_of(after), entered | turned, after),
        FlowEntry(before.list_id, Place.GONE, left, before),
    )


def place_of(task: Task) -> Place:
    """Return the place of a task in its list."""
    if task.deleted_at is not None:
        return Place.GONE
    return Place.DONE if task.status == "done" else Place.OPEN


def _counted(before: Task, after: Task) -> Counted:
    was_here, is_here = before.deleted_at is None, after.deleted_at is None
    if was_here != is_here:
        return Counted.RESTORED if is_here else Counted.DELETED
    if not is_here or before.status == after.status:
        return NOTHING
    return Counted.COMPLETED if after.status == "done" else Counted.REOPENED
