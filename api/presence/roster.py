"""The roster: the users on each channel, as reported by each node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView
from typing import NamedTuple

EVERYWHERE = ""
"""The pseudo-channel of every socket: no channel has this name."""


class UserCounts(NamedTuple):
    """The number of a user's sockets on a channel, and how many of them report viewing it."""

    connections: int
    viewing: int


ABSENT = UserCounts(0, 0)


class Entry(NamedTuple):
    """The report of one node about one user on one channel."""

    channel: str
    user: str
    connections: int
    viewing: int


class UserRoster:
    """The entries of all nodes. `changed` contains the changed channels until it is cleared."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[str, dict[str, UserCounts]]] = {}
        self._sizes: dict[str, int] = {}
        self.changed: dict[str, None] = {}

    def set(self, node: str, channel: str, user: str, counts: UserCounts) -> None:
        """Set the number of a node's sockets of a user on a channel; remove the entry if it is zero."""
        if counts == self.of(node, channel, user):
            return
        self.changed[channel] = None
        if counts.connections == 0:
            self._remove(node, channel, user)
            return
        nodes = self._channels.setdefault(channel, {}).setdefault(user, {})
        if node not in nodes:
            self._sizes[node] = self.size(node) + 1
        nodes[node] = counts

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
        """Replace all entries of a node."""
        new = {(entry.channel, entry.user): UserCounts(entry.connections, entry.viewing) for entry in entries}
        for entry in list(self.entries(node)):
            if (entry.channel, entry.user) not in new:
                self.set(node, entry.channel, entry.user, ABSENT)
        for (channel, user), counts in new.items():
            self.set(node, channel, user, counts)

    def size(self, node: str) -> int:
        """Return the number of entries of a node."""
        return self._sizes.get(node, 0)

    def entries(self, node: str) -> Iterator[Entry]:
        """Yield all entries of a node."""
        for channel, users in self._channels.items():
            for user, nodes in users.items():
                if node in nodes:
                    yield Entry(channel, user, *nodes[node])

    def of(self, node: str, channel: str, user: str) -> UserCounts:
        """Return a node's entry for a user on a channel."""
        return self._nodes(channel, user).get(node, ABSENT)

    def users(self, channel: str) -> KeysView[str]:
        """Return the users on a channel, in the order of their arrival."""
        return self._channels.get(channel, {}).keys()

    def total(self, channel: str, user: str) -> UserCounts:
        """Return the sum of a user's entries on a channel, over all nodes."""
        nodes = self._nodes(channel, user).values()
        if len(nodes) == 1:
            return next(iter(nodes))
        return UserCounts(
            sum(counts.connections for counts in nodes), sum(counts.viewing for counts in nodes)
        )

    def node_count(self, channel: str, user: str) -> int:
        """Return the number of nodes on which a user is on a channel."""
        return len(self._nodes(channel, user))

    def _nodes(self, channel: str, user: str) -> dict[str, UserCounts]:
        return self._channels.get(channel, {}).get(user, {})
