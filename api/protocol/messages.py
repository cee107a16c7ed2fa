"""The typed messages of the WebSocket protocol. `decoding.py` turns frames into messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError, to_json

from api.protocol.close_codes import CloseReason
from api.protocol.frames import EncodedMessage
from app.errors import Malformed
from app.positions import Positions, positions_from_json, positions_to_json

SUBPROTOCOL = "tasktape.v1.json"
PACKED_SUBPROTOCOL = "tasktape.v1.msgpack"
SUBPROTOCOLS = (SUBPROTOCOL, PACKED_SUBPROTOCOL)
SYSTEM_CHANNEL = "system"
BATCH = "batch"
"""The feature of a client that sends and accepts arrays of messages."""

MAX_MESSAGE_BYTES = 64 * 1024
MAX_BATCH = 64
MAX_SUBSCRIPTIONS = 1_000
MAX_MISSED = 10_000
MAX_SIGNAL_BYTES = 1024
MESSAGES_PER_S = 50
BURST_MESSAGES = 200
PING_S = 25
AUTHENTICATION_S = 10

MessageId = Annotated[int | str, Field(union_mode="left_to_right")]
ClientId = Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[str, Field(max_length=64)]
Channel = Annotated[str, Field(min_length=1, max_length=256)]
SignalKind = Literal["typing", "cursor", "viewing"]


class BadFrame(Exception):
    """A frame that is not a message; the socket is closed for it."""


class Refused(Exception):
    """A refused message that is well-formed enough to be answered with an error."""

    def __init__(self, message_id: int | str | None, code: str, detail: str) -> None:
        super().__init__(detail)
        self.message_id = message_id
        self.code = code
        self.detail = detail


def _small(data: dict[str, Any]) -> dict[str, Any]:
    """Check that data is short enough and can be encoded in msgpack too."""
    if not _fits(data):
        raise PydanticCustomError("too_large", "integers have at most 64 bits")
    if len(to_json(data)) > MAX_SIGNAL_BYTES:
        raise PydanticCustomError("too_large", "it has at most {bytes} bytes", {"bytes": MAX_SIGNAL_BYTES})
    return data


def _fits(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


# --- from the client -------------------------------------------------------------------------------------


class ClientMessage(BaseModel):
    """The base of all client messages; the reply contains the same `id`."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    id: ClientId | None = None


class Authenticate(ClientMessage):
    """Authenticate the socket; with `since`, resume the automatic channels from there."""

    type: Literal["authenticate"]
    token: str
    features: list[str] = Field(default_factory=list, max_length=32)
    since: dict[str, int] | None = None


class Subscribe(ClientMessage):
    """Subscribe to a channel; with `since`, also get missed updates."""

    type: Literal["subscribe"]
    channel: Channel
    since: dict[str, int] | None = None


class Unsubscribe(ClientMessage):
    """Unsubscribe from a channel."""

    type: Literal["unsubscribe"]
    channel: Channel


class Refresh(ClientMessage):
    """Continue with a newer token of the same user."""

    type: Literal["refresh"]
    token: str


class Signal(ClientMessage):
    """Send an ephemeral signal to the others on a channel."""

    type: Literal["signal"]
    channel: Channel
    kind: SignalKind
    data: Annotated[dict[str, Any], AfterValidator(_small)] = Field(
        default_factory=dict, description=f"At most {MAX_SIGNAL_BYTES} bytes of JSON, integers of 64 bits"
    )


class Ping(ClientMessage):
    """Request a pong."""

    type: Literal["ping"] = "ping"


class Pong(ClientMessage):
    """Answer a ping."""

    type: Literal["pong"] = "pong"


Incoming = Authenticate | Subscribe | Unsubscribe | Refresh | Signal | Ping | Pong


def read_since(since: Mapping[str, int], partitions: int) -> dict[int, int]:
    """Parse the positions of a `since`. Raise `Malformed`, also for a partition that the log lacks."""
    positions = positions_from_json(since)
    unknown = [partition for partition in positions if partition >= partitions]
    if unknown:
        raise Malformed(f"the log has no partition {unknown[0]}")
    return {partition: offset for partition, offset in positions.items() if offset >= 0}


# --- from the server -------------------------------------------------------------------------------------


class ServerMessage(BaseModel):
    """The base of all server messages."""

    model_config = ConfigDict(frozen=True)

    def encode(self) -> str:
        """Return the message as JSON, without fields that are None."""
        return self.model_dump_json(exclude_none=True)


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


class SystemStats(BaseModel):
    """The state of a node: its current figures, and its counters since it started."""

    model_config = ConfigDict(frozen=True)

    connections: int
    subscriptions: int
    published: int
    delivered: int
    lag_ms: float | None = Field(description="Delay of the latest update; null if none arrived recently")


class SystemReport(ServerMessage):
    """The state of a node, for administrators."""

    type: Literal["system"] = "system"
    channel: Literal["system"] = "system"
    node: str
    stats: SystemStats

    def encode(self) -> str:
        """Return the message as JSON; an unknown lag is null."""
        return self.model_dump_json()


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
    return EncodedMessage(message.encode().encode())


def positions_json(positions: Positions) -> dict[str, int]:
    """Return positions as messages contain them: without empty partitions."""
    return positions_to_json({p: offset for p, offset in positions.items() if offset >= 0})
