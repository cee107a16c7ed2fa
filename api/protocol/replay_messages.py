"""The messages of replays, made from stored JSON without decoding it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic_core import to_json

from app.channels import Channel
from app.dates import format_time

State = Literal["playing", "paused", "ended"]


def state_message(
    channel: Channel,
    state: State,
    at: datetime | None,
    *,
    speed: float | None = None,
    reason: str | None = None,
    message_id: int | str | None = None,
) -> bytes:
    """Return the message that a replay is in a state now; `message_id` is that of the control it answers."""
    fields = {
        "id": message_id,
        "type": "replay",
        "channel": str(channel),
        "state": state,
        "at": None if at is None else format_time(at),
        "speed": speed,
        "reason": reason,
    }
    return to_json({name: value for name, value in fields.items() if value is not None})


def snapshot_message(
    channel: Channel, at: datetime, task_list: bytes, tasks: Sequence[bytes], *, part: int, more: bool
) -> bytes:
    """Return a part of the state at a time, with some tasks; the first part has number 0."""
    head = to_json(
        {
            "type": "replay",
            "channel": str(channel),
            "state": "snapshot",
            "at": format_time(at),
            "part": part,
            "more": more,
        }
    )
    shown = b"" if task_list == b"null" else b',"list":' + task_list
    return b'%s%s,"tasks":[%s]}' % (head[:-1], shown, b",".join(tasks))


def update_prefix(channel: Channel) -> bytes:
    """Return the first bytes of an update of a replay, before its time."""
    return b'{"channel":%s,"at":' % to_json(str(channel))
