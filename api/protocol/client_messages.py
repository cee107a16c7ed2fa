"""The typed messages of clients. `decoding.py` turns frames into messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError, to_json

from api.protocol.limits import MAX_SIGNAL_BYTES
from api.protocol.replay_options import ReplayOptions, Speed, Time
from app.channels import Channel
from app.errors import Malformed
from app.positions import positions_from_json

SUBPROTOCOL = "tasktape.v1.json"
PACKED_SUBPROTOCOL = "tasktape.v1.msgpack"
SUBPROTOCOLS = (SUBPROTOCOL, PACKED_SUBPROTOCOL)
BATCH = "batch"
"""The feature of a client that sends and accepts arrays of messages."""

ClientId = Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[str, Field(max_length=64)]
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
    """Subscribe to a channel; with `since`, also get missed updates. `replay` is of channels `replay:…`."""

    type: Literal["subscribe"]
    channel: Channel
    since: dict[str, int] | None = None
    replay: ReplayOptions | None = None


class Control(ClientMessage):
    """Control a replay; `seek` needs `at`, and `speed` needs `speed`."""

    type: Literal["control"]
    channel: Channel
    action: Literal["pause", "resume", "step", "seek", "speed"]
    at: Time | None = None
    speed: Speed | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.action == "seek" and self.at is None:
            raise PydanticCustomError("missing", "seek needs at")
        if self.action == "speed" and self.speed is None:
            raise PydanticCustomError("missing", "speed needs speed")
        return self


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


Incoming = Authenticate | Subscribe | Control | Unsubscribe | Refresh | Signal | Ping | Pong


def read_since(since: Mapping[str, int], partitions: int) -> dict[int, int]:
    """Parse the positions of a `since`. Raise `Malformed`, also for a partition that the log lacks."""
    positions = positions_from_json(since)
    unknown = [partition for partition in positions if partition >= partitions]
    if unknown:
        raise Malformed(f"the log has no partition {unknown[0]}")
    return {partition: offset for partition, offset in positions.items() if offset >= 0}
