"""Typing users: nobody types for more than a few seconds without repeating the signal. Pure."""

from __future__ import annotations

from typing import NamedTuple

TYPING_S = 4.0
MAX_TYPING = 10_000
"""The limit over all channels; users who start to type beyond it are ignored."""


class Typist(NamedTuple):
    """A socket of a user, on a channel."""

    channel: str
    user: str
    session: str


class TypingUsers:
    """The sockets in which users type, on all nodes."""

    def __init__(self) -> None:
        self._until: dict[Typist, float] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def __bool__(self) -> bool:
        """Return True if anybody is typing."""
        return bool(self._until)

    def begin(self, typist: Typist, now: float) -> bool:
        """Start or extend typing; return False beyond the limit."""
        if typist not in self._until:
            if len(self._until) >= MAX_TYPING:
                return False
            where = typist.channel, typist.user
            self._counts[where] = self._counts.get(where, 0) + 1
        self._until.pop(typist, None)
        self._until[typist] = now + TYPING_S
        return True

    def end(self, typist: Typist) -> bool:
        """Stop typing; return True if the socket was typing."""
        if self._until.pop(typist, None) is None:
            return False
        where = typist.channel, typist.user
        self._counts[where] -= 1
        if not self._counts[where]:
            del self._counts[where]
        return True

    def expire(self, now: float) -> list[Typist]:
        """End those who have not repeated the signal in time, oldest first; return them."""
        over = []
        for typist, until in self._until.items():
            if until > now:
                break
            over.append(typist)
        for typist in over:
            self.end(typist)
        return over

    def is_typing(self, channel: str, user: str) -> bool:
        """Return True if a user types on a channel, in any socket."""
        return (channel, user) in self._counts
