"""The fold of a list's events into its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from app import bounds
from app.errors import Undecodable
from app.lists import members
from app.lists.events import (
    ListCreated,
    ListDeleted,
    ListEdited,
    ListEvent,
    ListHandedOver,
    ListRenamed,
    ListRestored,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
)
from app.lists.state import TaskList


def evolve(
    task_list: TaskList | None, event: ListEvent, *, stream_key: str, time: datetime, actor: str
) -> TaskList:
    """Return the list after one more event. Raise `Undecodable` if the event cannot follow this state."""
    if isinstance(event, ListCreated):
        if task_list is not None:
            raise Undecodable("list.created on a list that exists")
        return TaskList(
            id=stream_key,
            name=event.name,
            inbox=event.inbox,
            members=members.founded_by(actor),
            stages=event.stages,
            version=1,
            created_at=time,
            created_by=actor,
            updated_at=time,
            time_zone=event.time_zone,
        )
    if task_list is None:
        raise Undecodable(f"{event.type} before list.created")
    changed = _changed(task_list, event, time, actor)
    if len(changed.get("members", ())) > bounds.MAX_MEMBERS:
        raise Undecodable(f"a list has at most {bounds.MAX_MEMBERS} members")
    return replace(task_list, **changed, version=task_list.version + 1, updated_at=time)


def _changed(task_list: TaskList, event: ListEvent, time: datetime, actor: str) -> Mapping[str, Any]:
    """Return the fields that an event changes, other than the version."""
    match event:
        case ListRenamed(name=name):
            return {"name": name}
        case ListEdited(fields=edited):
            return edited
        case ListDeleted():
            return {"deleted_at": time}
        case ListRestored():
            return {"deleted_at": None}
        case MemberAdded(user=user, role=role) | MemberRoleChanged(user=user, role=role):
            return {"members": members.with_role(task_list, user, role)}
        case MemberRemoved(user=gone):
            return {"members": members.without(task_list, gone)}
        case ListHandedOver(to=to):
            return {"members": members.handed_over(task_list, actor, to)}
        case ListCreated():
            raise Undecodable("list.created on a list that exists")
        case _:
            assert_never(event)
