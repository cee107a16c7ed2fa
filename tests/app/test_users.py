"""User streams: read notifications."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from app.log.fold import Folded
from app.tasks.events import TaskCreated
from app.users import (
    MAX_NOTIFICATIONS_AT_ONCE,
    AllNotificationsRead,
    AuditRead,
    NotificationsRead,
    NotificationsUnread,
    ReadAllNotifications,
    ReadAudit,
    ReadNotifications,
    UnreadNotifications,
    User,
    decide,
)
from tests.folding import fold_log, update_of
from tests.spec import LIST_ID, START, raw_of, record_of

ID = "20000000-0000-4000-8000-000000000001"
STREAM = "user:alice"


def folded(*events: object) -> list[Folded]:
    """Return the outcomes of these events of alice's stream."""
    records = [record_of(event, n, stream=STREAM) for n, event in enumerate(events, start=1)]  # type: ignore[arg-type]
    return fold_log([raw_of(record, offset) for offset, record in enumerate(records)])[1]


def test_each_command_is_an_event() -> None:
    """The read models know if there is anything left to do."""
    assert decide(ReadNotifications(ids=(ID,))) == NotificationsRead((ID,))
    assert decide(UnreadNotifications(ids=(ID,))) == NotificationsUnread((ID,))
    until = decide(ReadAllNotifications(until="2026-12-01T09:00:00+01:00"))
    assert decide(ReadAudit(means="query", question="actor=bob")) == AuditRead("query", "actor=bob")
    assert until == AllNotificationsRead(datetime(2026, 12, 1, 8, tzinfo=UTC))


def test_commands_are_bounded() -> None:
    """Some valid ids, and a valid time."""
    with pytest.raises(ValidationError):
        ReadNotifications(ids=())
    with pytest.raises(ValidationError):
        ReadNotifications(ids=(ID,) * (MAX_NOTIFICATIONS_AT_ONCE + 1))
    with pytest.raises(ValidationError):
        UnreadNotifications(ids=("x",))
    with pytest.raises(ValidationError):
        ReadAllNotifications(until="2026-12-01T09:00:00")


def test_first_event_creates_the_user() -> None:
    """With a version, so that two devices do not overwrite each other."""
    first, second = folded(NotificationsRead((ID,)), NotificationsUnread((ID,)))
    assert first.after == User("alice", 1, START, START)
    assert isinstance(second.after, User)
    assert (second.after.version, second.after.created_at) == (2, START)


def test_events_reach_only_the_users_own_channel() -> None:
    """With the event's data: there is no other state to show."""
    [read] = folded(NotificationsRead((ID,)))
    update = update_of(read)
    assert update.channels == (STREAM,)
    assert b'"data":{"ids":["%s"]}' % ID.encode() in update.value
    assert b'"task":null,"list":null' in update.value


def test_foreign_event_on_a_user_stream_is_parked() -> None:
    record = record_of(TaskCreated(LIST_ID, "T"), 1, stream=STREAM)
    [parked] = fold_log([raw_of(record, 0)])[1]
    assert parked.outcome == "parked"
