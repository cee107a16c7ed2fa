"""The WebSocket protocol `tasktape.v1.json`: its messages, typed, and how they are read and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from api.frames import Outgoing
from api.outbox import Farewell
from app.errors import Malformed
from app.positions import Positions, positions_from_json, positions_to_json

SUBPROTOCOL = "tasktape.v1.json"
PACKED_SUBPROTOCOL = "tasktape.v1.msgpack"
SUBPROTOCOLS = (SUBPROTOCOL, PACKED_SUBPROTOCOL)
MAX_MESSAGE_BYTES = 64 * 1024
MAX_SUBSCRIPTIONS = 1_000
MAX_MISSED = 10_000
PING_S = 25
AUTHENTICATION_S = 10

BAD_TOKEN = 4500
BAD_MESSAGE = 4501
NOT_AUTHENTICATED = Farewell(4502, "no authentication in time")
TOKEN_EXPIRED = Farewell(4005, "the token has expired")
NO_PONG = Farewell(4012, "no pong")
RESTARTING = Farewell(4001, "restarting", (0, 8_000))
CAN_NOT_RECOVER = Farewell(4001, "what was missed can't be read now", (1_000, 5_000))

MessageId = Annotated[int | str, Field(union_mode="left_to_right")]
Channel = Annotated[str, Field(min_length=1, max_length=256)]


class BadFrame(Exception):
    """A frame that is not a message at all; the socket is closed for it."""


# --- from the client -------------------------------------------------------------------------------------


class ClientMessage(BaseModel):
    """What all messages of a client have; `id` comes back with the reply."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    id: Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[str, Field(max_length=64)] | None = None


class Authenticate(ClientMessage):
    """Say who one is; with `since`, the automatic channels resume from there."""

    type: Literal["authenticate"]
    token: str
    features: list[str] = Field(default_factory=list, max_length=32)
    since: dict[str, int] | None = None


class Subscribe(ClientMessage):
    """Ask for a channel; with `since`, for what was missed too."""

    type: Literal["subscribe"]
    channel: Channel
    since: dict[str, int] | None = None


class Unsubscribe(ClientMessage):
    """Give a channel up."""

    type: Literal["unsubscribe"]
    channel: Channel


class Refresh(ClientMessage):
    """Go on with a newer token of the same user."""

    type: Literal["refresh"]
    token: str


class Signal(ClientMessage):
    """Tell the others on a channel something that is not kept."""

    type: Literal["signal"]
    channel: Channel
    kind: str = Field(max_length=32)


class Ping(ClientMessage):
    """Ask for a pong."""

    type: Literal["ping"] = "ping"


class Pong(ClientMessage):
    """Answer a ping."""

    type: Literal["pong"] = "pong"


Incoming = Authenticate | Subscribe | Unsubscribe | Refresh | Signal | Ping | Pong
_INCOMING: TypeAdapter[Incoming] = TypeAdapter(Annotated[Incoming, Field(discriminator="type")])


class Refused(Exception):
    """A message that is understood as far as that it can be answered with an error."""

    def __init__(self, message_id: int | str | None, code: str, detail: str) -> None:
        super().__init__(detail)
        self.message_id = message_id
        self.code = code
        self.detail = detail


def parse(text: str) -> Incoming:
    """Read a text frame. Raises `BadFrame` if it is no message at all, `Refused` if it is a wrong one."""
    if len(text) > MAX_MESSAGE_BYTES or len(text.encode("utf-8", "replace")) > MAX_MESSAGE_BYTES:
        raise BadFrame(f"a message has at most {MAX_MESSAGE_BYTES} bytes")
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        raise BadFrame("not JSON") from None
    if not isinstance(value, dict):
        raise BadFrame("a message is a JSON object")
    try:
        return _INCOMING.validate_python(value)
    except ValidationError as error:
        raise _refused(value, error) from None


def read_frame(data: str | bytes, *, batch: bool) -> list[Incoming | Refused]:
    """The messages of a frame."""
    del batch
    if isinstance(data, bytes):
        raise BadFrame("messages are text frames")
    try:
        return [parse(data)]
    except Refused as refused:
        return [refused]


def _refused(value: dict[str, Any], error: ValidationError) -> Refused:
    message_id = value.get("id")
    if isinstance(message_id, bool) or not isinstance(message_id, int | str) or len(str(message_id)) > 64:
        message_id = None
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "union_tag_invalid":
        return Refused(message_id, "unknown_type", "there is no message of this type")
    if first["type"] == "union_tag_not_found":
        return Refused(message_id, "malformed", "a message has a type")
    # The first part of a location is the message's type, which the union was told apart by.
    where = ".".join(str(part) for part in first["loc"][1:])
    return Refused(message_id, "malformed", f"{where}: {first['msg']}"[:300])


def read_since(since: Mapping[str, int], partitions: int) -> dict[int, int]:
    """The positions of a `since`. Raises `Malformed`, also for a partition that the log doesn't have."""
    positions = positions_from_json(since)
    unknown = [partition for partition in positions if partition >= partitions]
    if unknown:
        raise Malformed(f"the log has no partition {unknown[0]}")
    return {partition: offset for partition, offset in positions.items() if offset >= 0}


# --- from the server -------------------------------------------------------------------------------------


class ServerMessage(BaseModel):
    """What all messages of the server have: the `id` of the message that they answer, if they do."""

    model_config = ConfigDict(frozen=True)

    id: MessageId | None = None

    def encode(self) -> str:
        """The message as a text frame; what is None is left out."""
        return self.model_dump_json(exclude_none=True)


class Limits(BaseModel):
    """What a socket may do at most."""

    message_bytes: int = MAX_MESSAGE_BYTES
    subscriptions: int = MAX_SUBSCRIPTIONS
    missed: int = MAX_MISSED


class Authenticated(ServerMessage):
    """The socket speaks for `user` and has the automatic channels; `missed` updates come next."""

    type: Literal["authenticated"] = "authenticated"
    user: str
    session: str
    expires_in: int
    ping_s: int = PING_S
    channels: list[str]
    positions: dict[str, int]
    missed: int = 0
    limits: Limits = Limits()


class Subscribed(ServerMessage):
    """The socket has the channel; `missed` updates come next. Without `id`: a new list of the user's."""

    type: Literal["subscribed"] = "subscribed"
    channel: str
    positions: dict[str, int]
    missed: int = 0


class Unsubscribed(ServerMessage):
    """The socket no longer has the channel. Without `id`: it may not be seen any longer."""

    type: Literal["unsubscribed"] = "unsubscribed"
    channel: str


class Refreshed(ServerMessage):
    """The newer token holds."""

    type: Literal["refreshed"] = "refreshed"
    expires_in: int


class Error(ServerMessage):
    """A message of the client was refused."""

    type: Literal["error"] = "error"
    code: str
    message: str


class Resync(ServerMessage):
    """More was missed than is sent: read a snapshot; what is new comes all the same."""

    type: Literal["resync"] = "resync"
    channel: str
    reason: str


class Goodbye(ServerMessage):
    """The socket is about to be closed; come back after a time drawn from the window."""

    type: Literal["goodbye"] = "goodbye"
    code: int
    reason: str
    retry_after_ms: tuple[int, int]


PING = Outgoing(Ping().model_dump_json(exclude_none=True).encode())
PONG = Outgoing(Pong().model_dump_json(exclude_none=True).encode())


def pong_to(ping: Ping) -> Outgoing:
    """The answer to a ping."""
    if ping.id is None:
        return PONG
    return Outgoing(Pong(id=ping.id).model_dump_json(exclude_none=True).encode())


def goodbye(farewell: Farewell) -> Outgoing:
    """The message that precedes a close which invites to come back."""
    message = Goodbye(code=farewell.code, reason=farewell.reason, retry_after_ms=farewell.retry_after_ms)
    return Outgoing(message.encode().encode())


def positions_json(positions: Positions) -> dict[str, int]:
    """Positions as messages carry them: partitions without anything are left out."""
    return positions_to_json({p: offset for p, offset in positions.items() if offset >= 0})
