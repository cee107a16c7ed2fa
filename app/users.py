"""Users: events, state and fold, commands, decisions.

A user is one stream, `user:{id}`: what is theirs alone.

Which notifications are read follows from these events, whatever order they meet the notifications in: so a
read model of both is the same, however the partitions of the log interleave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, assert_never

from pydantic import Field

from app.bounds import Instant, Label, Many
from app.values import Command, Moment, Uuid

MAX_NOTIFICATIONS_AT_ONCE = 200

# --- events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotificationsRead:
    """The user has seen these notifications."""

    type: ClassVar[str] = "user.notifications_read"
    ids: Many[Label]


@dataclass(frozen=True, slots=True)
class NotificationsUnread:
    """The user wants to see these notifications again."""

    type: ClassVar[str] = "user.notifications_unread"
    ids: Many[Label]


@dataclass(frozen=True, slots=True)
class AllNotificationsRead:
    """The user has seen all notifications up to the time `until`."""

    type: ClassVar[str] = "user.notifications_all_read"
    until: Instant


UserEvent = NotificationsRead | NotificationsUnread | AllNotificationsRead

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class User:
    """A user's state after `version` events."""

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None


USER_FIELDS: tuple[str, ...] = ()
"""The fields whose changes an audit shows: none, the events say it all."""


def evolve(user: User | None, event: UserEvent, *, stream_key: str, time: datetime) -> User:
    """The user after one more event."""
    del event
    if user is None:
        return User(stream_key, 1, time, time)
    return User(user.id, user.version + 1, user.created_at, time)


# --- commands --------------------------------------------------------------------------------------------

NotificationIds = Annotated[
    tuple[Uuid, ...], Field(min_length=1, max_length=MAX_NOTIFICATIONS_AT_ONCE, strict=False)
]


class ReadNotifications(Command):
    """Say that some notifications have been seen."""

    ids: NotificationIds


class UnreadNotifications(Command):
    """Say that some notifications are to be seen again."""

    ids: NotificationIds


class ReadAllNotifications(Command):
    """Say that all notifications up to a time have been seen."""

    until: Moment


UserCommand = ReadNotifications | UnreadNotifications | ReadAllNotifications

# --- decisions -------------------------------------------------------------------------------------------


def decide(command: UserCommand) -> UserEvent:
    """The event that a command makes. Whether there is anything left to do is for the edge to see."""
    match command:
        case ReadNotifications(ids=ids):
            return NotificationsRead(ids)
        case UnreadNotifications(ids=ids):
            return NotificationsUnread(ids)
        case ReadAllNotifications(until=until):
            return AllNotificationsRead(datetime.fromisoformat(until))
        case _:
            assert_never(command)
