"""What is told of presence and signals, as messages: one for all sockets that get the same."""

from __future__ import annotations

from collections.abc import Iterable

from api.presence import events as presence_events
from api.presence.events import PresenceTold, Told
from api.protocol.frames import EncodedMessage
from api.protocol.messages import Presence, PresentUser, SignalSent


class Telling:
    """Makes messages. The same object is told to one socket after another, so the last one is kept."""

    def __init__(self) -> None:
        self._last: tuple[Told, EncodedMessage] | None = None

    def message(self, told: Told) -> EncodedMessage:
        """The message that tells it."""
        if self._last is not None and self._last[0] is told:
            return self._last[1]
        sent = _presence(told) if isinstance(told, PresenceTold) else _signal(told)
        self._last = (told, EncodedMessage(sent.encode().encode()))
        return self._last[1]


def _signal(told: presence_events.SignalTold) -> SignalSent:
    return SignalSent(
        channel=told.channel, kind=told.kind, data=dict(told.data), user=told.user, session=told.session
    )


def _presence(told: PresenceTold) -> Presence:
    return Presence(
        channel=told.channel,
        present=None if told.present is None else _users(told.present),
        joined=_users(told.joined) or None,
        left=_users(told.left) or None,
    )


def _users(users: Iterable[presence_events.PresentUser]) -> tuple[PresentUser, ...]:
    return tuple(
        PresentUser(user=each.user, connections=each.connections, viewing=each.viewing, typing=each.typing)
        for each in users
    )
