"""Lists: events, state and fold, commands, decisions.

A list is one stream, `list:{id}`, and the unit of sharing: its members see its tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, assert_never

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.errors import Conflict, NotFound, Undecodable
from app.values import MAX_STAGES, Category, Command, Label, Role, Status, Title, UserId

MAX_MEMBERS = 1_000

# --- events ----------------------------------------------------------------------------------------------


@with_config(ConfigDict(extra="forbid"))
class Stage(TypedDict):
    """A column of a list, and what being there says of a task."""

    name: Label
    category: Category


class ListFields(TypedDict, total=False):
    """The fields that an edit may set."""

    name: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class ListCreated:
    """A list came to be; who created it owns it."""

    type: ClassVar[str] = "list.created"
    name: str
    inbox: bool = False
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class ListRenamed:
    """The list has another name."""

    type: ClassVar[str] = "list.renamed"
    name: str


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
class MemberAdded:
    """Somebody sees the list from now on."""

    type: ClassVar[str] = "list.member_added"
    user: str
    role: Role


@dataclass(frozen=True, slots=True)
class MemberRoleChanged:
    """A member may do more, or less."""

    type: ClassVar[str] = "list.member_role_changed"
    user: str
    role: Role


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """Somebody left, or was removed: they see the list no longer."""

    type: ClassVar[str] = "list.member_removed"
    user: str


@dataclass(frozen=True, slots=True)
class ListHandedOver:
    """Another member owns the list now; who handed it over is an editor."""

    type: ClassVar[str] = "list.handed_over"
    to: str


ListEvent = (
    ListCreated
    | ListRenamed
    | ListEdited
    | ListDeleted
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


Stages = Annotated[tuple[Stage, ...], Field(max_length=MAX_STAGES), AfterValidator(_unlike)]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("must have printable characters only, as user names do")
    return name


Member = Annotated[UserId, AfterValidator(_printable)]
Occupied = Mapping[tuple[str, Status], int]
"""(stage, status) → how many tasks of the list are there."""


class CreateList(Command):
    """Create a list that the caller owns."""

    name: Title
    stages: Stages = ()


class CreateInbox(Command):
    """Create the inbox that everyone has."""


class EditList(Command):
    """Set the fields that are given (a JSON merge patch, RFC 7396), the stages as a whole."""

    name: Title = ""
    stages: Stages | None = None


class DeleteList(Command):
    """Delete a list and, with it, its tasks."""


class SetMember(Command):
    """Let somebody see the list, or give a member another role."""

    user: Member
    role: Role


class RemoveMember(Command):
    """Take the list away from a member."""

    user: Member


class LeaveList(Command):
    """Leave a list."""


class HandOverList(Command):
    """Make another member the owner, and oneself an editor."""

    to: Member


ListCommand = (
    CreateList | CreateInbox | EditList | DeleteList | SetMember | RemoveMember | LeaveList | HandOverList
)

INBOX_NAME = "Inbox"

# --- decisions -------------------------------------------------------------------------------------------


def decide(
    command: ListCommand, task_list: TaskList | None, user: str, occupied: Occupied | None = None
) -> ListEvent | None:
    """The event that `user`'s command makes of `task_list`, or None if there is nothing left to do.

    Raises `NotFound` for a list or member that is not there, and `Conflict` for an id that is taken, for the
    inbox, which can't be renamed, shared or deleted, for a list that would be left without an owner, and for
    stages that tasks are still in.
    """
    match command:
        case CreateInbox():
            return None if task_list else ListCreated(name=INBOX_NAME, inbox=True)
        case CreateList(name=name, stages=stages):
            if task_list is not None:
                raise Conflict("a list with this id exists already")
            return ListCreated(name=name, stages=stages)
        case EditList():
            return _edit(command, _alive(task_list), occupied or {})
        case DeleteList():
            _no_inbox(_alive(task_list), "deleted")
            return ListDeleted()
        case SetMember():
            return _set_member(command, _no_inbox(_alive(task_list), "shared"))
        case RemoveMember(user=member):
            return _remove(_alive(task_list), member)
        case LeaveList():
            return _remove(_alive(task_list), user)
        case HandOverList(to=to):
            return _hand_over(_alive(task_list), user, to)
        case _:
            assert_never(command)


def wanted_fields(command: EditList) -> dict[str, Any]:
    """The fields that an edit names; `null` empties the stages."""
    given = {name: getattr(command, name) for name in command.model_fields_set}
    return {name: () if value is None else value for name, value in given.items()}


def _edit(command: EditList, task_list: TaskList, occupied: Occupied) -> ListEvent | None:
    wanted = wanted_fields(command)
    changed = {name: value for name, value in wanted.items() if getattr(task_list, name) != value}
    if not changed:
        return None
    if "name" in changed:
        _no_inbox(task_list, "renamed")
        if len(changed) == 1:
            return ListRenamed(changed["name"])
    if "stages" in changed:
        _check_free(changed["stages"], task_list, occupied)
    return ListEdited(changed)  # type: ignore[arg-type]


def _check_free(stages: tuple[Stage, ...], task_list: TaskList, occupied: Occupied) -> None:
    """Check that no stage goes, or turns from open to done or back, under tasks that are in it."""
    if not stages:
        return  # Without stages of its own a list takes any.
    then = {stage["name"]: stage["category"] for stage in stages}
    stuck: dict[str, int] = {}
    for (stage, status), count in occupied.items():
        done, was_done = then.get(stage) == "done", category_of(task_list, stage) == "done"
        turned = done not in (was_done, status == "done")
        if stage not in then or turned:
            stuck[stage] = stuck.get(stage, 0) + count
    if stuck:
        total = sum(stuck.values())
        tasks = "1 task is" if total == 1 else f"{total} tasks are"
        where = ", ".join(f"{stage} ({count})" for stage, count in sorted(stuck.items()))
        raise Conflict(f"{tasks} still in {where}; move them to another stage first"[:500])


def _set_member(command: SetMember, task_list: TaskList) -> ListEvent | None:
    role = task_list.members.get(command.user)
    if role is None:
        if len(task_list.members) >= MAX_MEMBERS:
            raise Conflict(f"a list has {MAX_MEMBERS} members at most")
        return MemberAdded(command.user, command.role)
    if role == command.role:
        return None
    if role == "owner":
        _another_owner(task_list, command.user)
    return MemberRoleChanged(command.user, command.role)


def _remove(task_list: TaskList, user: str) -> ListEvent:
    if user not in task_list.members:
        raise NotFound("no such member")
    _no_inbox(task_list, "left")
    if task_list.members[user] == "owner":
        _another_owner(task_list, user)
    return MemberRemoved(user)


def _hand_over(task_list: TaskList, user: str, to: str) -> ListEvent | None:
    if to not in task_list.members:
        raise NotFound("no such member; make them one first")
    return None if to == user else ListHandedOver(to)


def _another_owner(task_list: TaskList, user: str) -> None:
    if not any(role == "owner" for member, role in task_list.members.items() if member != user):
        raise Conflict("a list has an owner: hand it over first, or delete it")


def _alive(task_list: TaskList | None) -> TaskList:
    if task_list is None or task_list.deleted_at:
        raise NotFound("no such list")
    return task_list


def _no_inbox(task_list: TaskList, what: str) -> TaskList:
    if task_list.inbox:
        raise Conflict(f"the inbox can't be {what}")
    return task_list
