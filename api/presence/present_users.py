"""The users who are connected, and those on each channel, on all nodes. Pure."""

from __future__ import annotations

from itertools import islice

from api.presence.events import Connected, Effect, Notify, PresenceChange, PresentUser
from api.presence.local_sockets import LocalChannel
from api.presence.roster import EVERYWHERE, UserRoster
from api.presence.typing_users import TypingUsers

MAX_ANNOUNCED = 100
"""The most users who are announced on a channel; others are announced as those leave."""


class PresentUsers:
    """Queries of the roster, and their announcement to the listeners of this node.

    Each channel with listeners has a list of announced users: nobody is announced twice without having left
    in between, and a new listener receives that list first.
    """

    def __init__(self, user_roster: UserRoster, typing: TypingUsers) -> None:
        self._user_roster = user_roster
        self._typing = typing

    def present(self, channel: str, limit: int = MAX_ANNOUNCED) -> tuple[PresentUser, ...]:
        """Return the users on a channel, on all nodes; the first ones, if there are more."""
        return tuple(self._present(channel, user) for user in islice(self._user_roster.users(channel), limit))

    def present_count(self, channel: str) -> int:
        """Return the number of users on a channel, on all nodes."""
        return len(self._user_roster.users(channel))

    def connected_users(self) -> list[str]:
        """Return the users who are connected to any node, by name."""
        return sorted(self._user_roster.users(EVERYWHERE))

    def connected(self, user: str) -> Connected:
        """Return a user's number of connections, and of nodes."""
        connections = self.connection_count(user)
        return Connected(user, connections, self._user_roster.node_count(EVERYWHERE, user))

    def connection_count(self, user: str) -> int:
        """Return the number of a user's sockets, on all nodes."""
        return self._user_roster.total(EVERYWHERE, user).connections

    def is_on(self, channel: str, user: str) -> bool:
        """Return True if a user is on a channel, on any node."""
        return self._user_roster.total(channel, user).connections > 0

    def announce(self, channel: str, local: LocalChannel) -> list[Effect]:
        """Send joined and departed users to listeners, and the present users to new listeners."""
        there = self._user_roster.users(channel)
        gone: list[str] = []
        if not local.announced.keys() <= there:
            gone = [user for user in local.announced if user not in there]
        for user in gone:
            del local.announced[user]
        joined: tuple[str, ...] = ()
        if len(local.announced) < min(len(there), MAX_ANNOUNCED):
            wanted = MAX_ANNOUNCED - len(local.announced)
            joined = tuple(islice((user for user in there if user not in local.announced), wanted))
            local.announced.update(dict.fromkeys(joined))
        effects: list[Effect] = []
        listeners = tuple(session for session in local.listeners if session not in local.fresh)
        if listeners and (joined or gone):
            came = tuple(self._present(channel, user) for user in joined)
            went = tuple(PresentUser(user, 0, viewing=False, typing=False) for user in gone)
            effects.append(Notify(PresenceChange(channel, joined=came, left=went), listeners))
        if local.fresh:
            present = tuple(self._present(channel, user) for user in local.announced)
            effects.append(Notify(PresenceChange(channel, present=present), tuple(local.fresh)))
            local.fresh.clear()
        return effects

    def _present(self, channel: str, user: str) -> PresentUser:
        counts = self._user_roster.total(channel, user)
        typing = self._typing.is_typing(channel, user)
        return PresentUser(user, counts.connections, counts.viewing > 0, typing)
