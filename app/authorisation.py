"""Authorisation: one table of roles and commands, which HTTP, sockets and the command line all use."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.errors import Forbidden, NotFound
from app.lists import commands as list_commands
from app.lists.members import names_of, role_of
from app.lists.state import TaskList
from app.tasks import commands as task_commands
from app.values import Command, Role


class ReadList(Command):
    """Permission to read a list, its tasks and its events."""


ANYONE: frozenset[Role] = frozenset({"owner", "editor", "viewer"})
EDITORS: frozenset[Role] = frozenset({"owner", "editor"})
OWNERS: frozenset[Role] = frozenset({"owner"})

ALLOWED: Mapping[type[Command], frozenset[Role]] = {
    ReadList: ANYONE,
    list_commands.LeaveList: ANYONE,
    list_commands.EditList: EDITORS,
    list_commands.SetMember: OWNERS,
    list_commands.RemoveMember: OWNERS,
    list_commands.HandOverList: OWNERS,
    list_commands.DeleteList: OWNERS,
    list_commands.RestoreList: OWNERS,
    task_commands.CreateTask: EDITORS,
    task_commands.EditTask: EDITORS,
    task_commands.CompleteTask: EDITORS,
    task_commands.ReopenTask: EDITORS,
    task_commands.MoveTask: EDITORS,
    task_commands.DeleteTask: EDITORS,
    task_commands.RestoreTask: EDITORS,
    task_commands.SkipOccurrence: EDITORS,
    task_commands.Comment: EDITORS,
    task_commands.EditComment: EDITORS,
    task_commands.DeleteComment: EDITORS,
    task_commands.UndoChange: EDITORS,
    task_commands.RevertTask: EDITORS,
}
"""The roles in a list that may give each command to it, or to its tasks. Other commands are forbidden."""
DELETED = "the list was deleted: restore it first"
"""The error for users who may restore a list, for it or a task of it, while the list is deleted."""


def role_in(task_list: TaskList | None, user: str) -> Role | None:
    """Return the role of `user` in a list, or None if the user may not see it or it is deleted."""
    if task_list is None or task_list.deleted_at is not None:
        return None
    return role_of(task_list, user)


def visible_members(task_list: TaskList | None, user: str) -> Collection[str]:
    """Return the members of a list, or none if the user may not see it or it is deleted."""
    return () if role_in(task_list, user) is None else names_of(task_list)


def check_in(task_list: TaskList | None, command: type[Command], user: str, missing: str) -> None:
    """Check that `user` may give a command to a list, or to a task of it.

    Raise `Forbidden`, or `NotFound(missing)` for a user who is not a member. A deleted list accepts only
    `RestoreList`. Users who may give that command get a `NotFound` that says so; all others get the same
    error as users who are not members.
    """
    role = role_of(task_list, user)
    if task_list is not None and task_list.deleted_at is not None:
        role = role if may(list_commands.RestoreList, role) else None
        if role is not None and command is not list_commands.RestoreList:
            raise NotFound(DELETED)
    check(command, role, missing)


def check(command: type[Command], role: Role | None, missing: str) -> None:
    """Check that a role may give a command. Raise `Forbidden`, or `NotFound(missing)` if there is no role."""
    if role is None:
        raise NotFound(missing)
    if not may(command, role):
        raise Forbidden(_REASONS[role])


def may(command: type[Command], role: Role | None) -> bool:
    """Return whether a role may give a command."""
    return role in roles_for(command)


def roles_for(command: type[Command]) -> frozenset[Role]:
    """Return the roles that may give a command."""
    return ALLOWED.get(command, frozenset())


_REASONS: Mapping[Role, str] = {
    "viewer": "you may read this list, but not change it",
    "editor": "only an owner of this list may do that",
    "owner": "nobody may do that",
}
