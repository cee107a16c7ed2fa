"""Events in the audit, their counts, and stories."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from tasktape_client.models.base import Answered
from tasktape_client.models.events import Event

Sign = Literal["=", "-", "+"]


class AuditEvent(Event):
    """An event of the audit, with a sentence in English.

    `diff` maps changed texts to their parts in order, each with its sign: in both texts, only in the former,
    only in the new one.
    """

    sentence: str = ""
    diff: dict[str, tuple[tuple[Sign, str], ...]] = Field(default_factory=dict)


class AuditGroup(Answered):
    """The number of events with the same value; None is no value."""

    key: str | None
    count: int


class StoryNotification(Answered):
    """A notification that somebody got for an event."""

    user: str
    kind: str


class StoryEvent(AuditEvent):
    """An event of a story, with the notifications of it, and the events that it caused."""

    notifications: tuple[StoryNotification, ...] = ()
    effects: tuple[StoryEvent, ...] = ()


class StoryCommand(Answered):
    """The first command of a story."""

    actor: str | None
    source: str | None
    time: datetime | None


class Story(Answered):
    """The events of one correlation id as trees, each below the event that caused it.

    `command` is None if the caller sees none of them. With `truncated` there are more events.
    """

    correlation_id: str
    command: StoryCommand | None
    events: tuple[StoryEvent, ...]
    truncated: bool
    positions: dict[str, int] = Field(default_factory=dict)
