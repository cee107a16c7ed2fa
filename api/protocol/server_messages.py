"""The typed messages of the server. `update_messages.py` adds those that the relay only forwards."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.protocol.client_messages import Ping, Pong, SignalKind
from api.protocol.close_codes import CloseReason
from api.protocol.frames import EncodedMessage
from api.protocol.limits import (
    BURST_MESSAGES,
    MAX_MESSAGE_BYTES,
    MAX_MISSED,
    MAX_SUBSCRIPTIONS,
    MESSAGES_PER_S,
    PING_S,
)
from app.channels import statistics_channel
from app.positions import Positions, positions_to_json
from app.statistics.report import Statistics

MessageId = Annotated[int | str, Field(union_mode="left_to_right")]


class ServerMessage(BaseModel):
    """The base of all server messages."""

    model_config = ConfigDict(frozen=True)

    def encode(self) -> bytes:
        """Return the message as JSON, without fields that are None."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)


class Reply(ServerMessage):
    """The reply to a message, with its `id`; some are also sent unprompted, without `id`."""

    id: MessageId | None = None


class Limits(BaseModel):
    """The limits of a socket; `messages_per_s` on average, in bursts of up to `burst`."""

    model_config = ConfigDict(frozen=True)

    message_bytes: int = MAX_MESSAGE_BYTES
    subscriptions: int = MAX_SUBSCRIPTIONS
    missed: int = MAX_MISSED
    messages_per_s: int = MESSAGES_PER_S
    burst: int = BURST_MESSAGES


class Authenticated(Reply):
    """The socket is authenticated as `user` and has the automatic channels; `missed` updates follow."""

    type: Literal["authenticated"] = "authenticated"
    user: str
    session: str
    expires_in: int
    ping_s: int = PING_S
    channels: list[str]
    positions: dict[str, int]
    missed: int = 0
    limits: Limits = Limits()


class Subscribed(Reply):
    """The socket is subscribed to the channel; `missed` updates follow. Without `id`: a new list."""

    type: Literal["subscribed"] = "subscribed"
    channel: str
    positions: dict[str, int]
    missed: int = 0


class Unsubscribed(Reply):
    """The socket is unsubscribed from the channel. Without `id`: the user has lost access to it."""

    type: Literal["unsubscribed"] = "unsubscribed"
    channel: str


class Refreshed(Reply):
    """The newer token was accepted."""

    type: Literal["refreshed"] = "refreshed"
    expires_in: int


class Error(Reply):
    """A message of the client was refused."""

    type: Literal["error"] = "error"
    code: str
    message: str


class Resync(ServerMessage):
    """More updates were missed than are sent: load a snapshot; new updates still arrive."""

    type: Literal["resync"] = "resync"
    channel: str
    reason: str


class Goodbye(ServerMessage):
    """The socket is about to be closed; reconnect at a time within the window."""

    type: Literal["goodbye"] = "goodbye"
    code: int
    reason: str
    retry_after_ms: tuple[int, int]


class SignalSent(ServerMessage):
    """Another socket on the channel sent a signal."""

    type: Literal["signal"] = "signal"
    channel: str
    kind: SignalKind
    data: dict[str, Any]
    user: str
    session: str


class PresentUser(BaseModel):
    """A user on a channel: the number of sockets, and their latest state."""

    model_config = ConfigDict(frozen=True)

    user: str
    connections: int
    viewing: bool = False
    typing: bool = False


class Presence(ServerMessage):
    """The users on a channel: all `present`, or since then those who `joined` (or changed) and who `left`."""

    type: Literal["presence"] = "presence"
    channel: str
    present: tuple[PresentUser, ...] | None = None
    joined: tuple[PresentUser, ...] | None = None
    left: tuple[PresentUser, ...] | None = None


class StatisticsReport(ServerMessage):
    """The statistics of a list as of `GET /api/stats`, after a subscription and after changes."""

    type: Literal["stats"] = "stats"
    channel: str
    at: datetime
    stats: Statistics

    def encode(self) -> bytes:
        """Return the message as JSON; unknown values are null."""
        return self.__pydantic_serializer__.to_json(self)


class SystemStats(BaseModel):
    """The state of a node, of the log and of the workers; `published` and `delivered` since its start."""

    model_config = ConfigDict(frozen=True)

    connections: int
    sockets: dict[str, int] = Field(description="Transport → its connections")
    subscriptions: int
    published: int
    delivered: int
    deliveries_per_s: float | None = Field(description="Updates sent to subscribers; null at first")
    lag_ms: float | None = Field(description="Delay of the latest update; null if none arrived recently")
    appended_per_s: float | None = Field(description="Records appended to the log by all; null if unknown")
    lag: dict[str, int] | None = Field(
        description="Partition → records that are not in the read models; null if unknown"
    )
    parked: int | None = Field(description="Parked records; null if unknown")
    batches: dict[str, int] | None = Field(
        description="Worker → records in its last batch, without those in bulk; null if unknown"
    )


class SystemReport(ServerMessage):
    """The state of a node, for administrators."""

    type: Literal["system"] = "system"
    channel: Literal["system"] = "system"
    node: str
    stats: SystemStats

    def encode(self) -> bytes:
        """Return the message as JSON; an unknown lag is null."""
        return self.__pydantic_serializer__.to_json(self)


PING = EncodedMessage(Ping().model_dump_json(exclude_none=True).encode())
PONG = EncodedMessage(Pong().model_dump_json(exclude_none=True).encode())


def pong_to(ping: Ping) -> EncodedMessage:
    """Return the reply to a ping."""
    if ping.id is None:
        return PONG
    return EncodedMessage(Pong(id=ping.id).model_dump_json(exclude_none=True).encode())


def goodbye(close_reason: CloseReason) -> EncodedMessage:
    """Return the message that precedes a close after which clients reconnect."""
    message = Goodbye(
        code=close_reason.code, reason=close_reason.reason, retry_after_ms=close_reason.retry_after_ms
    )
    return EncodedMessage(message.encode())


def positions_json(positions: Positions) -> dict[str, int]:
    """Return positions as messages contain them: without empty partitions."""
    return positions_to_json({p: offset for p, offset in positions.items() if offset >= 0})


def statistics_message(statistics: Statistics) -> bytes:
    """Return the message with the statistics of a list."""
    channel = statistics_channel(statistics.list_id or "")
    return StatisticsReport(channel=channel, at=statistics.at, stats=statistics).encode()
