"""Authorisation: the table of permissions, compared with a second one written out here."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from app import authorisation
from app.authorisation import ALLOWED, check, check_in, role_in
from app.errors import Forbidden, NotFound
from app.lists import commands as list_commands
from app.lists.commands import ListCommand, RestoreList
from app.lists.events import ListCreated, ListDeleted, MemberAdded
from app.tasks import commands as task_commands
from app.tasks.commands import CreateTask, TaskCommand
from app.values import Command, Role
from tests.spec import list_after

MATRIX = """
                  owner editor viewer
ReadList          yes   yes    yes
LeaveList         yes   yes    yes
EditList          yes   yes    no
SetMember         yes   no     no
RemoveMember      yes   no     no
HandOverList      yes   no     no
DeleteList        yes   no     no
RestoreList       yes   no     no
CreateTask        yes   yes    no
EditTask          yes   yes    no
CompleteTask      yes   yes    no
ReopenTask        yes   yes    no
MoveTask          yes   yes    no
DeleteTask        yes   yes    no
RestoreTask       yes   yes    no
SkipOccurrence    yes   yes    no
Comment           yes   yes    no
EditComment       yes   yes    no
DeleteComment     yes   yes    no
UndoChange        yes   yes    no
RevertTask        yes   yes    no
RemindOfTask      no    no     no
"""
ROLES, *ROWS = (line.split() for line in MATRIX.strip().splitlines())
CASES = [
    (name, role, answer == "yes")
    for name, *answers in ROWS
    for role, answer in zip(ROLES, answers, strict=True)
]


def command_called(name: str) -> type[Command]:
    """Return the class of a command."""
    modules = (authorisation, list_commands, task_commands)
    found = next(getattr(module, name) for module in modules if hasattr(module, name))
    assert inspect.isclass(found)
    assert issubclass(found, Command)
    return found


@pytest.mark.parametrize(("name", "role", "may"), CASES)
def test_role_allows_its_commands_only(name: str, role: Role, may: bool) -> None:  # noqa: FBT001
    """Others are forbidden with a reason."""
    command = command_called(name)
    if may:
        check(command, role, "no such list")
    else:
        with pytest.raises(Forbidden):
            check(command, role, "no such list")


@pytest.mark.parametrize("name", [name for name, *_ in ROWS])
def test_strangers_get_not_found(name: str) -> None:
    """Without a role the existence is not revealed."""
    with pytest.raises(NotFound, match="no such list"):
        check(command_called(name), None, "no such list")


def test_deleted_list_allows_only_its_restoration() -> None:
    """Its owners see that it is deleted; for other members and strangers it does not exist."""
    deleted = list_after(
        ListCreated(name="Home"), MemberAdded("bob", "editor"), MemberAdded("carol", "owner"), ListDeleted()
    )
    for owner in ("alice", "carol"):
        check_in(deleted, RestoreList, owner, "no such list")
        for command in ALLOWED.keys() - {RestoreList}:
            with pytest.raises(NotFound, match="was deleted: restore it first"):
                check_in(deleted, command, owner, "no such list")
    for other in ("bob", "eve"):
        for command in ALLOWED:
            with pytest.raises(NotFound, match="no such list"):
                check_in(deleted, command, other, "no such list")


def test_restoring_an_existing_list_checks_the_role() -> None:
    """Others are forbidden."""
    shared = list_after(ListCreated(name="Home"), MemberAdded("bob", "editor"))
    check_in(shared, RestoreList, "alice", "no such list")
    check_in(shared, CreateTask, "bob", "no such list")
    with pytest.raises(Forbidden):
        check_in(shared, RestoreList, "bob", "no such list")
    for task_list, user in ((shared, "eve"), (None, "alice")):
        with pytest.raises(NotFound, match="no such list"):
            check_in(task_list, RestoreList, user, "no such list")


def test_every_command_is_in_the_table() -> None:
    anyones = {"CreateList", "CreateInbox"}
    commands = {command.__name__ for command in (*get_args(TaskCommand), *get_args(ListCommand))}
    assert {name for name, *_ in ROWS} == commands - anyones | {"ReadList"}
    assert {command.__name__ for command in ALLOWED} == {name for name, *_ in ROWS} - {"RemindOfTask"}


def test_role_is_that_of_the_list() -> None:
    """In a deleted list there is none."""
    shared = list_after(ListCreated(name="Home"), MemberAdded("bob", "viewer"))
    assert (role_in(shared, "alice"), role_in(shared, "bob"), role_in(shared, "eve")) == (
        "owner",
        "viewer",
        None,
    )
    assert role_in(list_after(ListCreated(name="Home"), ListDeleted()), "alice") is None
    assert role_in(None, "alice") is None
