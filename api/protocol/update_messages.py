"""All that a server says, for who describes it; here is what the relay passes on and never builds itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from api.protocol.messages import (
    Authenticated,
    Error,
    Goodbye,
    Ping,
    Pong,
    Presence,
    Refreshed,
    Resync,
    ServerMessage,
    SignalSent,
    Subscribed,
    SystemReport,
    Unsubscribed,
)
from app.lists.state import TaskList
from app.tasks.state import Task


class UpdateEvent(BaseModel):
    """An event of the log. What is not accepted is not told of, nor what can't be read."""

    id: str
    type: str
    stream: str
    version: int
    position: str
    outcome: Literal["accepted", "superseded", "parked"]
    reason: str | None = Field(description="Why it is not accepted")
    time: datetime = Field(description="When it happened")
    recorded_at: datetime = Field(description="When the log took it")
    actor: str
    source: str
    correlation_id: str | None
    causation_id: str | None
    data: dict[str, Any]


class Update(ServerMessage):
    """Something happened: the event, what it changed, and the task or list as it is now."""

    type: Literal["update"] = "update"
    channel: str
    position: str
    event: UpdateEvent
    changes: dict[str, tuple[Any, Any]]
    notifications: dict[str, str] | None = Field(None, description="User → what it is told to them as")
    task: Task | None = Field(description="After it; null if it is not a task's, or the task is gone")
    list: TaskList | None = Field(description="After it; null if it is not a list's, or the list is gone")


FromServer = (
    Authenticated
    | Subscribed
    | Unsubscribed
    | Refreshed
    | Error
    | Update
    | SignalSent
    | Presence
    | SystemReport
    | Resync
    | Goodbye
    | Ping
    | Pong
)
