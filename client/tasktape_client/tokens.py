"""The source of the client's tokens."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from tasktape_client.errors import TasktapeError

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that returns a valid one. It is called again when a newer one is needed."""


class TokenSource:
    """The token of a client. A function is called when a token is needed, by one caller at a time."""

    def __init__(self, token: Token) -> None:
        self._ask = None if isinstance(token, str) else token
        self._token = _usable(token) if isinstance(token, str) else None
        self._lock = asyncio.Lock()

    @property
    def can_renew(self) -> bool:
        """Return True if a function can supply other tokens."""
        return self._ask is not None

    async def current(self) -> str:
        """Return the current token. Raise what the function raises."""
        return await self.newer_than(None) if self._token is None else self._token

    def expire(self, token: str) -> None:
        """Discard a token that the server no longer accepts, if a function can supply another."""
        if self.can_renew and self._token == token:
            self._token = None

    async def newer_than(self, stale: str | None) -> str:
        """Return a token newer than `stale`, or the fixed token. Raise what the function raises."""
        async with self._lock:
            if self._ask is not None and (self._token is None or self._token == stale):
                given = self._ask()
                self._token = _usable(await given if inspect.isawaitable(given) else given)
            assert self._token is not None
            return self._token


def _usable(token: str) -> str:
    """Return the token without surrounding space. Raise `TasktapeError` if no header can carry it."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise TasktapeError("the token is not a JSON Web Token", code="unauthenticated")
    return token
