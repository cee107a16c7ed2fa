"""The rates of signals: how often each socket may send a kind, and how many cursors a node sends. Pure."""

from __future__ import annotations

from api.presence.events import PresenceSignal
from api.presence.throttle import Throttle

TYPING_EVERY_S = 1.0
CURSOR_EVERY_S = 0.05
MAX_CURSORS_SENT = 1_000
"""The most cursors in each `CURSOR_EVERY_S`, counted for each recipient socket; others are shed."""


class SignalRates:
    """Delays signals that come too often, of which the last one waits, and sheds cursors."""

    def __init__(self) -> None:
        self._cursors = Throttle[tuple[str, str], PresenceSignal](CURSOR_EVERY_S)
        self._typing = Throttle[tuple[str, str], PresenceSignal](TYPING_EVERY_S)
        self._window_ends = float("-inf")
        self._cursors_in_window = 0
        self.shed = 0
        """The number of cursors that were left out because of the bound."""

    def __bool__(self) -> bool:
        """Return True if `due` may return something later."""
        return bool(self._cursors or self._typing)

    def passes(self, sent: PresenceSignal, now: float) -> bool:
        """Return True if a cursor or typing may be sent now; otherwise it waits."""
        throttle = self._cursors if sent.kind == "cursor" else self._typing
        return throttle.passes((sent.session, sent.channel), sent, now)

    def due(self, now: float) -> list[PresenceSignal]:
        """Return the signals that have waited long enough. They count as sent."""
        return [sent for _, sent in (*self._typing.due(now), *self._cursors.due(now))]

    def drop_typing(self, session: str, channel: str) -> None:
        """Discard the waiting typing of a socket on a channel."""
        self._typing.drop((session, channel))

    def drop(self, session: str, channel: str) -> None:
        """Discard all waiting signals of a socket on a channel."""
        self._typing.drop((session, channel))
        self._cursors.drop((session, channel))

    def allows_cursor(self, count: int, now: float) -> bool:
        """Return True if a cursor may be sent to that many sockets now. An empty window always allows one."""
        if now >= self._window_ends:
            self._window_ends, self._cursors_in_window = now + CURSOR_EVERY_S, 0
        if self._cursors_in_window and self._cursors_in_window + count > MAX_CURSORS_SENT:
            self.shed += 1
            return False
        self._cursors_in_window += count
        return True
