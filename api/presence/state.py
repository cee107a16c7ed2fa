"""Presence: who is connected, who is on which channel, and the signals that they send. Pure.

It knows no clock: times are seconds of any clock that runs evenly. What is to be done comes back as effects:
a message to `Tell` to sockets of this node, or to `Publish` to the other ones. Who is where is told with
the next `tick`, all that changed until then at once; signals are told right away, behind what came before.

Each channel with listeners has a list of those who were announced on it: nobody is announced twice without
having left in between, and whoever starts to listen is told that list first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import ormsgpack

from api.presence.events import Connected, Effect, PresenceTold, PresentUser, Publish, SignalTold, Tell
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
from api.presence.roster import EVERYWHERE, Entry, Here, UserRoster
from api.presence.throttle import Pacing
from api.presence.typing_users import TypingUsers, Typist
from app.errors import Malformed, NotFound

HEARTBEAT_S = 5.0
TTL_S = 15.0
TYPING_EVERY_S = 1.0
CURSOR_EVERY_S = 0.05
ROSTER_EVERY_S = 1.0
MAX_SIGNAL_BYTES = 1024
MAX_ANNOUNCED = 100
"""Users who are announced on a channel; others come up as those leave."""
MAX_OWN_ENTRIES = 100_000
"""Users on channels of this node; who comes on top is connected, but not present."""
MAX_CURSORS_TOLD = 1_000
"""Cursors in each `CURSOR_EVERY_S`, counted for each socket that one is sent to; others are shed."""


# --- what is kept ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Socket:
    """`channels` are those it is present on, or, where it is not True, was left out of."""

    user: str
    channels: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class _Room:
    """The sockets of this node that listen to a channel, those that began just now, and what they know."""

    listeners: dict[str, None] = field(default_factory=dict)
    fresh: dict[str, None] = field(default_factory=dict)
    viewing: dict[str, None] = field(default_factory=dict)
    announced: dict[str, None] = field(default_factory=dict)


class Presence:
    """What one node knows of all. Every method returns what is to be done."""

    def __init__(self, node: str, incarnation: int, *, ttl_s: float = TTL_S) -> None:
        self.node = node
        self.incarnation = incarnation
        self._user_roster = UserRoster()
        self._peers = Peers(self._user_roster, ttl_s)
        self._sockets: dict[str, _Socket] = {}
        self._rooms: dict[str, _Room] = {}
        self._typing = TypingUsers()
        self._cursor_pace = Pacing[tuple[str, str], SignalTold](CURSOR_EVERY_S)
        self._typing_pace = Pacing[tuple[str, str], SignalTold](TYPING_EVERY_S)
        self._sequence = 0
        self._unsaid: dict[tuple[str, str], None] = {}
        self._asked = False
        self._roster_at = float("-inf")
        self._window_ends = float("-inf")
        self._told_in_window = 0
        self.shed = 0
        """Cursors and users on channels that were left out, for the bounds above."""

    # --- sockets of this node ----------------------------------------------------------------------------

    def enter(self, session: str, user: str) -> None:
        """A socket speaks for a user."""
        self._sockets[session] = _Socket(user)
        self._attend(session, EVERYWHERE)

    def attend(self, session: str, channels: Iterable[str]) -> None:
        """A socket has channels without having asked for them: it is there, and is told of nobody."""
        if session in self._sockets:
            for channel in filter(has_presence, channels):
                self._attend(session, channel)

    def subscribe(self, session: str, channel: str) -> None:
        """A socket asked for a channel: it is there, and is told of the others."""
        if session not in self._sockets or not has_presence(channel):
            return
        self._attend(session, channel)
        room = self._rooms.setdefault(channel, _Room())
        room.listeners[session] = None
        room.fresh[session] = None
        self._user_roster.changed[channel] = None

    def unsubscribe(self, session: str, channel: str, now: float) -> list[Effect]:
        """A socket has a channel no more."""
        socket = self._sockets.get(session)
        if socket is None or channel not in socket.channels:
            return []
        return self._take_away(session, socket, channel, now)

    def leave(self, session: str, now: float) -> list[Effect]:
        """A socket is closed."""
        socket = self._sockets.get(session)
        if socket is None:
            return []
        effects = []
        for channel in list(socket.channels):
            effects += self._take_away(session, socket, channel, now)
        del self._sockets[session]
        return effects

    def signal(
        self, session: str, channel: str, kind: str, data: Mapping[str, Any], now: float
    ) -> list[Effect]:
        """A socket has something to say. Raises `NotFound` or `Malformed`."""
        socket, room = self._sockets.get(session), self._rooms.get(channel)
        if socket is None or room is None or session not in room.listeners:
            raise NotFound("subscribe to the channel first")
        if kind not in SIGNAL_KINDS:
            raise Malformed(f"kind: one of {', '.join(SIGNAL_KINDS)}")
        _check_size(data)
        sent = SignalTold(channel, kind, data, socket.user, session)
        match kind:
            case "cursor":
                passes = self._cursor_pace.passes((session, channel), sent, now)
            case "typing":
                passes = self._types(sent, now)
            case "viewing":
                passes = self._views(room, sent)
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

    def _take_away(self, session: str, socket: _Socket, channel: str, now: float) -> list[Effect]:
        room = self._rooms.get(channel)
        ended: list[SignalKind] = []
        if room is not None and session in room.listeners:
            ended = self._silence(session, socket, channel, room)
        if socket.channels.pop(channel):
            self._shift(channel, socket.user, connections=-1)
        if self._user_roster.total(channel, socket.user).connections == 0:
            return []  # that they left says it all
        stop = {"on": False}
        return [
            effect
            for kind in ended
            for effect in self._send(SignalTold(channel, kind, stop, socket.user, session), now)
        ]

    def _silence(self, session: str, socket: _Socket, channel: str, room: _Room) -> list[SignalKind]:
        """End what a socket was signalling on a channel; returns what that was."""
        ended: list[SignalKind] = []
        self._cursor_pace.drop((session, channel))
        self._typing_pace.drop((session, channel))
        if self._typing.end(Typist(channel, socket.user, session)):
            ended.append("typing")
        if session in room.viewing:
            del room.viewing[session]
            self._shift(channel, socket.user, viewing=-1)
            ended.append("viewing")
        del room.listeners[session]
        room.fresh.pop(session, None)
        if not room.listeners:
            del self._rooms[channel]
        return ended

    def _shift(self, channel: str, user: str, *, connections: int = 0, viewing: int = 0) -> None:
        before = self._user_roster.of(self.node, channel, user)
        after = Here(before.connections + connections, before.viewing + viewing)
        self._user_roster.set(self.node, channel, user, after)
        self._unsaid[channel, user] = None

    # --- signals -----------------------------------------------------------------------------------------

    def _types(self, sent: SignalTold, now: float) -> bool:
        typist, key = Typist(sent.channel, sent.user, sent.session), (sent.session, sent.channel)
        if _is_on(sent.data):
            return self._typing.begin(typist, now) and self._typing_pace.passes(key, sent, now)
        self._typing_pace.drop(key)
        return self._typing.end(typist)

    def _views(self, room: _Room, sent: SignalTold) -> bool:
        """Take note of who looks at a task; whether that is news."""
        on = _is_on(sent.data)
        counted = self._sockets[sent.session].channels[sent.channel]
        if on == (sent.session in room.viewing) or not counted:
            return False
        if on:
            room.viewing[sent.session] = None
        else:
            del room.viewing[sent.session]
        self._shift(sent.channel, sent.user, viewing=1 if on else -1)
        return True

    def _send(self, sent: SignalTold, now: float) -> list[Effect]:
        """Tell a signal to all, behind what happened before it."""
        effects = self._flush()
        if self._peers:
            effects.append(
                Publish(Signalled(sent.channel, sent.user, sent.session, sent.kind, dict(sent.data)))
            )
        return effects + self._told_here(sent, now)

    def _told_here(self, sent: SignalTold, now: float) -> list[Effect]:
        room = self._rooms.get(sent.channel)
        if room is None:
            return []
        sessions = tuple(session for session in room.listeners if session != sent.session)
        if not sessions or (sent.kind == "cursor" and not self._has_room(len(sessions), now)):
            return []
        return [Tell(sent, sessions)]

    def _has_room(self, count: int, now: float) -> bool:
        """Whether a cursor may be told to so many sockets now. In an empty window there is room for one."""
        if now >= self._window_ends:
            self._window_ends, self._told_in_window = now + CURSOR_EVERY_S, 0
        if self._told_in_window and self._told_in_window + count > MAX_CURSORS_TOLD:
            self.shed += 1
            return False
        self._told_in_window += count
        return True

    # --- other nodes -------------------------------------------------------------------------------------

    def hello(self) -> list[Effect]:
        """What a node says when it comes, or comes back."""
        return [*self.heartbeat(), Publish(Ask(None))]

    def heartbeat(self) -> list[Effect]:
        """What a node says every few seconds."""
        return [*self._flush(), Publish(Alive(self._sequence))]

    def goodbye(self) -> list[Effect]:
        """What a node says when it stops."""
        return [Publish(Goodbye())]

    def receive(self, envelope: Envelope, now: float) -> list[Effect]:
        """Take in what another node says; what this one said is passed over."""
        if envelope.node == self.node:
            return []
        ask = self._peers.hear(envelope, now)
        match envelope.message:
            case Ask(of=of):
                self._asked |= of in {None, self.node}
            case Signalled() as signalled:
                return self._signalled(signalled, now)
        return [] if ask is None else [Publish(ask)]

    def _signalled(self, signalled: Signalled, now: float) -> list[Effect]:
        sent = SignalTold(
            signalled.channel, signalled.kind, signalled.data, signalled.user, signalled.session
        )
        if sent.kind == "typing":
            typist = Typist(sent.channel, sent.user, sent.session)
            if not _is_on(sent.data):
                self._typing.end(typist)
            elif not self._typing.begin(typist, now):
                return []
        return [*self._flush(), *self._told_here(sent, now)]

    # --- as time goes by ---------------------------------------------------------------------------------

    @property
    def restless(self) -> bool:
        """Whether a `tick` is to come soon: something waits, or will have to be said without a cause."""
        return bool(
            self._unsaid
            or self._user_roster.changed
            or self._asked
            or self._typing
            or self._cursor_pace
            or self._typing_pace
        )

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        self._peers.forget_silent(now)
        effects = self._flush()
        for typist in self._typing.expire(now):
            over = SignalTold(typist.channel, "typing", {"on": False}, typist.user, typist.session)
            effects += self._told_here(over, now)
        for _, sent in (*self._typing_pace.due(now), *self._cursor_pace.due(now)):
            effects += self._send(sent, now)
        if self._asked and now >= self._roster_at + ROSTER_EVERY_S:
            self._asked, self._roster_at = False, now
            effects += self._roster()
        return effects

    def _flush(self) -> list[Effect]:
        """Say what has changed: to the other nodes, and to those who listen here."""
        effects: list[Effect] = []
        unsaid = list(self._unsaid)
        self._unsaid.clear()
        for first in range(0, len(unsaid), MAX_ENTRIES):
            self._sequence += 1
            if self._peers:
                entries = tuple(
                    Entry(channel, user, *self._user_roster.of(self.node, channel, user))
                    for channel, user in unsaid[first : first + MAX_ENTRIES]
                )
                effects.append(Publish(Changed(self._sequence, entries)))
        changed = list(self._user_roster.changed)
        self._user_roster.changed.clear()
        for channel in changed:
            if channel in self._rooms:
                effects += self._announce(channel, self._rooms[channel])
        return effects

    def _roster(self) -> list[Effect]:
        entries = sorted(self._user_roster.entries(self.node))  # so that each time its parts are the same
        firsts = range(0, max(1, len(entries)), MAX_ENTRIES)
        parts = [entries[first : first + MAX_ENTRIES] for first in firsts]
        return [
            Publish(Roster(self._sequence, number, len(parts), tuple(part)))
            for number, part in enumerate(parts)
        ]

    def _announce(self, channel: str, room: _Room) -> list[Effect]:
        """Tell who came and went to those who listen, and those who begin to who is there."""
        there = self._user_roster.users(channel)
        gone = [user for user in room.announced if user not in there]
        for user in gone:
            del room.announced[user]
        wanted = MAX_ANNOUNCED - len(room.announced)
        joined = tuple(islice((user for user in there if user not in room.announced), wanted))
        room.announced.update(dict.fromkeys(joined))
        effects: list[Effect] = []
        told = tuple(session for session in room.listeners if session not in room.fresh)
        if told and (joined or gone):
            came = tuple(self._present(channel, user) for user in joined)
            went = tuple(PresentUser(user, 0, viewing=False, typing=False) for user in gone)
            effects.append(Tell(PresenceTold(channel, joined=came, left=went), told))
        if room.fresh:
            present = tuple(self._present(channel, user) for user in room.announced)
            effects.append(Tell(PresenceTold(channel, present=present), tuple(room.fresh)))
            room.fresh.clear()
        return effects

    # --- questions ---------------------------------------------------------------------------------------

    def present(self, channel: str, limit: int = MAX_ANNOUNCED) -> tuple[PresentUser, ...]:
        """Who is on a channel, on all nodes; the first of them, if there are more."""
        return tuple(self._present(channel, user) for user in islice(self._user_roster.users(channel), limit))

    def present_count(self, channel: str) -> int:
        """How many users are on a channel, on all nodes."""
        return len(self._user_roster.users(channel))

    def _present(self, channel: str, user: str) -> PresentUser:
        here = self._user_roster.total(channel, user)
        typing = self._typing.is_typing(channel, user)
        return PresentUser(user, here.connections, here.viewing > 0, typing)

    def connected_users(self) -> list[str]:
        """Who is connected to any node, by name."""
        return sorted(self._user_roster.users(EVERYWHERE))

    def connected(self, user: str) -> Connected:
        """How often a user is connected, and to how many nodes."""
        connections = self.connection_count(user)
        return Connected(user, connections, self._user_roster.spread(EVERYWHERE, user))

    def connection_count(self, user: str) -> int:
        """How many sockets a user has, on all nodes."""
        return self._user_roster.total(EVERYWHERE, user).connections

    def is_connected(self, user: str) -> bool:
        """Whether a user is connected to any node."""
        return self.connection_count(user) > 0


def has_presence(channel: str) -> bool:
    """Whether one can be present on a channel of this kind."""
    return channel.startswith(("task:", "list:"))


def _is_on(data: Mapping[str, Any]) -> bool:
    return data.get("on") is not False


def _check_size(data: Mapping[str, Any]) -> None:
    try:
        size = len(ormsgpack.packb(dict(data)))
    except ormsgpack.MsgpackEncodeError:
        raise Malformed("data: has something that can't be sent on") from None
    if size > MAX_SIGNAL_BYTES:
        raise Malformed(f"data: at most {MAX_SIGNAL_BYTES} bytes")
