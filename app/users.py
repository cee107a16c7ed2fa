"""Users: events, state and fold, commands, decisions.

A user is one stream, `user:{id}`: the private state of that user.

The read state of notifications follows from these events, whatever their order relative to the notifications.
A read model of both is therefore the same, however the partitions of the log interleave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, assert_never

from pydantic import Field

from app.bounds import Instant, Label, Many, Text
from app.values import Command, Moment, Uuid

MAX_NOTIFICATIONS_AT_ONCE = 200
MAX_QUESTION_CHARS = 10_000
"""Characters of a question to the audit that are recorded."""

# --- events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotificationsRead:
    """Event of notifications that the user has seen."""

    type: ClassVar[str] = "user.notifications_read"
    ids: Many[Label]


@dataclass(frozen=True, slots=True)
class NotificationsUnread:
    """Event of notifications that the user marked as unseen."""

    type: ClassVar[str] = "user.notifications_unread"
    ids: Many[Label]


@dataclass(frozen=True, slots=True)
class AllNotificationsRead:
    """Event of all notifications up to the time `until` being seen."""

    type: ClassVar[str] = "user.notifications_all_read"
    until: Instant


@dataclass(frozen=True, slots=True)
class AuditRead:
    """Event of the user reading events of others in the audit: by which means, and the question."""

    type: ClassVar[str] = "user.audit_read"
    means: Label
    question: Text


UserEvent = NotificationsRead | NotificationsUnread | AllNotificationsRead | AuditRead

# --- fold ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class User:
    """The state of a user after `version` events."""

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None


def evolve(user: User | None, event: UserEvent, *, stream_key: str, time: datetime) -> User:
    """Return the user after one more event."""
    del event
    if user is None:
        return User(stream_key, 1, time, time)
    return User(user.id, user.version + 1, user.created_at, time)


# --- commands --------------------------------------------------------------------------------------------

NotificationIds = Annotated[
    tuple[Uuid, ...], Field(min_length=1, max_length=MAX_NOTIFICATIONS_AT_ONCE, strict=False)
]


class ReadNotifications(Command):
    """Command to mark some notifications as seen."""

    ids: NotificationIds


class UnreadNotifications(Command):
    """Command to mark some notifications as unseen."""

    ids: NotificationIds


class ReadAllNotifications(Command):
    """Command to mark all notifications up to a time as seen."""

    until: Moment


class ReadAudit(Command):
    """Command to record that the user reads events of others in the audit; only the server gives it."""

    means: str
    question: Annotated[str, Field(max_length=MAX_QUESTION_CHARS)]


UserCommand = ReadNotifications | UnreadNotifications | ReadAllNotifications | ReadAudit

# --- decisions -------------------------------------------------------------------------------------------


def decide(command: UserCommand) -> UserEvent:
    """Return the event of a command. The caller checks whether it would change anything."""
    match command:
        case ReadNotifications(ids=ids):
            return NotificationsRead(ids)
        case UnreadNotifications(ids=ids):
            return NotificationsUnread(ids)
        case ReadAllNotifications(until=until):
            return AllNotificationsRead(datetime.fromisoformat(until))
        case ReadAudit(means=means, question=question):
            return AuditRead(means, question)
        case _:
            assert_never(command)
