"""What nodes tell each other on `task-signals`: the messages, and how they are written (msgpack).

A node says who it is (`node`) and since when it runs (`incarnation`). What it says of who is connected is
numbered (`sequence`), so that another one notices that it missed something, and asks for all of it.
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
"""More than a message of the most entries has, with the longest names."""
MAX_ENTRIES = 500
"""In one message."""
SignalKind = Literal["viewing", "typing", "cursor"]
SIGNAL_KINDS: tuple[SignalKind, ...] = get_args(SignalKind)

Name = Annotated[str, Field(max_length=256)]
Number = Annotated[int, Field(ge=0, le=2**63)]
Entries = Annotated[tuple[Entry, ...], Field(max_length=MAX_ENTRIES)]


@dataclass(frozen=True, slots=True)
class Alive:
    """A heartbeat: the node is there, and this was the last change that it told."""

    sequence: Number
    type: Literal["alive"] = "alive"


@dataclass(frozen=True, slots=True)
class Changed:
    """Some entries have changed; each is told as it is now."""

    sequence: Number
    entries: Entries
    type: Literal["changed"] = "changed"


@dataclass(frozen=True, slots=True)
class Roster:
    """Part number `part`, from 0, of all entries of the node as they were after a change."""

    sequence: Number
    part: Number
    parts: Number
    entries: Entries
    type: Literal["roster"] = "roster"


@dataclass(frozen=True, slots=True)
class Ask:
    """A node, or every other one if it is None, is asked for its roster."""

    of: Name | None
    type: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True)
class Signalled:
    """A socket has sent a signal."""

    channel: Name
    user: Name
    session: Name
    kind: SignalKind
    data: dict[str, Any]
    type: Literal["signal"] = "signal"


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The node stops; nobody is on it any more."""

    type: Literal["goodbye"] = "goodbye"


NodeMessage = Alive | Changed | Roster | Ask | Signalled | Goodbye


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, slots=True)
class Envelope:
    """A message, and who says it. A later incarnation of a node has a larger number."""

    node: Name
    incarnation: Number
    message: Annotated[NodeMessage, Field(discriminator="type")]
    version: Literal[1] = VERSION


_ENVELOPE = TypeAdapter(Envelope)


def encode(envelope: Envelope) -> bytes:
    """The bytes on Kafka."""
    value = asdict(envelope)
    if "entries" in value["message"]:
        # To msgpack, a named tuple is none.
        value["message"]["entries"] = [tuple(entry) for entry in value["message"]["entries"]]
    return ormsgpack.packb(value)


def decode(value: bytes) -> Envelope:
    """Read a message. Raises `Malformed`, also for one of a later version."""
    if len(value) > MAX_MESSAGE_BYTES:
        raise Malformed("too large for a message of a node")
    try:
        return _ENVELOPE.validate_python(ormsgpack.unpackb(value))
    except (ormsgpack.MsgpackDecodeError, ValidationError) as error:
        raise Malformed(f"not a message of a node: {error}") from None
