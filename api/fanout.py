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

from api.counters import Traffic
from api.frames import Codec, Outgoing, Sendable

MANY = 16
"""For fewer subscribers it isn't worth while."""
MAX_AUDIENCES = 64


class Direct(Protocol):
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
    def direct(self) -> Direct | None:
        """Its socket, if that may be written to past everything."""

    @property
    def push(self) -> Callable[[Sendable], object]:
        """Sends it something."""


@dataclass(frozen=True, slots=True)
class _Alike:
    """Sockets that take a message in the same form, and are counted together."""

    codec: Codec
    traffic: Traffic
    sockets: list[Direct]
    descriptors: array[int]

    def write(self, message: Outgoing) -> None:
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

    def _socket(self, descriptor: int) -> Direct:
        return self.sockets[self.descriptors.index(descriptor)]


class Fanout:
    """Some receivers, each of which gets every message."""

    def __init__(self, receivers: Sequence[Receiver]) -> None:
        alike: dict[tuple[Codec, int], _Alike] = {}
        self._others: list[Callable[[Sendable], object]] = []
        self.size = len(receivers)
        """How many they are."""
        for receiver in receivers:
            direct = receiver.direct
            if direct is None or direct.descriptor < 0:
                self._others.append(receiver.push)
                continue
            key = direct.codec, id(direct.traffic)
            same = alike.get(key)
            if same is None:
                same = alike[key] = _Alike(direct.codec, direct.traffic, [], array("i"))
            same.sockets.append(direct)
            same.descriptors.append(direct.descriptor)
        self._alike = list(alike.values())

    def push(self, message: Outgoing) -> None:
        """Send to all of them; never waits."""
        for same in self._alike:
            same.write(message)
        for push in self._others:
            push(message)


Audience = Sequence[tuple[str, Fanout]]
"""Channels, and who gets under each what they carry together."""


class Audiences:
    """The audiences of some sets of channels. Whoever changes anything about a subscriber `clear`s it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Audience | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(
        self, channels: tuple[str, ...], gather: Callable[[tuple[str, ...]], Audience | None]
    ) -> Audience | None:
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
