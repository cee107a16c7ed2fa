"""Patience: asking again, a few times and not for long, while something is away that will be back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import Unavailable

T = TypeVar("T")

RETRY_DELAYS_S = (0.05, 0.25, 1.0)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again, a few times, while the database is away or behind. Raises `Unavailable`."""
    for delay_s in RETRY_DELAYS_S:
        try:
            return await ask()
        except Unavailable:
            await asyncio.sleep(delay_s)
    return await ask()
