"""Messages of presence and signals, encoded once for all sockets that get the same."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import to_json

from api.presence.events import PresenceChange, PresenceNotification, PresenceSignal, PresentUser
from api.protocol.frames import EncodedMessage
from api.protocol.server_messages import SignalSent


class PresenceMessages:
    """Encodes messages. The same object goes to one socket after another, so the latest is cached."""

    def __init__(self) -> None:
        self._last: tuple[PresenceNotification, EncodedMessage] | None = None

    def message(self, notification: PresenceNotification) -> EncodedMessage:
        """Return the encoded message of a notification."""
        if self._last is not None and self._last[0] is notification:
            return self._last[1]
        value = _presence(notification) if isinstance(notification, PresenceChange) else _signal(notification)
        self._last = (notification, EncodedMessage(value))
        return self._last[1]


def _signal(notification: PresenceSignal) -> bytes:
    return SignalSent(
        channel=notification.channel,
        kind=notification.kind,
        data=dict(notification.data),
        user=notification.user,
        session=notification.session,
    ).encode()


def _presence(change: PresenceChange) -> bytes:
    """Return what `server_messages.Presence` is encoded as: models of a hundred users would take longer."""
    message: dict[str, object] = {"type": "presence", "channel": change.channel}
    if change.present is not None:
        message["present"] = _users(change.present)
    if change.joined:
        message["joined"] = _users(change.joined)
    if change.left:
        message["left"] = _users(change.left)
    return to_json(message)


def _users(users: Iterable[PresentUser]) -> list[dict[str, object]]:
    return [
        {"user": user, "connections": connections, "viewing": viewing, "typing": typing}
        for user, connections, viewing, typing in users
    ]
