"""Lists: events, state and fold, commands, decisions.

A list is one stream, `list:{id}`, and the unit of sharing: its members see its tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal, assert_never

from app.errors import Conflict, NotFound, Undecodable
from app.tasks import Command, Title

Role = Literal["owner", "editor", "viewer"]

# --- events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListCreated:
    """A list came to be; who created it owns it."""

    type: ClassVar[str] = "list.created"
    name: str
    inbox: bool = False


@dataclass(frozen=True, slots=True)
class ListRenamed:
    """The list has another name."""

    type: ClassVar[str] = "list.renamed"
    name: str


@dataclass(frozen=True, slots=True)
class ListDeleted:
    """The list is gone, and its tasks with it."""

    type: ClassVar[str] = "list.deleted"


ListEvent = ListCreated | ListRenamed | ListDeleted

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskList:
    """A list's state after `version` events; `members` maps user to role."""

    id: str
    name: str
    inbox: bool
    members: dict[str, Role]
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_at: datetime | None = None


LIST_FIELDS = ("name", "inbox", "members", "deleted_at")
"""The fields whose changes an audit shows."""


def evolve(
    task_list: TaskList | None, event: ListEvent, *, stream_key: str, time: datetime, actor: str
) -> TaskList:
    """The list after one more event. Raises `Undecodable` for an event that can't follow this state."""
    if isinstance(event, ListCreated):
        if task_list is not None:
            raise Undecodable("list.created on a list that exists")
        return TaskList(
            id=stream_key,
            name=event.name,
            inbox=event.inbox,
            members={actor: "owner"},
            version=1,
            created_at=time,
            created_by=actor,
            updated_at=time,
        )
    if task_list is None:
        raise Undecodable(f"{event.type} before list.created")
    version = task_list.version + 1
    match event:
        case ListRenamed(name=name):
            return replace(task_list, name=name, version=version, updated_at=time)
        case ListDeleted():
            return replace(task_list, deleted_at=time, version=version, updated_at=time)
        case _:
            assert_never(event)


# --- commands --------------------------------------------------------------------------------------------


class CreateList(Command):
    """Create a list that the caller owns."""

    name: Title


class CreateInbox(Command):
    """Create the inbox that everyone has."""


class RenameList(Command):
    """Give a list another name."""

    name: Title


class DeleteList(Command):
    """Delete a list and, with it, its tasks."""


ListCommand = CreateList | CreateInbox | RenameList | DeleteList

INBOX_NAME = "Inbox"

# --- decisions -------------------------------------------------------------------------------------------


def decide(command: ListCommand, task_list: TaskList | None) -> ListEvent | None:
    """The event that `command` makes of `task_list`, or None if there is nothing left to do.

    Raises `NotFound` for a list that is not there, `Conflict` for an id that is taken and for the inbox,
    which can't be renamed or deleted.
    """
    match command:
        case CreateInbox():
            return None if task_list else ListCreated(name=INBOX_NAME, inbox=True)
        case CreateList(name=name):
            if task_list is not None:
                raise Conflict("a list with this id exists already")
            return ListCreated(name=name)
        case RenameList(name=name):
            current = _alive(task_list)
            return None if current.name == name else ListRenamed(name)
        case DeleteList():
            _alive(task_list)
            return ListDeleted()
        case _:
            assert_never(command)


def _alive(task_list: TaskList | None) -> TaskList:
    if task_list is None or task_list.deleted_at:
        raise NotFound("no such list")
    if task_list.inbox:
        raise Conflict("the inbox can't be renamed or deleted")
    return task_list
