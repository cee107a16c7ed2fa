"""Where the client's token comes from, and a fresh one when it has to be."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from tasktape_client.errors import TasktapeError

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or what gives one that is valid now; it is called again when the server wants a newer one."""


class TokenSource:
    """The token of one client. A callable is asked by one caller at a time, and not before it has to be."""

    def __init__(self, token: Token) -> None:
        self._ask = None if isinstance(token, str) else token
        self._token = _usable(token) if isinstance(token, str) else None
        self._lock = asyncio.Lock()

    @property
    def can_renew(self) -> bool:
        """Whether there may be another token than the one we have."""
        return self._ask is not None

    async def current(self) -> str:
        """The token to use now. Raises what the callable raises."""
        return await self.newer_than(None) if self._token is None else self._token

    def expire(self, token: str) -> None:
        """Forget a token that the server does not accept any longer, if there may be another."""
        if self.can_renew and self._token == token:
            self._token = None

    async def newer_than(self, stale: str | None) -> str:
        """A token that came after `stale`; a fixed one stays what it is. Raises what the callable raises."""
        async with self._lock:
            if self._ask is not None and (self._token is None or self._token == stale):
                given = self._ask()
                self._token = _usable(await given if inspect.isawaitable(given) else given)
            assert self._token is not None
            return self._token


def _usable(token: str) -> str:
    """The token without the space around it. Raises `TasktapeError` if it can't be put into a header."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise TasktapeError("the token is not a JSON Web Token", code="unauthenticated")
    return token
