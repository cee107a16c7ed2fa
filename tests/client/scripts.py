"""Scripts for the scripted server, and the positions of received updates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tasktape_client import (
    Update,
)
from tasktape_client.updates import Updates
from tests.client.scripted_server import Peer, Script, update_of

LIMIT_S = 30


async def positions_of(updates: Updates, count: int) -> list[str]:
    """Return the positions of the next updates."""
    found = []
    async with asyncio.timeout(LIMIT_S):
        async for update in updates:
            assert isinstance(update, Update)
            found.append(update.position)
            if len(found) == count:
                break
    return found


def sending(*positions: str, **hello: Any) -> Script:
    """Return a script that sends a welcome and these updates."""

    async def script(peer: Peer) -> None:
        await peer.welcome(**hello)
        await peer.send(*map(update_of, positions))

    return script


def closing(code: int, reason: str = "", retry_after_ms: list[int] | None = None) -> Script:
    """Return a script that receives the authentication and closes."""

    async def script(peer: Peer) -> None:
        await peer.receive("authenticate")
        await peer.close(code, reason, retry_after_ms)

    return script


def then(*scripts: Callable[[Peer], Awaitable[None]]) -> Script:
    """Return a script of several, one after another, on one connection."""

    async def script(peer: Peer) -> None:
        for each in scripts:
            await each(peer)

    return script


async def cut(peer: Peer) -> None:
    """Abort a connection, as a network failure does."""
    peer.socket.transport.abort()
