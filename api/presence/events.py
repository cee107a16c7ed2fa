"""What presence sends to sockets and to other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.presence.node_messages import (
    NodeMessage,
    SignalKind,
)

# --- what comes of it ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PresentUser:
    """A user on a channel, with so many sockets."""

    user: str
    connections: int
    viewing: bool
    typing: bool


@dataclass(frozen=True, slots=True)
class PresenceTold:
    """Who is on a channel: all who are `present`, or since then who `joined` and who `left`."""

    channel: str
    present: tuple[PresentUser, ...] | None = None
    joined: tuple[PresentUser, ...] = ()
    left: tuple[PresentUser, ...] = ()


@dataclass(frozen=True, slots=True)
class SignalTold:
    """What a socket of a user said."""

    channel: str
    kind: SignalKind
    data: Mapping[str, Any]
    user: str
    session: str


Told = PresenceTold | SignalTold


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to sockets of this node, who all get the same."""

    message: Told
    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Send a message to the other nodes."""

    message: NodeMessage


Effect = Tell | Publish


@dataclass(frozen=True, slots=True)
class Connected:
    """A user with sockets, on so many nodes."""

    user: str
    connections: int
    nodes: int
