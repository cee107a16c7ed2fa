"""The commands on a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from app.lists.events import Stage
from app.text.names import label_of
from app.values import (
    MAX_LABEL_CHARS,
    MAX_STAGES,
    Command,
    ListName,
    Role,
    Status,
    StoredUserId,
    TimeZone,
    UserId,
)

MAX_MEMBERS = 1_000


# --- commands --------------------------------------------------------------------------------------------


def _unlike(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    names = [stage["name"] for stage in stages]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two stages are called {twice!r}")
    return stages


def _with_an_open_one(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    # Otherwise an open task moved from another list would have no stage to enter.
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
"""(stage, status) → the number of such tasks in the list."""


class CreateList(Command):
    """Command to create a list that the caller owns."""

    name: ListName
    stages: Stages = ()
    time_zone: TimeZone | None = None


class CreateInbox(Command):
    """Command to create the inbox that every user has."""


class EditList(Command):
    """Command to set the given fields (a JSON merge patch, RFC 7396); stages are replaced as a whole."""

    name: ListName = ""
    stages: Stages | None = None
    time_zone: TimeZone | None = None


class DeleteList(Command):
    """Command to delete a list together with its tasks."""


class RestoreList(Command):
    """Command to restore a deleted list with its members, stages and tasks."""


class SetMember(Command):
    """Command to add a member to the list, or to change a member's role."""

    user: UserId
    role: Role


class RemoveMember(Command):
    """Command to remove a member from the list."""

    user: StoredUserId


class LeaveList(Command):
    """Command to leave a list."""


class HandOverList(Command):
    """Command to make another member the owner and the caller an editor."""

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
