"""Presence: connected users, the users on each channel, and the signals that they send. Pure.

It reads no clock: times are seconds of any monotonic clock. Methods return effects: `Notify` sends a message
to sockets of this node, `Publish` to the other nodes. Changes of presence are sent with the next `tick`, all
changes since the last one together; signals are sent immediately, after earlier changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ormsgpack

from api.presence.events import Effect, Notify, PresenceSignal, Publish
from api.presence.local_sockets import LocalSockets
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
from api.presence.present_users import PresentUsers
from api.presence.roster import Entry, UserRoster
from api.presence.signal_rates import SignalRates
from api.presence.typing_users import TypingUsers, Typist
from app.channels import Channel
from app.errors import Malformed, NotFound

HEARTBEAT_S = 5.0
TTL_S = 15.0
ROSTER_EVERY_S = 1.0
MAX_SIGNAL_BYTES = 1024


class Presence:
    """The state of presence of one node. Every method returns its effects."""

    def __init__(self, node: str, incarnation: int, *, ttl_s: float = TTL_S) -> None:
        self.node = node
        self.incarnation = incarnation
        self._user_roster = UserRoster()
        self._peers = Peers(self._user_roster, ttl_s)
        self._local = LocalSockets(node, self._user_roster)
        self._typing = TypingUsers()
        self._rates = SignalRates()
        self.users = PresentUsers(self._user_roster, self._typing)
        self._sequence = 0
        self._asked = False
        self._roster_at = float("-inf")

    @property
    def shed(self) -> int:
        """Return the number of cursors and users on channels that were left out because of the bounds."""
        return self._local.shed + self._rates.shed

    # --- sockets of this node ----------------------------------------------------------------------------

    def enter(self, session: str, user: str) -> None:
        """See `LocalSockets.enter`."""
        self._local.enter(session, user)

    def attend(self, session: str, channels: Iterable[Channel]) -> None:
        """See `LocalSockets.attend`."""
        self._local.attend(session, channels)

    def subscribe(self, session: str, channel: Channel) -> None:
        """See `LocalSockets.subscribe`."""
        self._local.subscribe(session, channel)

    def unsubscribe(self, session: str, channel: str, now: float) -> list[Effect]:
        """Remove a channel of a socket."""
        return self._remove_channel(session, channel, now) if self._local.has(session, channel) else []

    def leave(self, session: str, now: float) -> list[Effect]:
        """Remove a closed socket."""
        channels = self._local.channels_of(session)
        if not channels:
            return []
        effects = []
        for channel in channels:
            effects += self._remove_channel(session, channel, now)
        self._local.remove(session)
        return effects

    def _remove_channel(self, session: str, channel: str, now: float) -> list[Effect]:
        user = self._local.user_of(session)
        ended: list[SignalKind] = []
        if self._local.is_listening(session, channel):
            self._rates.drop(session, channel)
            if self._typing.end(Typist(channel, user, session)):
                ended.append("typing")
            if self._local.view(session, channel, on=False):
                ended.append("viewing")
        self._local.remove_channel(session, channel)
        if not self.users.is_on(channel, user):
            return []  # their leaving ends all signals
        stop = {"on": False}
        return [
            effect
            for kind in ended
            for effect in self._send(PresenceSignal(channel, kind, stop, user, session), now)
        ]

    # --- signals -----------------------------------------------------------------------------------------

    def signal(
        self, session: str, channel: str, kind: str, data: Mapping[str, Any], now: float
    ) -> list[Effect]:
        """Send a signal of a socket. Raise `NotFound` or `Malformed`."""
        if not self._local.is_listening(session, channel):
            raise NotFound("subscribe to the channel first")
        if kind not in SIGNAL_KINDS:
            raise Malformed(f"kind: one of {', '.join(SIGNAL_KINDS)}")
        _check_size(data)
        sent = PresenceSignal(channel, kind, data, self._local.user_of(session), session)
        match kind:
            case "cursor":
                passes = self._rates.passes(sent, now)
            case "typing":
                passes = self._update_typing(sent, now)
            case "viewing":
                passes = self._local.view(session, channel, on=_is_on(data))
        return self._send(sent, now) if passes else []

    def _update_typing(self, sent: PresenceSignal, now: float) -> bool:
        typist = Typist(sent.channel, sent.user, sent.session)
        if _is_on(sent.data):
            return self._typing.begin(typist, now) and self._rates.passes(sent, now)
        self._rates.drop_typing(sent.session, sent.channel)
        return self._typing.end(typist)

    def _send(self, sent: PresenceSignal, now: float) -> list[Effect]:
        """Send a signal to all, after earlier changes."""
        effects = self._flush()
        if self._peers:
            effects.append(
                Publish(Signalled(sent.channel, sent.user, sent.session, sent.kind, dict(sent.data)))
            )
        return effects + self._notify_local(sent, now)

    def _notify_local(self, sent: PresenceSignal, now: float) -> list[Effect]:
        local = self._local.channels.get(sent.channel)
        if local is None:
            return []
        sessions = tuple(session for session in local.listeners if session != sent.session)
        if not sessions or (sent.kind == "cursor" and not self._rates.allows_cursor(len(sessions), now)):
            return []
        return [Notify(sent, sessions)]

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
            self._local.unpublished or self._user_roster.changed or self._asked or self._typing or self._rates
        )

    def tick(self, now: float) -> list[Effect]:
        """Do everything that is due."""
        self._peers.drop_silent(now)
        effects = self._flush()
        for typist in self._typing.expire(now):
            over = PresenceSignal(typist.channel, "typing", {"on": False}, typist.user, typist.session)
            effects += self._notify_local(over, now)
        for sent in self._rates.due(now):
            effects += self._send(sent, now)
        if self._asked and now >= self._roster_at + ROSTER_EVERY_S:
            self._asked, self._roster_at = False, now
            effects += self._roster()
        return effects

    def _flush(self) -> list[Effect]:
        """Send changes to the other nodes, and to listeners of this node."""
        effects: list[Effect] = []
        unpublished = list(self._local.unpublished)
        self._local.unpublished.clear()
        for first in range(0, len(unpublished), MAX_ENTRIES):
            self._sequence += 1
            if self._peers:
                entries = tuple(
                    Entry(channel, user, *self._user_roster.of(self.node, channel, user))
                    for channel, user in unpublished[first : first + MAX_ENTRIES]
                )
                effects.append(Publish(Changed(self._sequence, entries)))
        for channel, local in self._local.changed_channels():
            effects += self.users.announce(channel, local)
        return effects

    def _roster(self) -> list[Effect]:
        entries = sorted(self._user_roster.entries(self.node))  # each time the same parts
        firsts = range(0, max(1, len(entries)), MAX_ENTRIES)
        parts = [entries[first : first + MAX_ENTRIES] for first in firsts]
        return [
            Publish(Roster(self._sequence, number, len(parts), tuple(part)))
            for number, part in enumerate(parts)
        ]


def _is_on(data: Mapping[str, Any]) -> bool:
    return data.get("on") is not False


def _check_size(data: Mapping[str, Any]) -> None:
    try:
        size = len(ormsgpack.packb(dict(data)))
    except ormsgpack.MsgpackEncodeError:
        raise Malformed("data: contains a value that cannot be encoded") from None
    if size > MAX_SIGNAL_BYTES:
        raise Malformed(f"data: at most {MAX_SIGNAL_BYTES} bytes")
