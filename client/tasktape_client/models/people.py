"""The caller, notifications, and activity."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from tasktape_client.models.base import Answered


class Me(Answered):
    """The caller, with the number of unread notifications."""

    user: str
    admin: bool
    auditor: bool = False
    inbox_id: str
    expires_at: datetime
    unread: int = 0


class Notification(Answered):
    """A notification of the caller. `kind` is assigned, mentioned, reminded, shared or commented."""

    id: str
    kind: str
    read: bool
    time: datetime
    actor: str | None = None
    task_id: str | None = None
    list_id: str | None = None
    comment_id: str | None = None
    title: str = ""
    excerpt: str | None = None


class Unread(Answered):
    """The number of unread notifications."""

    unread: int


class ActivityEvent(Answered):
    """An event of an activity feed. Long values in `data` and `changes` are truncated."""

    id: str
    type: str
    stream: str
    version: int
    position: str
    task_id: str | None = None
    title: str | None = None
    time: datetime
    recorded_at: datetime
    actor: str
    data: Any = None
    changes: dict[str, Any] = Field(default_factory=dict)


class ActivityGroup(Answered):
    """Adjacent events of one type by one user, newest first: "alice completed 5 tasks"."""

    summary: str
    actor: str
    type: str
    list_id: str | None = None
    count: int
    task_count: int = 0
    task_ids: tuple[str, ...] = ()
    first_at: datetime
    last_at: datetime
    events: tuple[ActivityEvent, ...] = ()
