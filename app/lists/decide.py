"""The decider of commands on lists."""

from __future__ import annotations

from typing import Any, assert_never

from app.errors import Conflict, NotFound
from app.lists.commands import (
    MAX_MEMBERS,
    CreateInbox,
    CreateList,
    DeleteList,
    EditList,
    HandOverList,
    LeaveList,
    ListCommand,
    Occupied,
    RemoveMember,
    RestoreList,
    SetMember,
)
from app.lists.events import (
    INBOX_NAME,
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
    Stage,
)
from app.lists.members import is_owner, member_named, names_of, owners_of, role_of
from app.lists.state import TaskList, category_of
from app.text.graphemes import shortened


def decide(
    command: ListCommand, task_list: TaskList | None, user: str, occupied: Occupied | None = None
) -> ListEvent | None:
    """Return the event that `user`'s command produces on `task_list`, or None if it changes nothing.

    Raise `NotFound` for a list or member that does not exist. Raise `Conflict` for an id that is taken; for
    the inbox, which cannot be renamed, shared or deleted; for a list that would lose its only owner; and for
    removing stages that contain tasks.
    """
    match command:
        case CreateInbox():
            return None if task_list else ListCreated(name=INBOX_NAME, inbox=True)
        case CreateList(name=name, stages=stages, time_zone=time_zone):
            if task_list is not None:
                raise Conflict("a list with this id exists already")
            return ListCreated(name=name, stages=stages, time_zone=time_zone)
        case EditList():
            return _edit(command, _alive(task_list), occupied or {})
        case DeleteList():
            _no_inbox(_alive(task_list), "deleted")
            return ListDeleted()
        case RestoreList():
            return ListRestored() if _known(task_list).deleted_at else None
        case SetMember():
            return _set_member(command, _no_inbox(_alive(task_list), "shared"))
        case RemoveMember(user=member):
            return _remove(_alive(task_list), member_named(_alive(task_list), member))
        case LeaveList():
            return _remove(_alive(task_list), user)
        case HandOverList(to=to):
            return _hand_over(_alive(task_list), user, member_named(_alive(task_list), to))
        case _:
            assert_never(command)


def wanted_fields(command: EditList) -> dict[str, Any]:
    """Return the fields that an edit names; `null` empties the stages and clears the time zone."""
    given = {name: getattr(command, name) for name in command.model_fields_set}
    return {name: () if name == "stages" and value is None else value for name, value in given.items()}


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
    """Check that no stage that contains tasks is removed, or changed between open and done."""
    if not stages:
        return  # A list without stages accepts any stage.
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
        raise Conflict(shortened(f"{tasks} still in {where}; move them to another stage first", 500))


def _set_member(command: SetMember, task_list: TaskList) -> ListEvent | None:
    role = role_of(task_list, command.user)
    if role is None:
        if len(names_of(task_list)) >= MAX_MEMBERS:
            raise Conflict(f"a list has {MAX_MEMBERS} members at most")
        return MemberAdded(command.user, command.role)
    if role == command.role:
        return None
    if is_owner(task_list, command.user):
        _another_owner(task_list, command.user)
    return MemberRoleChanged(command.user, command.role)


def _remove(task_list: TaskList, user: str) -> ListEvent:
    if user not in names_of(task_list):
        raise NotFound("no such member")
    _no_inbox(task_list, "left")
    if is_owner(task_list, user):
        _another_owner(task_list, user)
    return MemberRemoved(user)


def _hand_over(task_list: TaskList, user: str, to: str) -> ListEvent | None:
    if to not in names_of(task_list):
        raise NotFound("no such member; add them first")
    return None if to == user else ListHandedOver(to)


def _another_owner(task_list: TaskList, user: str) -> None:
    if not owners_of(task_list) - {user}:
        raise Conflict("a list needs an owner: hand it over first, or delete it")


def _known(task_list: TaskList | None) -> TaskList:
    if task_list is None:
        raise NotFound("no such list")
    return task_list


def _alive(task_list: TaskList | None) -> TaskList:
    known = _known(task_list)
    if known.deleted_at:
        raise NotFound("no such list")
    return known


def _no_inbox(task_list: TaskList, what: str) -> TaskList:
    if task_list.inbox:
        raise Conflict(f"the inbox cannot be {what}")
    return task_list
