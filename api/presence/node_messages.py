"""Messages between nodes on `task-signals`, and their encoding (msgpack).

A message contains the node's name (`node`) and its start number (`incarnation`). Messages about connected
users are numbered (`sequence`), so that another node detects a missed message and asks for all entries.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Literal, get_args

import ormsgpack
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from api.presence.roster import Entry
from app.errors import Malformed

VERSION: Final = 1
MAX_MESSAGE_BYTES = 768 * 1024
"""Larger than a message with the most entries and the longest names."""
MAX_ENTRIES = 500
"""The most entries in one message."""
SignalKind = Literal["viewing", "typing", "cursor"]
SIGNAL_KINDS: tuple[SignalKind, ...] = get_args(SignalKind)

Name = Annotated[str, Field(max_length=256)]
Number = Annotated[int, Field(ge=0, le=2**63)]
Entries = Annotated[tuple[Entry, ...], Field(max_length=MAX_ENTRIES)]


@dataclass(frozen=True, slots=True)
class Alive:
    """A heartbeat: the node is alive, with the number of its latest change."""

    sequence: Number
    type: Literal["alive"] = "alive"


@dataclass(frozen=True, slots=True)
class Changed:
    """Changed entries, each with its current state."""

    sequence: Number
    entries: Entries
    type: Literal["changed"] = "changed"


@dataclass(frozen=True, slots=True)
class Roster:
    """Part number `part`, from 0, of all entries of the node as of a change."""

    sequence: Number
    part: Number
    parts: Number
    entries: Entries
    type: Literal["roster"] = "roster"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for the roster of a node, or of every other node if it is None."""

    of: Name | None
    type: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal that a socket has sent."""

    channel: Name
    user: Name
    session: Name
    kind: SignalKind
    data: dict[str, Any]
    type: Literal["signal"] = "signal"


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The node stops; all its users are gone."""

    type: Literal["goodbye"] = "goodbye"


NodeMessage = Alive | Changed | Roster | Ask | Signalled | Goodbye


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with its sender. A later incarnation of a node has a larger number."""

    node: Name
    incarnation: Number
    message: Annotated[NodeMessage, Field(discriminator="type")]
    version: Literal[1] = VERSION


_ENVELOPE = TypeAdapter(Envelope)


def encode(envelope: Envelope) -> bytes:
    """Encode a message for Kafka."""
    value = asdict(envelope)
    if "entries" in value["message"]:
        # msgpack does not encode named tuples.
        value["message"]["entries"] = [tuple(entry) for entry in value["message"]["entries"]]
    return ormsgpack.packb(value)


def decode(value: bytes) -> Envelope:
    """Decode a message. Raise `Malformed`, also for a message of a later version."""
    if len(value) > MAX_MESSAGE_BYTES:
        raise Malformed("too large for a message of a node")
    try:
        return _ENVELOPE.validate_python(ormsgpack.unpackb(value))
    except (ormsgpack.MsgpackDecodeError, ValidationError) as error:
        raise Malformed(f"not a message of a node: {error}") from None
