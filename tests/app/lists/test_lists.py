"""Decisions of commands on a list, and the effects of its events."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError

from app.errors import Conflict, NotFound, Undecodable
from app.lists.commands import CreateInbox, CreateList, DeleteList, EditList, RestoreList, SetMember
from app.lists.events import ListCreated, ListDeleted, ListEvent, ListRenamed, ListRestored, MemberAdded
from app.log import fold
from app.tasks.events import TaskCreated
from tests.spec import LIST_ID, START, given, list_after, record_of, task_after

CREATED = ListCreated(name="Home")
INBOX = ListCreated(name="Inbox", inbox=True)


def test_create_makes_the_actor_the_owner() -> None:
    given().when(CreateList(name=" Home ")).then(CREATED)
    created = list_after(CREATED)
    assert (created.name, created.inbox, created.members) == ("Home", False, {"alice": "owner"})
    assert (created.version, created.created_at, created.created_by) == (1, START, "alice")
    given(CREATED).when(CreateList(name="Home")).then_refused(Conflict)
    given(CREATED, ListDeleted()).when(CreateList(name="Home")).then_refused(Conflict)


def test_inbox_is_created_once() -> None:
    """It cannot be renamed or deleted."""
    given().when(CreateInbox()).then(INBOX)
    given(INBOX).when(CreateInbox()).then_nothing()
    given(INBOX).when(EditList(name="Other")).then_refused(Conflict, "inbox")
    given(INBOX).when(DeleteList()).then_refused(Conflict, "inbox")


def test_rename_to_the_same_name_does_nothing() -> None:
    given(CREATED).when(EditList(name="House")).then(ListRenamed("House"))
    given(CREATED).when(EditList(name="Home")).then_nothing()
    renamed = list_after(CREATED, ListRenamed("House"))
    assert (renamed.name, renamed.version) == ("House", 2)
    assert renamed.updated_at == START + timedelta(minutes=1)


def test_deleted_list_is_not_found_by_commands() -> None:
    given(CREATED).when(DeleteList()).then(ListDeleted())
    assert list_after(CREATED, ListDeleted()).deleted_at == START + timedelta(minutes=1)
    for command in (DeleteList(), EditList(name="x")):
        given(CREATED, ListDeleted()).when(command).then_refused(NotFound)
        given().when(command).then_refused(NotFound)


def test_restore_returns_a_deleted_list_unchanged() -> None:
    """With its members and stages; restoring an existing list does nothing."""
    created = ListCreated(name="Home", stages=({"name": "To do", "category": "open"},))
    past = (created, MemberAdded("bob", "viewer"), ListDeleted())
    given(*past).when(RestoreList()).then(ListRestored())
    before, after = list_after(*past[:-1]), list_after(*past, ListRestored())
    assert after == replace(before, version=4, updated_at=START + timedelta(minutes=3))
    assert after.deleted_at is None
    given(*past, ListRestored()).when(RestoreList()).then_nothing()
    given(created).when(RestoreList()).then_nothing()
    given().when(RestoreList()).then_refused(NotFound)
    given(INBOX, ListDeleted()).when(RestoreList()).then(ListRestored())


def test_restored_list_accepts_every_command() -> None:
    """Sharing, renaming, deleting and restoring."""
    past = (CREATED, ListDeleted(), ListRestored())
    given(*past).when(EditList(name="House")).then(ListRenamed("House"))
    given(*past).when(SetMember(user="bob", role="editor")).then(MemberAdded("bob", "editor"))
    given(*past).when(DeleteList()).then(ListDeleted())
    given(*past, ListDeleted()).when(RestoreList()).then(ListRestored())


def test_restored_event_on_an_existing_list_changes_only_the_version() -> None:
    """Foreign writers may append one."""
    assert list_after(CREATED, ListRestored()).deleted_at is None


@pytest.mark.parametrize("event", [ListRenamed("x"), ListDeleted(), ListRestored()])
def test_first_event_must_be_created(event: ListEvent) -> None:
    with pytest.raises(Undecodable, match=r"before list\.created"):
        fold.evolve(None, record_of(event, 1))
    with pytest.raises(Undecodable, match="exists"):
        fold.evolve(list_after(CREATED), record_of(CREATED, 2))


def test_event_of_another_stream_type_is_refused() -> None:
    """A task's event on a list, and the reverse."""
    task_created = TaskCreated(list_id=LIST_ID, title="t")
    with pytest.raises(Undecodable, match="another kind"):
        fold.evolve(list_after(CREATED), record_of(task_created, 2))
    with pytest.raises(Undecodable, match="another kind"):
        fold.evolve(task_after(task_created), record_of(ListRenamed("x"), 2))


@pytest.mark.parametrize("name", ["", " ", "x" * 501, "a\x00"])
def test_names_are_checked(name: str) -> None:
    """They must be visible and storable."""
    for command in (CreateList, EditList):
        with pytest.raises(ValidationError):
            command(name=name)
