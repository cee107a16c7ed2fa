"""Messages of presence to sockets and to other nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from api.presence.node_messages import (
    NodeMessage,
    SignalKind,
)

# --- effects -------------------------------------------------------------------------------------------


class PresentUser(NamedTuple):
    """A user on a channel, with the number of sockets."""

    user: str
    connections: int
    viewing: bool
    typing: bool


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """The users on a channel: all `present`, or since then those who `joined` and who `left`."""

    channel: str
    present: tuple[PresentUser, ...] | None = None
    joined: tuple[PresentUser, ...] = ()
    left: tuple[PresentUser, ...] = ()


@dataclass(frozen=True, slots=True)
class PresenceSignal:
    """A signal that a socket of a user sent."""

    channel: str
    kind: SignalKind
    data: Mapping[str, Any]
    user: str
    session: str


PresenceNotification = PresenceChange | PresenceSignal


@dataclass(frozen=True, slots=True)
class Notify:
    """The effect of sending a message to sockets of this node; all receive the same object."""

    message: PresenceNotification
    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """The effect of sending a message to the other nodes."""

    message: NodeMessage


Effect = Notify | Publish


@dataclass(frozen=True, slots=True)
class Connected:
    """A connected user, with the number of nodes."""

    user: str
    connections: int
    nodes: int
