"""Who is typing right now: nobody is for longer than a few seconds without saying so again. Pure."""

from __future__ import annotations

from typing import NamedTuple

TYPING_S = 4.0
MAX_TYPING = 10_000
"""On all channels; whoever begins when so many are typing is passed over."""


class Typist(NamedTuple):
    """A socket of a user, on a channel."""

    channel: str
    user: str
    session: str


class TypingUsers:
    """The sockets in which somebody types, on all nodes."""

    def __init__(self) -> None:
        self._until: dict[Typist, float] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def __bool__(self) -> bool:
        """Whether anybody is typing."""
        return bool(self._until)

    def begin(self, typist: Typist, now: float) -> bool:
        """Somebody types, or still does; False if there is no room."""
        if typist not in self._until:
            if len(self._until) >= MAX_TYPING:
                return False
            where = typist.channel, typist.user
            self._counts[where] = self._counts.get(where, 0) + 1
        self._until.pop(typist, None)
        self._until[typist] = now + TYPING_S
        return True

    def end(self, typist: Typist) -> bool:
        """Somebody stops; whether they were typing."""
        if self._until.pop(typist, None) is None:
            return False
        where = typist.channel, typist.user
        self._counts[where] -= 1
        if not self._counts[where]:
            del self._counts[where]
        return True

    def expire(self, now: float) -> list[Typist]:
        """End those who have not said it again in time; the longest ago comes first."""
        over = []
        for typist, until in self._until.items():
            if until > now:
                break
            over.append(typist)
        for typist in over:
            self.end(typist)
        return over

    def is_typing(self, channel: str, user: str) -> bool:
        """Whether a user types on a channel, in any socket."""
        return (channel, user) in self._counts
