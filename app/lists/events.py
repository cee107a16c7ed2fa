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
