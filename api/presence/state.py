"""Presence: connected users, the users on each channel, and the signals that they send. Pure.

It reads no clock: times are seconds of any monotonic clock. Methods return effects: `Notify` sends a message
to sockets of this node, `Publish` to the other nodes. Changes of presence are sent with the next `tick`, all
changes since the last one together; signals are sent immediately, after earlier changes.

Each channel with listeners has a list of announced users: nobody is announced twice without having left in
between, and a new listener receives that list first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import ormsgpack

from api.presence.events import (
    Connected,
    Effect,
    Notify,
    PresenceChange,
    PresenceSignal,
    PresentUser,
    Publish,
)
from api.presence.node_messages import (
    MAX_ENTRIES,
    SIGNAL_KINDS,
    Alive,
    Ask,
    Changed,
    Envelope,
    Goodbye,
    Roster,
    SignalKind,
    Signalled,
)
from api.presence.peers import Peers
from api.presence.roster import EVERYWHERE, Entry, UserCounts, UserRoster
from api.presence.throttle import Throttle
from api.presence.typing_users import TypingUsers, Typist
from app.errors import Malformed, NotFound

HEARTBEAT_S = 5.0
TTL_S = 15.0
TYPING_EVERY_S = 1.0
CURSOR_EVERY_S = 0.05
ROSTER_EVERY_S = 1.0
MAX_SIGNAL_BYTES = 1024
MAX_ANNOUNCED = 100
"""The most users who are announced on a channel; others are announced as those leave."""
MAX_OWN_ENTRIES = 100_000
"""The most users on channels of this node; beyond it, users are connected but not present."""
MAX_CURSORS_SENT = 1_000
"""The most cursors in each `CURSOR_EVERY_S`, counted for each recipient socket; others are shed."""


# --- state ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Socket:
    """A socket; `channels` maps to True if it is present there, to False if it was left out."""

    user: str
    channels: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class _LocalChannel:
    """The sockets of this node that listen to a channel, the new ones, and the users announced to them."""

    listeners: dict[str, None] = field(default_factory=dict)
    fresh: dict[str, None] = field(default_factory=dict)
    viewing: dict[str, None] = field(default_factory=dict)
    announced: dict[str, None] = field(default_factory=dict)


class Presence:
    """The state of presence of one node. Every method returns its effects."""

    def __init__(self, node: str, incarnation: int, *, ttl_s: float = TTL_S) -> None:
        self.node = node
        self.incarnation = incarnation
        self._user_roster = UserRoster()
        self._peers = Peers(self._user_roster, ttl_s)
        self._sockets: dict[str, _Socket] = {}
        self._local_channels: dict[str, _LocalChannel] = {}
        self._typing = TypingUsers()
        self._cursor_throttle = Throttle[tuple[str, str], PresenceSignal](CURSOR_EVERY_S)
        self._typing_throttle = Throttle[tuple[str, str], PresenceSignal](TYPING_EVERY_S)
        self._sequence = 0
        self._unpublished: dict[tuple[str, str], None] = {}
        self._asked = False
        self._roster_at = float("-inf")
        self._window_ends = float("-inf")
        self._cursors_in_window = 0
        self.shed = 0
        """The number of cursors and users on channels that were left out because of the bounds."""

    # --- sockets of this node ----------------------------------------------------------------------------

    def enter(self, session: str, user: str) -> None:
        """Add a socket of a user."""
        self._sockets[session] = _Socket(user)
        self._attend(session, EVERYWHERE)

    def attend(self, session: str, channels: Iterable[str]) -> None:
        """Add channels that a socket has without a subscription: it is present, but receives no presence."""
        if session in self._sockets:
            for channel in filter(has_presence, channels):
                self._attend(session, channel)

    def subscribe(self, session: str, channel: str) -> None:
        """Add a channel that a socket subscribed to: it is present, and receives the presence of others."""
        if session not in self._sockets or not has_presence(channel):
            return
        self._attend(session, channel)
        local = self._local_channels.setdefault(channel, _LocalChannel())
        local.listeners[session] = None
        local.fresh[session] = None
        self._user_roster.changed[channel] = None

    def unsubscribe(self, session: str, channel: str, now: float) -> list[Effect]:
        """Remove a channel of a socket."""
        socket = self._sockets.get(session)
        if socket is None or channel not in socket.channels:
            return []
        return self._remove_channel(session, socket, channel, now)

    def leave(self, session: str, now: float) -> list[Effect]:
        """Remove a closed socket."""
        socket = self._sockets.get(session)
        if socket is None:
            return []
        effects = []
        for channel in list(socket.channels):
            effects += self._remove_channel(session, socket, channel, now)
        del self._sockets[session]
        return effects

    def signal(
        self, session: str, channel: str, kind: str, data: Mapping[str, Any], now: float
    ) -> list[Effect]:
        """Send a signal of a socket. Raise `NotFound` or `Malformed`."""
        socket, local = self._sockets.get(session), self._local_channels.get(channel)
        if socket is None or local is None or session not in local.listeners:
            raise NotFound("subscribe to the channel first")
        if kind not in SIGNAL_KINDS:
            raise Malformed(f"kind: one of {', '.join(SIGNAL_KINDS)}")
        _check_size(data)
        sent = PresenceSignal(channel, kind, data, socket.user, session)
        match kind:
            case "cursor":
                passes = self._cursor_throttle.passes((session, channel), sent, now)
            case "typing":
                passes = self._update_typing(sent, now)
            case "viewing":
                passes = self._update_viewing(local, sent)
        return self._send(sent, now) if passes else []

    def _attend(self, session: str, channel: str) -> None:
        socket = self._sockets[session]
        if channel in socket.channels:
            return
        is_new = self._user_roster.of(self.node, channel, socket.user).connections == 0
        counted = not is_new or self._user_roster.size(self.node) < MAX_OWN_ENTRIES
        socket.channels[channel] = counted
        if counted:
            self._shift(channel, socket.user, connections=1)
        else:
            self.shed += 1

    def _remove_channel(self, session: str, socket: _Socket, channel: str, now: float) -> list[Effect]:
        local = self._local_channels.get(channel)
        ended: list[SignalKind] = []
        if local is not None and session in local.listeners:
            ended = self._end_signals(session, socket, channel, local)
        if socket.channels.pop(channel):
            self._shift(channel, socket.user, connections=-1)
        if self._user_roster.total(channel, socket.user).connections == 0:
            return []  # their leaving ends all signals
        stop = {"on": False}
        return [
            effect
            for kind in ended
            for effect in self._send(PresenceSignal(channel, kind, stop, socket.user, session), now)
        ]

    def _end_signals(
        self, session: str, socket: _Socket, channel: str, local: _LocalChannel
    ) -> list[SignalKind]:
        """End the signals of a socket on a channel; return their kinds."""
        ended: list[SignalKind] = []
        self._cursor_throttle.drop((session, channel))
        self._typing_throttle.drop((session, channel))
        if self._typing.end(Typist(channel, socket.user, session)):
            ended.append("typing")
        if session in local.viewing:
            del local.viewing[session]
            self._shift(channel, socket.user, viewing=-1)
            ended.append("viewing")
        del local.listeners[session]
        local.fresh.pop(session, None)
        if not local.listeners:
            del self._local_channels[channel]
        return ended

    def _shift(self, channel: str, user: str, *, connections: int = 0, viewing: int = 0) -> None:
        before = self._user_roster.of(self.node, channel, user)
        after = UserCounts(before.connections + connections, before.viewing + viewing)
        self._user_roster.set(self.node, channel, user, after)
        self._unpublished[channel, user] = None

    # --- signals -----------------------------------------------------------------------------------------

    def _update_typing(self, sent: PresenceSignal, now: float) -> bool:
        typist, key = Typist(sent.channel, sent.user, sent.session), (sent.session, sent.channel)
        if _is_on(sent.data):
            return self._typing.begin(typist, now) and self._typing_throttle.passes(key, sent, now)
        self._typing_throttle.drop(key)
        return self._typing.end(typist)

    def _update_viewing(self, local: _LocalChannel, sent: PresenceSignal) -> bool:
        """Record whether a socket views a task; return True if that changed."""
        on = _is_on(sent.data)
        counted = self._sockets[sent.session].channels[sent.channel]
        if on == (sent.session in local.viewing) or not counted:
            return False
        if on:
            local.viewing[sent.session] = None
        else:
            del local.viewing[sent.session]
        self._shift(sent.channel, sent.user, viewing=1 if on else -1)
        return True

    def _send(self, sent: PresenceSignal, now: float) -> list[Effect]:
        """Send a signal to all, after earlier changes."""
        effects = self._flush()
        if self._peers:
            effects.append(
                Publish(Signalled(sent.channel, sent.user, sent.session, sent.kind, dict(sent.data)))
            )
        return effects + self._notify_local(sent, now)

    def _notify_local(self, sent: PresenceSignal, now: float) -> list[Effect]:
        local = self._local_channels.get(sent.channel)
        if local is None:
            return []
        sessions = tuple(session for session in local.listeners if session != sent.session)
        if not sessions or (sent.kind == "cursor" and not self._allows_cursor(len(sessions), now)):
            return []
        return [Notify(sent, sessions)]

    def _allows_cursor(self, count: int, now: float) -> bool:
        """Return True if a cursor may be sent to that many sockets now. An empty window always allows one."""
        if now >= self._window_ends:
            self._window_ends, self._cursors_in_window = now + CURSOR_EVERY_S, 0
        if self._cursors_in_window and self._cursors_in_window + count > MAX_CURSORS_SENT:
            self.shed += 1
            return False
        self._cursors_in_window += count
        return True

    # --- other nodes -------------------------------------------------------------------------------------

    def hello(self) -> list[Effect]:
        """Return the messages of a node that connects or reconnects."""
        return [*self.heartbeat(), Publish(Ask(None))]

    def heartbeat(self) -> list[Effect]:
        """Return the periodic messages of a node."""
        return [*self._flush(), Publish(Alive(self._sequence))]

    def goodbye(self) -> list[Effect]:
        """Return the message of a node that stops."""
        return [Publish(Goodbye())]

    def receive(self, envelope: Envelope, now: float) -> list[Effect]:
        """Apply a message of another node; ignore this node's own."""
        if envelope.node == self.node:
            return []
        ask = self._peers.receive(envelope, now)
        match envelope.message:
            case Ask(of=of):
                self._asked |= of in {None, self.node}
            case Signalled() as signalled:
                return self._receive_signal(signalled, now)
        return [] if ask is None else [Publish(ask)]

    def _receive_signal(self, signalled: Signalled, now: float) -> list[Effect]:
        sent = PresenceSignal(
            signalled.channel, signalled.kind, signalled.data, signalled.user, signalled.session
        )
        if sent.kind == "typing":
            typist = Typist(sent.channel, sent.user, sent.session)
            if not _is_on(sent.data):
                self._typing.end(typist)
            elif not self._typing.begin(typist, now):
                return []
        return [*self._flush(), *self._notify_local(sent, now)]

    # --- timers --------------------------------------------------------------------------------------------

    @property
    def needs_tick(self) -> bool:
        """Return True if a `tick` is needed soon: changes are waiting, or something will expire."""
        return bool(
            self._unpublished
            or self._user_roster.changed
            or self._asked
            or self._typing
            or self._cursor_throttle
            or self._typing_throttle
        )

    def tick(self, now: float) -> list[Effect]:
        """Do everything that is due."""
        self._peers.drop_silent(now)
        effects = self._flush()
        for typist in self._typing.expire(now):
            over = PresenceSignal(typist.channel, "typing", {"on": False}, typist.user, typist.session)
            effects += self._notify_local(over, now)
        for _, sent in (*self._typing_throttle.due(now), *self._cursor_throttle.due(now)):
            effects += self._send(sent, now)
        if self._asked and now >= self._roster_at + ROSTER_EVERY_S:
            self._asked, self._roster_at = False, now
            effects += self._roster()
        return effects

    def _flush(self) -> list[Effect]:
        """Send changes to the other nodes, and to listeners of this node."""
        effects: list[Effect] = []
        unpublished = list(self._unpublished)
        self._unpublished.clear()
        for first in range(0, len(unpublished), MAX_ENTRIES):
            self._sequence += 1
            if self._peers:
                entries = tuple(
                    Entry(channel, user, *self._user_roster.of(self.node, channel, user))
                    for channel, user in unpublished[first : first + MAX_ENTRIES]
                )
                effects.append(Publish(Changed(self._sequence, entries)))
        changed = list(self._user_roster.changed)
        self._user_roster.changed.clear()
        for channel in changed:
            if channel in self._local_channels:
                effects += self._announce(channel, self._local_channels[channel])
        return effects

    def _roster(self) -> list[Effect]:
        entries = sorted(self._user_roster.entries(self.node))  # each time the same parts
        firsts = range(0, max(1, len(entries)), MAX_ENTRIES)
        parts = [entries[first : first + MAX_ENTRIES] for first in firsts]
        return [
            Publish(Roster(self._sequence, number, len(parts), tuple(part)))
            for number, part in enumerate(parts)
        ]

    def _announce(self, channel: str, local: _LocalChannel) -> list[Effect]:
        """Send joined and departed users to listeners, and the present users to new listeners."""
        there = self._user_roster.users(channel)
        gone = [user for user in local.announced if user not in there]
        for user in gone:
            del local.announced[user]
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

    # --- queries -------------------------------------------------------------------------------------------

    def present(self, channel: str, limit: int = MAX_ANNOUNCED) -> tuple[PresentUser, ...]:
        """Return the users on a channel, on all nodes; the first ones, if there are more."""
        return tuple(self._present(channel, user) for user in islice(self._user_roster.users(channel), limit))

    def present_count(self, channel: str) -> int:
        """Return the number of users on a channel, on all nodes."""
        return len(self._user_roster.users(channel))

    def _present(self, channel: str, user: str) -> PresentUser:
        counts = self._user_roster.total(channel, user)
        typing = self._typing.is_typing(channel, user)
        return PresentUser(user, counts.connections, counts.viewing > 0, typing)

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


def has_presence(channel: str) -> bool:
    """Return True if channels of this kind have presence."""
    return channel.startswith(("task:", "list:"))


def _is_on(data: Mapping[str, Any]) -> bool:
    return data.get("on") is not False


def _check_size(data: Mapping[str, Any]) -> None:
    try:
        size = len(ormsgpack.packb(dict(data)))
    except ormsgpack.MsgpackEncodeError:
        raise Malformed("data: contains a value that cannot be encoded") from None
    if size > MAX_SIGNAL_BYTES:
        raise Malformed(f"data: at most {MAX_SIGNAL_BYTES} bytes")
