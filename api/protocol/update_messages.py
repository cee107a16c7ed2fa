"""All messages of the server, for documentation; this module adds those that the relay only forwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.protocol.client_messages import Ping, Pong
from api.protocol.server_messages import (
    Authenticated,
    Error,
    Goodbye,
    Presence,
    Refreshed,
    Reply,
    Resync,
    ServerMessage,
    SignalSent,
    StatisticsReport,
    Subscribed,
    SystemReport,
    Unsubscribed,
)
from app.lists.state import TaskList
from app.tasks.state import Task


class UpdateEvent(BaseModel):
    """An event of the log. Events that are not accepted, or cannot be decoded, are not sent."""

    id: str
    type: str
    stream: str
    version: int
    position: str
    outcome: Literal["accepted", "superseded", "parked"]
    reason: str | None = Field(description="Reason why it is not accepted")
    time: datetime = Field(description="Time of the event")
    recorded_at: datetime = Field(description="Time when the log recorded it")
    actor: str
    source: str
    correlation_id: str | None
    causation_id: str | None
    data: dict[str, Any]


class Update(ServerMessage):
    """An update: the event, its changes, and the current task or list."""

    type: Literal["update"] = "update"
    channel: str
    position: str
    event: UpdateEvent
    changes: dict[str, tuple[Any, Any]]
    notifications: dict[str, str] | None = Field(None, description="User → kind of their notification")
    at: datetime | None = Field(None, description="In a replay, the time that the event counts from")
    task: Task | None = Field(description="The task after it; null for other streams, or if it is gone")
    list: TaskList | None = Field(description="The list after it; null for other streams, or if it is gone")


class Replay(Reply):
    """The state of a replay, also as the reply to a control; `snapshot` has a part of the list's state.

    A snapshot comes in parts, from 0, until there are no `more`. It has the list unless that was not created
    yet. An `ended` replay can be sought back, unless it has a `reason`.
    """

    type: Literal["replay"] = "replay"
    channel: str
    state: Literal["snapshot", "playing", "paused", "ended"]
    at: datetime
    speed: float | None = Field(None, description="Not of a snapshot")
    reason: str | None = Field(None, description="Reason why it ended before its end")
    part: int | None = Field(None, description="Number of the part of a snapshot")
    more: bool | None = Field(None, description="True if more parts of the snapshot follow")
    list: TaskList | None = None
    tasks: tuple[Task, ...] | None = Field(None, description="Tasks in the list at that time")


FromServer = (
    Authenticated
    | Subscribed
    | Unsubscribed
    | Refreshed
    | Error
    | Update
    | Replay
    | SignalSent
    | Presence
    | StatisticsReport
    | SystemReport
    | Resync
    | Goodbye
    | Ping
    | Pong
)
