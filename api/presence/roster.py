"""The roll: who is where, by what each node says of itself. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

EVERYWHERE = ""
"""Stands for the channel that every socket is on: no channel is called so."""


class Here(NamedTuple):
    """How many sockets of a user are on a channel, and how many of them say that it is being looked at."""

    connections: int
    viewing: int


NOT_HERE = Here(0, 0)


class Entry(NamedTuple):
    """What one node says of one user on one channel."""

    channel: str
    user: str
    connections: int
    viewing: int


class UserRoster:
    """The entries of all nodes. `changed` are the channels on which something has, until it is cleared."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[str, dict[str, Here]]] = {}
        self._sizes: dict[str, int] = {}
        self.changed: dict[str, None] = {}

    def set(self, node: str, channel: str, user: str, here: Here) -> None:
        """Let a node say how many sockets of a user it has on a channel; with none the entry goes."""
        if here == self.of(node, channel, user):
            return
        self.changed[channel] = None
        if here.connections == 0:
            self._remove(node, channel, user)
            return
        nodes = self._channels.setdefault(channel, {}).setdefault(user, {})
        if node not in nodes:
            self._sizes[node] = self.size(node) + 1
        nodes[node] = here

    def _remove(self, node: str, channel: str, user: str) -> None:
        users = self._channels[channel]
        del users[user][node]
        if not users[user]:
            del users[user]
        if not users:
            del self._channels[channel]
        self._sizes[node] -= 1
        if not self._sizes[node]:
            del self._sizes[node]

    def replace(self, node: str, entries: Iterable[Entry]) -> None:
        """Let a node say all that there is to say of it."""
        new = {(entry.channel, entry.user): Here(entry.connections, entry.viewing) for entry in entries}
        for entry in list(self.entries(node)):
            if (entry.channel, entry.user) not in new:
                self.set(node, entry.channel, entry.user, NOT_HERE)
        for (channel, user), here in new.items():
            self.set(node, channel, user, here)

    def size(self, node: str) -> int:
        """How many entries a node has."""
        return self._sizes.get(node, 0)

    def entries(self, node: str) -> Iterator[Entry]:
        """All that a node says."""
        for channel, users in self._channels.items():
            for user, nodes in users.items():
                if node in nodes:
                    yield Entry(channel, user, *nodes[node])

    def of(self, node: str, channel: str, user: str) -> Here:
        """What a node says of a user on a channel."""
        return self._nodes(channel, user).get(node, NOT_HERE)

    def users(self, channel: str) -> Collection[str]:
        """Who is on a channel, in the order in which they came."""
        return self._channels.get(channel, {}).keys()

    def total(self, channel: str, user: str) -> Here:
        """A user on a channel, over all nodes."""
        nodes = self._nodes(channel, user).values()
        if len(nodes) == 1:
            return next(iter(nodes))
        return Here(sum(here.connections for here in nodes), sum(here.viewing for here in nodes))

    def spread(self, channel: str, user: str) -> int:
        """On how many nodes a user is on a channel."""
        return len(self._nodes(channel, user))

    def _nodes(self, channel: str, user: str) -> dict[str, Here]:
        return self._channels.get(channel, {}).get(user, {})
