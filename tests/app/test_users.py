"""What is a user's alone: having read notifications."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from app.log.fold import Folded
from app.tasks.events import TaskCreated
from app.users import (
    MAX_NOTIFICATIONS_AT_ONCE,
    AllNotificationsRead,
    NotificationsRead,
    NotificationsUnread,
    ReadAllNotifications,
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
    """What becomes of these events of alice's stream."""
    records = [record_of(event, n, stream=STREAM) for n, event in enumerate(events, start=1)]  # type: ignore[arg-type]
    return fold_log([raw_of(record, offset) for offset, record in enumerate(records)])[1]


def test_each_command_is_an_event() -> None:
    """Whether there is anything left to do is known where the notifications are."""
    assert decide(ReadNotifications(ids=(ID,))) == NotificationsRead((ID,))
    assert decide(UnreadNotifications(ids=(ID,))) == NotificationsUnread((ID,))
    until = decide(ReadAllNotifications(until="2026-12-01T09:00:00+01:00"))
    assert until == AllNotificationsRead(datetime(2026, 12, 1, 8, tzinfo=UTC))


def test_commands_are_bounded() -> None:
    """Some ids, all of them ids; and a time that can be told anywhere."""
    with pytest.raises(ValidationError):
        ReadNotifications(ids=())
    with pytest.raises(ValidationError):
        ReadNotifications(ids=(ID,) * (MAX_NOTIFICATIONS_AT_ONCE + 1))
    with pytest.raises(ValidationError):
        UnreadNotifications(ids=("x",))
    with pytest.raises(ValidationError):
        ReadAllNotifications(until="2026-12-01T09:00:00")


def test_a_user_comes_to_be_with_the_first_event() -> None:
    """And has a version from then on, so that two devices do not talk past each other."""
    first, second = folded(NotificationsRead((ID,)), NotificationsUnread((ID,)))
    assert first.after == User("alice", 1, START, START)
    assert isinstance(second.after, User)
    assert (second.after.version, second.after.created_at) == (2, START)


def test_all_of_a_users_devices_hear_of_it_and_nobody_else() -> None:
    """On the user's own channel, with the event's data: there is no other state to show."""
    [read] = folded(NotificationsRead((ID,)))
    update = update_of(read)
    assert update.channels == (STREAM,)
    assert b'"data":{"ids":["%s"]}' % ID.encode() in update.value
    assert b'"task":null,"list":null' in update.value


def test_a_task_does_not_go_on_a_users_stream() -> None:
    """Nor anything else that is not the user's: it is parked."""
    record = record_of(TaskCreated(LIST_ID, "T"), 1, stream=STREAM)
    [parked] = fold_log([raw_of(record, 0)])[1]
    assert parked.outcome == "parked"
