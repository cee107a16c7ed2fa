"""Sharing a list: decisions of commands on members and stages."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.errors import Conflict, NotFound
from app.lists.commands import CreateList, EditList, HandOverList, LeaveList, RemoveMember, SetMember
from app.lists.events import (
    ListCreated,
    ListDeleted,
    ListEdited,
    ListEvent,
    ListHandedOver,
    ListRenamed,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    Stage,
)
from app.lists.state import category_of, first_stage
from app.values import Category, Status
from tests.spec import given, list_after

CREATED = ListCreated(name="Home")
INBOX = ListCreated(name="Inbox", inbox=True)
BOB = MemberAdded("bob", "editor")
CAROL = MemberAdded("carol", "owner")
STAGES: tuple[Stage, ...] = (
    {"name": "Backlog", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
    {"name": "Dropped", "category": "done"},
)


def test_member_is_added_or_gets_another_role() -> None:
    """By the same command; repeating it does nothing."""
    given(CREATED).when(SetMember(user=" bob ", role="editor")).then(BOB)
    given(CREATED, BOB).when(SetMember(user="bob", role="viewer")).then(MemberRoleChanged("bob", "viewer"))
    given(CREATED, BOB).when(SetMember(user="bob", role="editor")).then_nothing()
    changed = list_after(CREATED, BOB, MemberRoleChanged("bob", "viewer"))
    assert changed.members == {"alice": "owner", "bob": "viewer"}


@pytest.mark.parametrize("name", [".", "..", " .. ", "b\tob", ""])
def test_member_name_that_changes_a_url_is_refused(name: str) -> None:
    """The URL of the member `..` would be that of the list."""
    with pytest.raises(ValidationError):
        SetMember(user=name, role="viewer")


def test_removing_and_leaving_are_the_same_event() -> None:
    """Both are refused for users who are no members."""
    given(CREATED, BOB).when(RemoveMember(user="bob")).then(MemberRemoved("bob"))
    given(CREATED, BOB).when(LeaveList(), user="bob").then(MemberRemoved("bob"))
    given(CREATED).when(RemoveMember(user="bob")).then_refused(NotFound, "member")
    given(CREATED).when(LeaveList(), user="bob").then_refused(NotFound, "member")
    assert list_after(CREATED, BOB, MemberRemoved("bob")).members == {"alice": "owner"}


def test_list_keeps_an_owner() -> None:
    """The last owner can neither leave nor take a lower role; one of two can."""
    for command in (LeaveList(), RemoveMember(user="alice"), SetMember(user="alice", role="editor")):
        given(CREATED, BOB).when(command).then_refused(Conflict, "owner")
    given(CREATED, CAROL).when(LeaveList()).then(MemberRemoved("alice"))
    given(CREATED, CAROL).when(SetMember(user="alice", role="viewer")).then(
        MemberRoleChanged("alice", "viewer")
    )


def test_hand_over_swaps_owner_and_editor() -> None:
    """In one event."""
    given(CREATED, BOB).when(HandOverList(to="bob")).then(ListHandedOver("bob"))
    assert list_after(CREATED, BOB, ListHandedOver("bob")).members == {"alice": "editor", "bob": "owner"}
    given(CREATED).when(HandOverList(to="bob")).then_refused(NotFound, "member")
    given(CREATED).when(HandOverList(to="alice")).then_nothing()


@pytest.mark.parametrize(
    "command", [SetMember(user="bob", role="editor"), LeaveList(), RemoveMember(user="alice")]
)
def test_inbox_cannot_be_shared_or_left(command: SetMember | LeaveList | RemoveMember) -> None:
    given(INBOX).when(command).then_refused(Conflict, "inbox")


@pytest.mark.parametrize(
    "command",
    [
        EditList(name="x"),
        SetMember(user="bob", role="editor"),
        RemoveMember(user="alice"),
        LeaveList(),
        HandOverList(to="alice"),
    ],
)
@pytest.mark.parametrize("past", [(), (CREATED, ListDeleted())])
def test_missing_or_deleted_list_is_not_found(
    past: tuple[ListEvent, ...],
    command: EditList | SetMember | RemoveMember | LeaveList | HandOverList,
) -> None:
    given(*past).when(command).then_refused(NotFound)


def test_stages_are_set_as_a_whole() -> None:
    """On creation, later, together with the name, or removed; the inbox may have some too."""
    given().when(CreateList(name="Home", stages=STAGES)).then(ListCreated(name="Home", stages=STAGES))
    given(CREATED).when(EditList(stages=STAGES)).then(ListEdited({"stages": STAGES}))
    given(CREATED).when(EditList(name="House", stages=STAGES)).then(
        ListEdited({"name": "House", "stages": STAGES})
    )
    given(CREATED).when(EditList(name="House", stages=())).then(ListRenamed("House"))
    staged = ListCreated(name="Home", stages=STAGES)
    given(staged).when(EditList(stages=STAGES, name="Home")).then_nothing()
    given(staged).when(EditList(stages=None)).then(ListEdited({"stages": ()}))
    given(INBOX).when(EditList(stages=STAGES)).then(ListEdited({"stages": STAGES}))
    given(INBOX).when(EditList(name="x", stages=STAGES)).then_refused(Conflict, "inbox")
    assert list_after(CREATED, ListEdited({"name": "House", "stages": STAGES})).stages == STAGES


def renamed(**categories: Category) -> tuple[Stage, ...]:
    """Return stages of these names and categories."""
    return tuple({"name": name, "category": category} for name, category in categories.items())


@pytest.mark.parametrize(
    ("stages", "occupied", "said"),
    [
        (renamed(Doing="active", Done="done"), {("Backlog", "open"): 2}, r"2 tasks .* Backlog \(2\)"),
        (renamed(Doing="active"), {("Doing", "open"): 5}, None),
        (renamed(Doing="open"), {("Doing", "open"): 5, ("Doing", "done"): 1}, None),
        (
            renamed(New="open", Doing="done"),
            {("Doing", "open"): 1, ("Doing", "done"): 3},
            r"1 task is .* Doing \(1\)",
        ),
        (renamed(Done="active"), {("Done", "done"): 2}, r"Done \(2\)"),
        (renamed(Done="active"), {("Done", "open"): 2}, None),
        (renamed(Doing="active"), {("Odd", "open"): 1, ("Odd", "done"): 1}, r"2 tasks .* Odd \(2\)"),
        ((), {("Doing", "open"): 5}, None),
    ],
)
def test_stages_with_tasks_are_protected(
    stages: tuple[Stage, ...], occupied: dict[tuple[str, Status], int], said: str | None
) -> None:
    """None is removed, and none becomes done or open, while it has tasks."""
    edit = given(ListCreated(name="Home", stages=STAGES)).when(EditList(stages=stages), occupied=occupied)
    if said is None:
        edit.then(ListEdited({"stages": stages}))
    else:
        edit.then_refused(Conflict, said)


@pytest.mark.parametrize(
    "stages",
    [
        [{"name": "A", "category": "open"}, {"name": " A ", "category": "done"}],
        [{"name": "Done", "category": "done"}, {"name": "Dropped", "category": "done"}],
        [{"name": "", "category": "open"}],
        [{"name": "A", "category": "other"}],
        [{"name": "A"}],
        [{"name": "A", "category": "open", "color": "red"}],
        [{"name": f"S{number}", "category": "open"} for number in range(51)],
    ],
)
def test_invalid_stages_are_refused(stages: object) -> None:
    """Names must be present and distinct, categories known, not all done, and their number bounded."""
    with pytest.raises(ValidationError):
        EditList.model_validate({"stages": stages})


def test_stage_of_the_first_available_category_is_found() -> None:
    staged = list_after(ListCreated(name="Home", stages=STAGES))
    assert first_stage(staged, "done") == "Done"
    assert first_stage(staged, "open", "active") == "Backlog"
    assert first_stage(list_after(ListCreated(name="H", stages=STAGES[1:])), "open", "active") == "Doing"
    assert first_stage(list_after(CREATED), "done") is None
    assert first_stage(None, "done") is None
    assert (category_of(staged, "Dropped"), category_of(staged, "x"), category_of(None, "Done")) == (
        "done",
        None,
        None,
    )
