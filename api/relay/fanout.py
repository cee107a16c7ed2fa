"""One message to many sockets: a short loop over their descriptors, which is where a busy node's time goes.

What is needed to write to a socket lies scattered in memory, and is cold when the turn comes to a thousand of
them. So who gets what some channels carry is gathered once, for as long as nothing changes about any of them.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from api.protocol.frames import Codec, EncodedMessage, Sendable
from api.telemetry.counters import Traffic

MANY = 16
"""For fewer subscribers it isn't worth while."""
MAX_AUDIENCES = 64


class RawSocket(Protocol):
    """A socket that may be written to past all that queues, while nothing does."""

    codec: Codec
    traffic: Traffic
    """What is written is counted there."""

    @property
    def descriptor(self) -> int:
        """What to write to; -1 while something waits. Whoever gathered it is told when it changes."""

    def write_rest(self, frames: bytes) -> None:
        """Write what the network did not take."""


class Receiver(Protocol):
    """Who gets messages: past everything if that can be done just now, or else by a push."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """Its socket, if that may be written to past everything."""

    @property
    def push(self) -> Callable[[Sendable], object]:
        """Sends it something."""


@dataclass(frozen=True, slots=True)
class _Alike:
    """Sockets that take a message in the same form, and are counted together."""

    codec: Codec
    traffic: Traffic
    sockets: list[RawSocket]
    descriptors: array[int]

    def write(self, message: EncodedMessage) -> None:
        frames = message.form(self.codec)
        size, write, taken = len(frames), os.write, 0
        for descriptor in self.descriptors:
            try:
                taken = write(descriptor, frames)
            except OSError:
                taken = 0  # What is wrong, the transport finds out.
            if taken != size:
                self._socket(descriptor).write_rest(frames[taken:])
        count = len(self.descriptors)
        self.traffic.messages += count * message.count
        self.traffic.size_bytes += count * size

    def _socket(self, descriptor: int) -> RawSocket:
        return self.sockets[self.descriptors.index(descriptor)]


class Broadcast:
    """Some receivers, each of which gets every message."""

    def __init__(self, receivers: Sequence[Receiver]) -> None:
        alike: dict[tuple[Codec, int], _Alike] = {}
        self._others: list[Callable[[Sendable], object]] = []
        self.size = len(receivers)
        """How many they are."""
        for receiver in receivers:
            raw_socket = receiver.raw_socket
            if raw_socket is None or raw_socket.descriptor < 0:
                self._others.append(receiver.push)
                continue
            key = raw_socket.codec, id(raw_socket.traffic)
            same = alike.get(key)
            if same is None:
                same = alike[key] = _Alike(raw_socket.codec, raw_socket.traffic, [], array("i"))
            same.sockets.append(raw_socket)
            same.descriptors.append(raw_socket.descriptor)
        self._alike = list(alike.values())

    def push(self, message: EncodedMessage) -> None:
        """Send to all of them; never waits."""
        for same in self._alike:
            same.write(message)
        for push in self._others:
            push(message)


Recipients = Sequence[tuple[str, Broadcast]]
"""Channels, and who gets under each what they carry together."""


class RecipientCache:
    """The audiences of some sets of channels. Whoever changes anything about a subscriber `clear`s it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Recipients | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(
        self, channels: tuple[str, ...], gather: Callable[[tuple[str, ...]], Recipients | None]
    ) -> Recipients | None:
        """An audience, from the second time on that it is asked for; None if it can't be gathered now."""
        if channels not in self._known:
            if len(self._known) >= MAX_AUDIENCES:
                self._known.clear()
            self._known[channels] = None
            return None
        audience = self._known[channels]
        if audience is None:
            audience = self._known[channels] = gather(channels)
        return audience

    def clear(self) -> None:
        """Forget them all."""
        self._known.clear()
