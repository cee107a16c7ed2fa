"""The sockets of this node, and their channels: present, listening, viewing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from api.presence.roster import EVERYWHERE, UserCounts, UserRoster
from app.channels import Channel

MAX_OWN_ENTRIES = 100_000
"""The most users on channels of this node; beyond it, users are connected but not present."""


@dataclass(slots=True)
class LocalSocket:
    """A socket; `channels` maps to True if it is present there, to False if it was left out."""

    user: str
    channels: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class LocalChannel:
    """The sockets of this node that listen to a channel, the new ones, and the users announced to them."""

    listeners: dict[str, None] = field(default_factory=dict)
    fresh: dict[str, None] = field(default_factory=dict)
    viewing: dict[str, None] = field(default_factory=dict)
    announced: dict[str, None] = field(default_factory=dict)


class LocalSockets:
    """Maintains the entries of this node in the roster. `unpublished` contains those that changed."""

    def __init__(self, node: str, user_roster: UserRoster) -> None:
        self._node = node
        self._user_roster = user_roster
        self._sockets: dict[str, LocalSocket] = {}
        self.channels: dict[str, LocalChannel] = {}
        """The channels with listeners."""
        self.unpublished: dict[tuple[str, str], None] = {}
        """(channel, user), in the order of the first change."""
        self.shed = 0
        """The number of users on channels that were left out because of the bound."""

    def enter(self, session: str, user: str) -> None:
        """Add a socket of a user."""
        self._sockets[session] = LocalSocket(user)
        self._attend(session, EVERYWHERE)

    def attend(self, session: str, channels: Iterable[Channel]) -> None:
        """Add channels that a socket has without a subscription: it is present, but receives no presence."""
        if session in self._sockets:
            for channel in filter(has_presence, channels):
                self._attend(session, channel)

    def subscribe(self, session: str, channel: Channel) -> None:
        """Add a channel that a socket subscribed to: it is present, and receives the presence of others."""
        if session not in self._sockets or not has_presence(channel):
            return
        self._attend(session, channel)
        local = self.channels.setdefault(channel, LocalChannel())
        local.listeners[session] = None
        local.fresh[session] = None
        self._user_roster.changed[channel] = None

    def remove_channel(self, session: str, channel: str) -> None:
        """Remove a channel of a socket, which views it no longer."""
        socket, local = self._sockets[session], self.channels.get(channel)
        if local is not None and session in local.listeners:
            del local.listeners[session]
            local.fresh.pop(session, None)
            if not local.listeners:
                del self.channels[channel]
        if socket.channels.pop(channel):
            self._shift(channel, socket.user, connections=-1)

    def remove(self, session: str) -> None:
        """Remove a closed socket, which has no channels left."""
        del self._sockets[session]

    def has(self, session: str, channel: str) -> bool:
        """Return True if a socket has a channel."""
        socket = self._sockets.get(session)
        return socket is not None and channel in socket.channels

    def channels_of(self, session: str) -> list[str]:
        """Return the channels of a socket."""
        socket = self._sockets.get(session)
        return [] if socket is None else list(socket.channels)

    def user_of(self, session: str) -> str:
        """Return the user of a socket."""
        return self._sockets[session].user

    def is_listening(self, session: str, channel: str) -> bool:
        """Return True if a socket subscribed to a channel."""
        local = self.channels.get(channel)
        return local is not None and session in local.listeners

    def view(self, session: str, channel: str, *, on: bool) -> bool:
        """Record whether a listening socket views a channel; return True if that changed."""
        socket, local = self._sockets[session], self.channels[channel]
        if on == (session in local.viewing) or not socket.channels[channel]:
            return False
        if on:
            local.viewing[session] = None
        else:
            del local.viewing[session]
        self._shift(channel, socket.user, viewing=1 if on else -1)
        return True

    def changed_channels(self) -> Iterator[tuple[str, LocalChannel]]:
        """Yield the channels with listeners whose users changed since the last call."""
        changed = list(self._user_roster.changed)
        self._user_roster.changed.clear()
        for channel in changed:
            local = self.channels.get(channel)
            if local is not None:
                yield channel, local

    def _attend(self, session: str, channel: str) -> None:
        socket = self._sockets[session]
        if channel in socket.channels:
            return
        is_new = self._user_roster.of(self._node, channel, socket.user).connections == 0
        counted = not is_new or self._user_roster.size(self._node) < MAX_OWN_ENTRIES
        socket.channels[channel] = counted
        if counted:
            self._shift(channel, socket.user, connections=1)
        else:
            self.shed += 1

    def _shift(self, channel: str, user: str, *, connections: int = 0, viewing: int = 0) -> None:
        before = self._user_roster.of(self._node, channel, user)
        after = UserCounts(before.connections + connections, before.viewing + viewing)
        self._user_roster.set(self._node, channel, user, after)
        self.unpublished[channel, user] = None


def has_presence(channel: Channel) -> bool:
    """Return True if channels of this kind have presence."""
    return channel.kind in {"task", "list"}
