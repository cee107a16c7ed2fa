"""Fan-out of one message to many sockets: a short loop over their descriptors, a busy node's hottest loop.

The data for writing to a socket is scattered in memory, and not in the CPU's caches when a thousand of them
are written in turn. So the recipients of some channels are gathered once, and kept until any of them changes.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from api.protocol.frames import Codec, Sendable
from api.telemetry.counters import Traffic
from app.channels import Channel

MANY = 16
"""For fewer subscribers it is not worth the cost."""
MAX_CACHED = 64


class RawSocket(Protocol):
    """A socket that may be written to directly, while nothing is queued."""

    codec: Codec
    traffic: Traffic
    """The counters for what is written."""

    @property
    def descriptor(self) -> int:
        """Return the descriptor to write to; -1 while something is queued. Changes clear the caches."""

    def write_rest(self, frames: bytes) -> None:
        """Write the remainder that the kernel did not accept."""


class Receiver(Protocol):
    """A recipient of messages: written to directly if possible, otherwise by `push`."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """Return its socket, if that may be written to directly."""

    @property
    def push(self) -> Callable[[Sendable], object]:
        """Return the function that sends messages to it."""


@dataclass(frozen=True, slots=True)
class _SocketGroup:
    """Sockets with the same encoding and the same counters."""

    codec: Codec
    traffic: Traffic
    sockets: list[RawSocket]
    descriptors: array[int]

    def write(self, message: Sendable) -> None:
        frames = message.form(self.codec)
        size, write, taken = len(frames), os.write, 0
        for descriptor in self.descriptors:
            try:
                taken = write(descriptor, frames)
            except OSError:
                taken = 0  # The transport finds the error.
            if taken != size:
                self._socket(descriptor).write_rest(frames[taken:])
        count = len(self.descriptors)
        self.traffic.messages += count * message.count
        self.traffic.size_bytes += count * size

    def _socket(self, descriptor: int) -> RawSocket:
        return self.sockets[self.descriptors.index(descriptor)]


class Broadcast:
    """Receivers that all get every message."""

    def __init__(self, receivers: Sequence[Receiver]) -> None:
        groups: dict[tuple[Codec, int], _SocketGroup] = {}
        self._others: list[Callable[[Sendable], object]] = []
        self.size = len(receivers)
        """The number of receivers."""
        for receiver in receivers:
            raw_socket = receiver.raw_socket
            if raw_socket is None or raw_socket.descriptor < 0:
                self._others.append(receiver.push)
                continue
            key = raw_socket.codec, id(raw_socket.traffic)
            group = groups.get(key)
            if group is None:
                group = groups[key] = _SocketGroup(raw_socket.codec, raw_socket.traffic, [], array("i"))
            group.sockets.append(raw_socket)
            group.descriptors.append(raw_socket.descriptor)
        self._groups = list(groups.values())

    def push(self, message: Sendable) -> None:
        """Send to all receivers; never wait."""
        for group in self._groups:
            group.write(message)
        for push in self._others:
            push(message)


Recipients = Sequence[tuple[Channel, Broadcast]]
"""Channels, and the receivers under each, of updates in these channels together."""


class RecipientCache:
    """A cache of the recipients of sets of channels. Any change of a subscriber must `clear` it."""

    def __init__(self) -> None:
        self._known: dict[tuple[Channel, ...], Recipients | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(
        self, channels: tuple[Channel, ...], gather: Callable[[tuple[Channel, ...]], Recipients | None]
    ) -> Recipients | None:
        """Return the recipients, from the second request on; None if they cannot be gathered now."""
        if channels not in self._known:
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[channels] = None
            return None
        recipients = self._known[channels]
        if recipients is None:
            recipients = self._known[channels] = gather(channels)
        return recipients

    def clear(self) -> None:
        """Remove all entries."""
        self._known.clear()
