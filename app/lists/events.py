"""The events of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app import bounds
from app.values import (
    Category,
    Role,
    StoredLabel,
)

INBOX_NAME = "Inbox"

# --- events ----------------------------------------------------------------------------------------------


@with_config(ConfigDict(extra="forbid"))
class Stage(TypedDict):
    """A column of a list; its category determines the status of its tasks."""

    name: StoredLabel
    category: Category


class ListFields(TypedDict, total=False):
    """The fields that an edit may set."""

    name: bounds.Title
    stages: bounds.Few[Stage]
    time_zone: bounds.Moment | None


@dataclass(frozen=True, slots=True)
class ListCreated:
    """Event of a new list; its creator is its owner."""

    type: ClassVar[str] = "list.created"
    name: bounds.Title
    inbox: bool = False
    stages: bounds.Few[Stage] = ()
    time_zone: bounds.Moment | None = None


@dataclass(frozen=True, slots=True)
class ListRenamed:
    """Event of a list that has a new name."""

    type: ClassVar[str] = "list.renamed"
    name: bounds.Title


@dataclass(frozen=True, slots=True)
class ListEdited:
    """Event of an edit of some fields; stages are replaced as a whole."""

    type: ClassVar[str] = "list.edited"
    fields: ListFields


@dataclass(frozen=True, slots=True)
class ListDeleted:
    """Event of a list that was deleted together with its tasks."""

    type: ClassVar[str] = "list.deleted"


@dataclass(frozen=True, slots=True)
class ListRestored:
    """Event of a list that was restored: members, stages and tasks are as they were."""

    type: ClassVar[str] = "list.restored"


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """Event of a user who became a member and sees the list from then on."""

    type: ClassVar[str] = "list.member_added"
    user: bounds.UserName
    role: Role


@dataclass(frozen=True, slots=True)
class MemberRoleChanged:
    """Event of a member whose role was changed."""

    type: ClassVar[str] = "list.member_role_changed"
    user: bounds.UserName
    role: Role


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """Event of a member who left or was removed, and no longer sees the list."""

    type: ClassVar[str] = "list.member_removed"
    user: bounds.UserName


@dataclass(frozen=True, slots=True)
class ListHandedOver:
    """Event of a change of owner; the previous owner becomes an editor."""

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
