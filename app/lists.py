"""Lists: events, state and fold, commands. What these decide is in `list_decisions.py`.

A list is one stream, `list:{id}`, and the unit of sharing: its members see its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, assert_never

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app import bounds
from app.errors import Undecodable
from app.names import label_of, normal_user
from app.values import (
    MAX_LABEL_CHARS,
    MAX_STAGES,
    Category,
    Command,
    ListName,
    Role,
    Status,
    StoredLabel,
    StoredUserId,
    UserId,
)

INBOX_NAME = "Inbox"
MAX_MEMBERS = 1_000

# --- events ----------------------------------------------------------------------------------------------


@with_config(ConfigDict(extra="forbid"))
class Stage(TypedDict):
    """A column of a list, and what being there says of a task."""

    name: StoredLabel
    category: Category


class ListFields(TypedDict, total=False):
    """The fields that an edit may set."""

    name: bounds.Title
    stages: bounds.Few[Stage]


@dataclass(frozen=True, slots=True)
class ListCreated:
    """A list came to be; who created it owns it."""

    type: ClassVar[str] = "list.created"
    name: bounds.Title
    inbox: bool = False
    stages: bounds.Few[Stage] = ()


@dataclass(frozen=True, slots=True)
class ListRenamed:
    """The list has another name."""

    type: ClassVar[str] = "list.renamed"
    name: bounds.Title


@dataclass(frozen=True, slots=True)
class ListEdited:
    """Some fields were set, the stages as a whole."""

    type: ClassVar[str] = "list.edited"
    fields: ListFields


@dataclass(frozen=True, slots=True)
class ListDeleted:
    """The list is gone, and its tasks with it."""

    type: ClassVar[str] = "list.deleted"


@dataclass(frozen=True, slots=True)
class ListRestored:
    """The list is back, and its tasks with it: members, stages and tasks are as they were."""

    type: ClassVar[str] = "list.restored"


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """Somebody sees the list from now on."""

    type: ClassVar[str] = "list.member_added"
    user: bounds.UserName
    role: Role


@dataclass(frozen=True, slots=True)
class MemberRoleChanged:
    """A member may do more, or less."""

    type: ClassVar[str] = "list.member_role_changed"
    user: bounds.UserName
    role: Role


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """Somebody left, or was removed: they see the list no longer."""

    type: ClassVar[str] = "list.member_removed"
    user: bounds.UserName


@dataclass(frozen=True, slots=True)
class ListHandedOver:
    """Another member owns the list now; who handed it over is an editor."""

    type: ClassVar[str] = "list.handed_over"
    to: bounds.UserName


ListEvent = (
    ListCreated
    | ListRenamed
    | ListEdited
    | ListDeleted
    | ListRestored
    | MemberAdded
    | MemberRoleChanged
    | MemberRemoved
    | ListHandedOver
)

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskList:
    """A list's state after `version` events; `members` maps user to role, `stages` are in their order."""

    id: str
    name: str
    inbox: bool
    members: dict[str, Role]
    stages: tuple[Stage, ...]
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_at: datetime | None = None


def member_called(task_list: TaskList, name: str) -> str:
    """Return the member of a name: as it is written, as events may have it, or as it is spelled normally."""
    return name if name in task_list.members else normal_user(name)


LIST_FIELDS = ("name", "inbox", "members", "stages", "deleted_at")
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
            stages=event.stages,
            version=1,
            created_at=time,
            created_by=actor,
            updated_at=time,
        )
    if task_list is None:
        raise Undecodable(f"{event.type} before list.created")
    changed = _changed(task_list, event, time, actor)
    if len(changed.get("members", ())) > bounds.MAX_MEMBERS:
        raise Undecodable(f"a list has at most {bounds.MAX_MEMBERS} members")
    return replace(task_list, **changed, version=task_list.version + 1, updated_at=time)


def _changed(task_list: TaskList, event: ListEvent, time: datetime, actor: str) -> Mapping[str, Any]:
    """What an event changes, beside the version."""
    members = task_list.members
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
            return {"members": {**members, user: role}}
        case MemberRemoved(user=gone):
            return {"members": {user: role for user, role in members.items() if user != gone}}
        case ListHandedOver(to=to):
            return {"members": {**members, actor: "editor", to: "owner"}}
        case ListCreated():
            raise Undecodable("list.created on a list that exists")
        case _:
            assert_never(event)


def category_of(task_list: TaskList | None, stage: str | None) -> Category | None:
    """The category of a stage; None if the list has no such stage."""
    stages = () if task_list is None else task_list.stages
    return next((each["category"] for each in stages if each["name"] == stage), None)


def first_stage(task_list: TaskList | None, *categories: Category) -> str | None:
    """The first stage of the first of these categories that the list has a stage of."""
    stages = () if task_list is None else task_list.stages
    for category in categories:
        found = next((each["name"] for each in stages if each["category"] == category), None)
        if found is not None:
            return found
    return None


# --- commands --------------------------------------------------------------------------------------------


def _unlike(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    names = [stage["name"] for stage in stages]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two stages are called {twice!r}")
    return stages


def _with_an_open_one(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    # Else a task that is not done, and comes from another list, would have no stage to go to.
    if stages and all(stage["category"] == "done" for stage in stages):
        raise ValueError("one stage at least must be for tasks that are not done")
    return stages


def _well_named(stage: Stage) -> Stage:
    return {**stage, "name": label_of(stage["name"], MAX_LABEL_CHARS)}


Stages = Annotated[
    tuple[Annotated[Stage, AfterValidator(_well_named)], ...],
    Field(max_length=MAX_STAGES, strict=False),
    AfterValidator(_unlike),
    AfterValidator(_with_an_open_one),
]


Occupied = Mapping[tuple[str, Status], int]
"""(stage, status) → how many tasks of the list are there."""


class CreateList(Command):
    """Create a list that the caller owns."""

    name: ListName
    stages: Stages = ()


class CreateInbox(Command):
    """Create the inbox that everyone has."""


class EditList(Command):
    """Set the fields that are given (a JSON merge patch, RFC 7396), the stages as a whole."""

    name: ListName = ""
    stages: Stages | None = None


class DeleteList(Command):
    """Delete a list and, with it, its tasks."""


class RestoreList(Command):
    """Have a deleted list back, with its members, its stages and its tasks."""


class SetMember(Command):
    """Let somebody see the list, or give a member another role."""

    user: UserId
    role: Role


class RemoveMember(Command):
    """Take the list away from a member."""

    user: StoredUserId


class LeaveList(Command):
    """Leave a list."""


class HandOverList(Command):
    """Make another member the owner, and oneself an editor."""

    to: StoredUserId


ListCommand = (
    CreateList
    | CreateInbox
    | EditList
    | DeleteList
    | RestoreList
    | SetMember
    | RemoveMember
    | LeaveList
    | HandOverList
)
