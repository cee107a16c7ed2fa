"""Messages of presence and signals, encoded once for all sockets that get the same."""

from __future__ import annotations

from collections.abc import Iterable

from api.presence import events as presence_events
from api.presence.events import PresenceChange, PresenceNotification
from api.protocol.frames import EncodedMessage
from api.protocol.server_messages import Presence, PresentUser, SignalSent


class PresenceMessages:
    """Encodes messages. The same object goes to one socket after another, so the latest is cached."""

    def __init__(self) -> None:
        self._last: tuple[PresenceNotification, EncodedMessage] | None = None

    def message(self, notification: PresenceNotification) -> EncodedMessage:
        """Return the encoded message of a notification."""
        if self._last is not None and self._last[0] is notification:
            return self._last[1]
        sent = _presence(notification) if isinstance(notification, PresenceChange) else _signal(notification)
        self._last = (notification, EncodedMessage(sent.encode().encode()))
        return self._last[1]


def _signal(notification: presence_events.PresenceSignal) -> SignalSent:
    return SignalSent(
        channel=notification.channel,
        kind=notification.kind,
        data=dict(notification.data),
        user=notification.user,
        session=notification.session,
    )


def _presence(notification: PresenceChange) -> Presence:
    return Presence(
        channel=notification.channel,
        present=None if notification.present is None else _users(notification.present),
        joined=_users(notification.joined) or None,
        left=_users(notification.left) or None,
    )


def _users(users: Iterable[presence_events.PresentUser]) -> tuple[PresentUser, ...]:
    return tuple(
        PresentUser(user=each.user, connections=each.connections, viewing=each.viewing, typing=each.typing)
        for each in users
    )
